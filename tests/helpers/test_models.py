"""The table of systems: seeded networks, and checkpoints that are loaded whole or refused by name."""

import tracemalloc

import pytest
import torch
from safetensors.torch import save_file

from helpers import models
from helpers.errors import BadInput
from tests.helpers.systems.bevformer.test_network import TINY, network


def test_create_is_seeded_and_leaves_the_global_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = models.create("bevformer", TINY), models.create("bevformer", TINY)
    assert torch.equal(torch.rand(3), expected)
    other = models.create("bevformer", TINY, seed=1)
    name = "img_neck.fpn_convs.0.conv.weight"
    assert torch.equal(first.state_dict()[name], second.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])
    assert not first.training


def stored(tmp_path, state, name="weights.pth"):
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("form", ["state_dict", "module", "plain", "safetensors"])
def test_load_checkpoint_reads_every_form(tmp_path, form):
    state = network(seed=3).state_dict()
    if form == "safetensors":
        path = stored(tmp_path, state, "weights.safetensors")
    elif form == "module":
        path = stored(tmp_path, {"state_dict": {f"module.{k}": v for k, v in state.items()}, "meta": {"epoch": 24}})
    else:
        path = stored(tmp_path, state if form == "plain" else {"state_dict": state})
    model = models.load_checkpoint(network(seed=4), path)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_load_checkpoint_names_every_problem_and_loads_nothing(tmp_path):
    state = network(seed=3).state_dict()
    del state["pts_bbox_head.transformer.cams_embeds"], state["img_backbone.bn1.running_mean"]
    state["pts_bbox_head.extra"] = torch.zeros(1)
    state["img_neck.fpn_convs.0.conv.bias"] = torch.zeros(17)
    state["img_backbone.bn1.num_batches_tracked"] = torch.tensor(0.0)
    state["pts_bbox_head.bev_embedding.weight"][3, 2] = float("nan")
    state["pts_bbox_head.query_embedding.weight"][0, 0] = float("inf")
    path = stored(tmp_path, {"state_dict": state})
    model = network(seed=4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(BadInput) as error:
        models.load_checkpoint(model, path)
    message = str(error.value)
    for expected in (
        str(path),
        "missing (2): pts_bbox_head.transformer.cams_embeds, img_backbone.bn1.running_mean",
        "unexpected (1): pts_bbox_head.extra",
        "wrong shape (1): img_neck.fpn_convs.0.conv.bias [17] instead of [16]",
        "wrong dtype (1): img_backbone.bn1.num_batches_tracked float32 instead of int64",
        "not finite (2): pts_bbox_head.bev_embedding.weight, pts_bbox_head.query_embedding.weight",
    ):
        assert expected in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "empty", "text", "absent"])
def test_load_checkpoint_refuses_a_damaged_file(tmp_path, name, damage):
    path = stored(tmp_path, network().state_dict(), name)
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"not weights"}.get(damage, content))
    if damage == "absent":
        path.unlink()
    with pytest.raises(BadInput, match=name):
        models.load_checkpoint(network(), path)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_load_checkpoint_refuses_a_git_lfs_pointer(tmp_path, name):
    (path := tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12838276\n")
    with pytest.raises(BadInput, match="git-lfs pointer") as caught:
        models.load_checkpoint(network(), path)
    assert (caught.value.where, caught.value.fix) == (str(path), "git lfs pull")


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {"a": 1.0}}, {"state_dict": [1]}])
def test_load_checkpoint_refuses_other_content(tmp_path, content):
    with pytest.raises(BadInput, match="not a table of tensors"):
        models.load_checkpoint(network(), stored(tmp_path, content))


def test_load_checkpoint_says_what_lies_beside_the_tensors(tmp_path):
    with pytest.raises(BadInput, match="it holds 'model', 'epoch'"):
        models.load_checkpoint(network(), stored(tmp_path, {"model": network().state_dict(), "epoch": 24}))


def test_load_checkpoint_refuses_nothing_but_zeros(tmp_path):
    state = {name: torch.zeros_like(tensor) for name, tensor in models.create("bevformer", "mini").state_dict().items()}
    torch.save(state, tmp_path / "zeros.pth")
    with pytest.raises(BadInput, match=r"zeros\.pth\n  found: +nothing but zeros"):
        models.load_checkpoint(models.create("bevformer", "mini"), tmp_path / "zeros.pth")
    state[next(name for name in state if name.endswith("weight"))][:] = 1.0
    torch.save(state, tmp_path / "zeros.pth")
    models.load_checkpoint(models.create("bevformer", "mini"), tmp_path / "zeros.pth")


def test_load_checkpoint_refuses_two_tensors_of_one_name(tmp_path):
    state = network().state_dict()
    name = next(iter(state))
    doubled = {"state_dict": state | {f"module.{name}": torch.zeros_like(state[name])}}
    with pytest.raises(BadInput, match=f"1 tensors under two names, such as {name} and module.{name}"):
        models.load_checkpoint(network(), stored(tmp_path, doubled))


