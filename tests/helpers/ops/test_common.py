"""How the operators choose between the compiled kernel and the definition, and what a kernel is handed."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from helpers.errors import BadInput
from helpers.ops import (
    bev_pool_v2,
    common,
    deform_conv,
    grid_sample_3d,
    inverse,
    library,
    matvec,
    matvec_int4,
    ms_deform_attn,
    rotate,
)
from tests.helpers.ops.operands import attention_inputs, pooling_inputs, volume_inputs

IMAGE = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(0))
CASES = {
    "ms_deform_attn": (ms_deform_attn.ms_deform_attn, ms_deform_attn.reference, attention_inputs(dims=8)),
    "rotate": (rotate.rotate, rotate.reference, [IMAGE, torch.tensor([20.0]), torch.tensor([3.0, 2.0])]),
    "bev_pool_v2": (bev_pool_v2.bev_pool_v2, bev_pool_v2.reference, pooling_inputs(channels=8)),
    "grid_sample_3d": (grid_sample_3d.grid_sample_3d, grid_sample_3d.reference, volume_inputs()),
}


@pytest.fixture(params=CASES)
def case(request):
    """(operator, reference, arguments), the first of them the tensor that is sampled."""
    return CASES[request.param]


@pytest.fixture
def launches(monkeypatch):
    """Names of the compiled functions as they are called."""
    names, launch = [], common.launch

    def noted(loaded, function, sizes, tensors):
        names.append(function)
        launch(loaded, function, sizes, tensors)

    monkeypatch.setattr(common, "launch", noted)
    return names


def cast(arguments, dtype):
    return [
        argument.to(dtype) if isinstance(argument, torch.Tensor) and argument.is_floating_point() else argument
        for argument in arguments
    ]


def test_the_chosen_library_computes_what_the_definition_does(case, host_library, launches):
    operator, reference, arguments = case
    for dtype, limit in ((torch.float32, 1e-6), (torch.float16, 4e-3)):
        given = cast(arguments, dtype)
        with library.use(host_library):
            output = operator(*given)
        assert launches[-1].endswith({torch.float32: "fp32", torch.float16: "fp16"}[dtype])
        assert output.dtype == dtype and output.is_contiguous()
        torch.testing.assert_close(output, reference(*given), atol=limit, rtol=limit)
    assert len(launches) == 2


def test_kernels_on_pairs_of_halves_are_a_choice(case, host_library, launches):
    operator, reference, arguments = case
    given, form = cast(arguments, torch.float16), "fp16" if operator is rotate.rotate else "fp16x2"
    with library.use(host_library, packed=True):
        output = operator(*given)
    assert launches[-1].endswith(f"_{form}") and not library.packed()
    torch.testing.assert_close(output, reference(*given), atol=4e-3, rtol=4e-3)


def test_without_a_library_the_definition_runs(case, launches):
    operator, reference, arguments = case
    assert torch.equal(operator(*arguments), reference(*arguments))
    with library.use(None):
        assert torch.equal(operator(*arguments), reference(*arguments))
    assert not launches


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_types_that_no_kernel_takes_run_the_definition(case, host_library, launches, dtype):
    operator, reference, arguments = case
    given = cast(arguments, dtype)
    with library.use(host_library):
        assert torch.equal(operator(*given), reference(*given))
    assert not launches


def test_gradients_are_the_definitions_own(case, host_library, launches):
    operator, reference, (first, *rest) = case
    slopes = []
    for function in (operator, reference):
        leaf = first.clone().requires_grad_()
        with library.use(host_library):
            function(leaf, *rest).square().sum().backward()
        slopes.append(leaf.grad)
    assert torch.equal(*slopes) and slopes[0].abs().max() > 0 and not launches
    with library.use(host_library), torch.no_grad():
        operator(first.clone().requires_grad_(), *rest)
    assert launches


def test_a_kernel_gets_packed_operands(case, host_library, launches):
    """What is strided, or starts between two vectors of the kernel's loads, is copied first."""
    operator, reference, (first, *rest) = case
    strided = first.transpose(-1, -2).contiguous().transpose(-1, -2)
    shifted = first.new_empty(first.numel() + 1)[1:].view(first.shape).copy_(first)
    assert not strided.is_contiguous() and shifted.data_ptr() % 16
    assert common.packed(first) is first and common.packed(shifted).data_ptr() % 16 == 0
    with library.use(host_library):
        for given in (strided, shifted):
            torch.testing.assert_close(operator(given, *rest), reference(first, *rest), atol=1e-6, rtol=1e-5)
    assert len(launches) == 2
    with pytest.raises(BadInput, match="not contiguous"):
        common.launch(library.load(host_library), launches[0], rotate.Sizes(), [strided])


@pytest.mark.parametrize("use_kernel", [False, True])
def test_tracers_see_one_node_or_the_definition(case, host_library, use_kernel):
    """Under fake tensors, as torch.compile traces; a choice made after tracing still holds."""
    operator, reference, arguments = case
    tensors = [argument for argument in arguments if isinstance(argument, torch.Tensor)]

    def function(*tensors):
        left = iter(tensors)
        return operator(*(next(left) if isinstance(argument, torch.Tensor) else argument for argument in arguments))

    with library.use(host_library if use_kernel else None):
        graph = make_fx(function, tracing_mode="fake")(*tensors)
        assert torch.equal(graph(*tensors), operator(*arguments))
    nodes = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    assert [node.partition(".")[0] for node in nodes] == ["onramp"] if use_kernel else nodes
    assert use_kernel or not any("onramp" in node for node in nodes)
    with library.use(None):
        assert torch.equal(graph(*tensors), reference(*arguments))