def test_load_checkpoint_refuses_what_is_no_plain_finite_tensor(tmp_path):
    state = network().state_dict()
    first, second, third = list(state)[:3]
    state[first] = torch.full(state[first].shape, 1e300, dtype=torch.float64)  # infinite as float32
    state[second] = state[second].to_sparse()
    with pytest.raises(BadInput) as caught:
        models.load_checkpoint(network(), stored(tmp_path, state))
    assert f"not finite (1): {first}" in caught.value.found
    assert f"without storage (1): {second}" in caught.value.found
    with pytest.raises(BadInput, match="it holds 7"):
        models.load_checkpoint(network(), stored(tmp_path, {7: state[third]}))


def test_a_skeleton_takes_no_weights(tmp_path):
    path = stored(tmp_path, network().state_dict())
    with pytest.raises(BadInput, match="on the device meta"):
        models.load_checkpoint(models.skeleton("bevformer", TINY), path)


def test_a_table_that_is_wrong_is_named(monkeypatch):
    for line, said in (("helpers.systems.nowhere:X", "no module helpers.systems.nowhere"),
                       ("helpers.systems.bevformer", "folder.as.a.module:Class"),
                       ("helpers.systems.bevformer:Other", "folder.as.a.module:Class")):  # fmt: skip
        monkeypatch.setitem(models.SYSTEMS, "mine", line)
        with pytest.raises(BadInput, match=said) as caught:
            models.create("mine")
        assert "SYSTEMS['mine']" in caught.value.where


def test_a_package_that_a_network_needs_is_not_taken_for_a_wrong_table(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError("No module named 'einops'", name="einops")

    monkeypatch.setattr(models, "import_module", absent)
    with pytest.raises(ModuleNotFoundError, match="einops"):
        models.configs("bevformer")


def test_the_first_configuration_is_taken_where_none_is_called_published(monkeypatch):
    from helpers.systems.bevformer import config

    monkeypatch.setattr(config, "CONFIGS", {"tiny": TINY})
    assert models.config("bevformer") is TINY and models.create("bevformer").config is TINY


def test_a_configuration_of_another_system_is_refused():
    from tests.helpers.systems.toy.config import CONFIGS

    with pytest.raises(BadInput, match="configuration of bevformer"):
        models.create("bevformer", next(iter(CONFIGS.values())))


def test_load_checkpoint_runs_no_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    with pytest.raises(BadInput):
        models.load_checkpoint(network(), stored(tmp_path, {"state_dict": {"a": Trap()}}))
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_with_python_objects_is_not_unpickled(tmp_path):
    path = tmp_path / "objects.pth"
    torch.save({"state_dict": {}, "object": tmp_path}, path)
    with pytest.raises(BadInput, match="never unpickled") as caught:
        models.load_checkpoint(models.create("bevformer", TINY), path)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("special", ["nested", "huge"])
def test_tensors_that_have_no_plain_numbers_are_named_before_any_is_touched(tmp_path, special):
    whole = torch.nn.Linear(3, 2)
    bad = torch.zeros(1).expand(2**42) if special == "huge" else torch.nested.nested_tensor([torch.zeros(2)])
    torch.save({**whole.state_dict(), "weight": bad}, tmp_path / "special.pth")
    with pytest.raises(BadInput, match=r"special\.pth[\s\S]*weight"):
        models.load_checkpoint(whole, tmp_path / "special.pth")


@pytest.mark.parametrize("claim", [b"X\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\x7f"])  # a text, a number
def test_what_a_checkpoint_claims_is_not_allocated(tmp_path, claim):
    (path := tmp_path / "claims.pth").write_bytes(b"\x80\x02" + claim + b"text.")
    tracemalloc.start()
    try:
        with pytest.raises(BadInput):
            models.load_checkpoint(torch.nn.Linear(1, 1), path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_load_checkpoint_refuses_numbers_that_no_tensor_of_the_kind_holds(tmp_path):
    state = network().state_dict()
    state["img_backbone.bn1.running_var"] = -state["img_backbone.bn1.running_var"]
    state["img_backbone.bn1.num_batches_tracked"] = torch.tensor(3 + 4j)  # of which a conversion drops a part
    with pytest.raises(BadInput) as caught:
        models.load_checkpoint(network(), stored(tmp_path, state))
    assert "a variance below zero (1): img_backbone.bn1.running_var" in caught.value.found
    assert "img_backbone.bn1.num_batches_tracked complex64 instead of int64" in caught.value.found


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.module.", "model.backbone."])
def test_load_checkpoint_says_what_stands_before_every_name(tmp_path, prefix):
    state = network().state_dict()
    with pytest.raises(BadInput) as caught:
        models.load_checkpoint(network(), stored(tmp_path, {prefix + name: state[name] for name in state}))
    assert caught.value.fix.endswith(f"without {prefix.removeprefix('module.')!r}")