def test_torch_finds_no_fault_with_the_operators(host_library):
    """Schema, registration, fake tensors and AOT dispatch (torch.library.opcheck)."""
    value, shapes, *rest = attention_inputs(dims=8)
    attention = (value, [size for pair in shapes for size in pair], *rest)
    rotation = (*CASES["rotate"][2], "bilinear")
    with library.use(host_library):
        for found in (
            torch.library.opcheck(torch.ops.onramp.ms_deform_attn_compiled, attention),
            torch.library.opcheck(torch.ops.onramp.rotate_compiled, rotation),
            torch.library.opcheck(torch.ops.onramp.bev_pool_v2_compiled, tuple(CASES["bev_pool_v2"][2])),
            torch.library.opcheck(
                torch.ops.onramp.grid_sample_3d_compiled, (*volume_inputs(), "nearest", "zeros", True)
            ),
        ):
            assert len(found) == 4 and set(found.values()) == {"SUCCESS"}


def test_forward_derivatives_are_not_lost(case, host_library):
    """Definitions sample by an operator that has none: an error, not a result without its derivative."""
    operator, reference, (first, *rest) = case
    if reference is bev_pool_v2.reference:  # it is linear in the depth and samples nothing
        with library.use(host_library):
            assert torch.equal(*torch.func.jvp(lambda tensor: operator(tensor, *rest), (first,), (first,)))
        return
    with library.use(host_library), pytest.raises(NotImplementedError, match="forward AD"):
        torch.func.jvp(lambda tensor: operator(tensor, *rest), (first,), (first,))


def test_operands_on_unlike_devices_are_left_to_the_definition(host_library, launches):
    image, angle, center = CASES["rotate"][2]
    with library.use(host_library):
        assert rotate.rotate(image.to("meta"), angle, center).device.type == "meta"
    assert not launches


def test_full_precision_widens_half_only():
    for dtype, expected in (
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert common.full_precision(torch.zeros(1, dtype=dtype)).dtype == expected


def test_operands_that_no_definition_takes_are_refused(case):
    """By the operator, in a sentence: not by whatever PyTorch runs into first."""
    operator, _, arguments = case
    for position, given in enumerate(arguments):
        if not isinstance(given, torch.Tensor):
            continue
        small = {"numpy": given.numpy(), "sparse": given.to_sparse(), "complex": given.to(torch.complex64)}
        if given.is_floating_point():
            small["float8"] = given.to(torch.float8_e4m3fn)
        for kind in small.values():
            with pytest.raises(BadInput, match="of PyTorch"):
                operator(*arguments[:position], kind, *arguments[position + 1 :])


@pytest.mark.parametrize("empty", [bev_pool_v2, grid_sample_3d, ms_deform_attn, rotate], ids=lambda each: each.OP_TYPE)
def test_operands_without_a_channel_or_a_pixel_are_refused(empty):
    name = empty.__name__.rpartition(".")[2]
    operator, _, arguments = CASES[name]
    position = {"bev_pool_v2": 1}.get(name, 0)
    bare = arguments[position][..., :0]
    with pytest.raises(BadInput, match=r",0\]"):
        operator(*arguments[:position], bare, *arguments[position + 1 :])


def test_double_beside_single_precision_is_refused_where_products_take_no_mixture():
    value, shapes, *rest = attention_inputs(dims=8)
    weight, x, image = torch.randn(4, 8), torch.randn(8), torch.randn(1, 1, 3, 3)
    for call in (
        lambda: ms_deform_attn.ms_deform_attn(value.double(), shapes, *rest),
        lambda: matvec.matvec(x.double(), weight),
        lambda: matvec_int4.matvec_int4(x, torch.zeros(4, 1, dtype=torch.int32), weight[:, :1].double()),
        lambda: deform_conv.deform_conv(
            image, image.new_zeros(1, 18, 3, 3), image.new_zeros(1, 9, 3, 3), image.double()
        ),
    ):
        with pytest.raises(BadInput, match="float64"):
            call()


def test_operands_on_devices_that_do_not_go_together_are_refused(case):
    operator, _, (first, *rest) = case
    if operator is rotate.rotate:  # its numbers may lie on the CPU
        assert operator(first.to("meta"), *rest).is_meta
        return
    with pytest.raises(BadInput, match=r"on meta and cpu\n.*\n.*on one device"):
        operator(first.to("meta"), *rest)


def test_an_autocast_around_an_operator_changes_nothing(case):
    operator, reference, arguments = case
    weight, x = torch.randn(4, 8), torch.randn(8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(operator(*arguments), reference(*arguments))
        found = matvec.matvec(x, weight)
    assert torch.equal(found, matvec.matvec(x, weight))


def test_a_size_that_32_bits_do_not_hold_is_refused():
    assert inverse.Sizes(2**31 - 1).matrices == 2**31 - 1
    with pytest.raises(BadInput, match=r"matrices of a kernel\n  found:    4,294,967,297"):
        inverse.Sizes(2**32 + 1)
