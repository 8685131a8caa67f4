"""What load refuses, and that what it gives back is what save wrote."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from helpers import engine, graph
from helpers.errors import BadInput
from helpers.graph.file import check_output, check_size, check_weights
from tests.builders.functions import image, run, with_plugins
from tests.builders.graphs import captures, model


def test_load_gives_back_what_save_wrote(plain, tmp_path):
    path = graph.save(plain, tmp_path / "plain.onnx")
    np.testing.assert_array_equal(run(graph.load(path), image=image())[0], run(plain, image=image())[0])
    assert graph.save(graph.load(path), tmp_path / "again.onnx").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.9, 0.999])
def test_load_refuses_a_truncated_file(plain, tmp_path, part):
    path = graph.save(plain, tmp_path / "plain.onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(BadInput, match=r"plain\.onnx"):
        graph.load(path)


def test_load_refuses_every_flipped_bit(plain, tmp_path):
    """Bits in the weights still parse; the digest finds them. (A flip in the digest's key leaves the graph whole.)"""
    path = graph.save(plain, tmp_path / "plain.onnx")
    whole = path.read_bytes()
    key = whole.index(graph.DIGEST.encode())
    spots = [
        i for i in np.random.default_rng(2).integers(0, len(whole), 60) if not key - 4 <= i < key + len(graph.DIGEST)
    ]
    for spot in spots:
        damaged = bytearray(whole)
        damaged[spot] ^= 1 << int(spot % 8)
        path.write_bytes(damaged)
        with pytest.raises(BadInput):
            graph.load(path)


def test_load_says_what_is_wrong_with_a_changed_weight(plain, tmp_path):
    path = graph.save(plain, tmp_path / "plain.onnx")
    weight = numpy_helper.to_array(plain.graph.initializer[0]).tobytes()
    path.write_bytes(path.read_bytes().replace(weight[:8], weight[:7] + bytes([weight[7] ^ 64]), 1))
    with pytest.raises(BadInput, match="changed bits"):
        graph.load(path)


def test_load_refuses_what_is_not_onnx(tmp_path):
    (tmp_path / "text.onnx").write_text("this is not a graph")
    for name in ("text.onnx", "missing.onnx"):
        with pytest.raises(BadInput, match=name):
            graph.load(tmp_path / name)


def test_load_refuses_nan_weights(plain, tmp_path):
    weight = numpy_helper.to_array(plain.graph.initializer[3]).copy()
    weight[2, 3] = np.nan
    plain.graph.initializer[3].CopyFrom(numpy_helper.from_array(weight, "head.w"))
    with pytest.raises(BadInput, match=r"head\.w\n.*NaN"):
        graph.load(graph.save(plain, tmp_path / "nan.onnx"))


def test_load_refuses_an_unknown_operator(plain, tmp_path):
    path = graph.save(graph.drop_functions(plain), tmp_path / "bare.onnx")
    with pytest.raises(BadInput) as caught:
        graph.load(path)
    assert "/head/mix/Halve" in caught.value.where and "Halve of domain 'demo'" in caught.value.found
    assert all(name in caught.value.expected for name in graph.PLUGINS)


def test_load_points_to_postprocess(tmp_path):
    (tmp_path / "public.onnx").write_bytes(with_plugins("").SerializeToString())
    with pytest.raises(BadInput, match="--postprocess"):
        graph.load(tmp_path / "public.onnx")


def test_graphs_need_no_torch(postprocessed):
    code = "import sys; from helpers import graph; graph.custom_ops(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, postprocessed[0]], check=True)


def test_a_file_of_weights_whose_name_is_no_text_is_refused_before_it_is_compared(plain, tmp_path):
    onnx.save(plain, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    damaged = (tmp_path / "m.onnx").read_bytes().replace(b"m.data", b"\xff.data", 1)
    (tmp_path / "m.onnx").write_bytes(damaged)
    (tmp_path / "out.onnx").touch()
    with pytest.raises(BadInput, match="names in UTF-8"):
        check_output(tmp_path / "out.onnx", tmp_path / "m.onnx")


def test_absent_and_short_external_weights_are_named(plain, tmp_path):
    onnx.save(plain, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert graph.load(tmp_path / "m.onnx").graph.initializer[0].raw_data
    with open(tmp_path / "m.data", "r+b") as weights:
        weights.truncate(100)
    with pytest.raises(BadInput, match="100 bytes") as caught:
        graph.load(tmp_path / "m.onnx")
    assert str(caught.value.where).endswith("m.data")
    (tmp_path / "m.data").unlink()
    with pytest.raises(BadInput, match="no such file") as caught:
        graph.load(tmp_path / "m.onnx")
    assert str(caught.value.where).endswith("m.data") and "copy it beside" in caught.value.fix


def test_a_model_of_two_gibibytes_is_not_called_damaged(tmp_path):
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[1,1024] x) => (float[1,600000] y) { y = MatMul(x, w) }'
    )
    weight = model.graph.initializer.add(name="w", data_type=1, dims=[1024, 600000], data_location=1)
    weight.external_data.add(key="location", value="big.data")
    (tmp_path / "big.onnx").write_bytes(model.SerializeToString())
    with open(tmp_path / "big.data", "wb") as weights:
        weights.truncate(4 * 1024 * 600000)  # without blocks on the disk
    with pytest.raises(BadInput, match=r"2\.3 GiB"):
        graph.load(tmp_path / "big.onnx")


def tensor(values):
    return numpy_helper.from_array(np.asarray(values), "w")


def in_an_initializer(weight):
    return model([helper.make_node("Add", ["x", "w"], ["y"])], {"x": [2]}, {"y": [2]}, [weight])


def in_a_constant_node(weight):
    nodes = [helper.make_node("Constant", [], ["w"], value=weight), helper.make_node("Add", ["x", "w"], ["y"])]
    return model(nodes, {"x": [2]}, {"y": [2]})


def in_a_function(weight):
    function = helper.make_function("d", "F", ["x"], ["y"], in_a_constant_node(weight).graph.node,
                                    [helper.make_opsetid("", 18)])  # fmt: skip
    return model([helper.make_node("F", ["x"], ["y"], domain="d")], {"x": [2]}, {"y": [2]}, (), 18, [function],
                 [("d", 1)])  # fmt: skip


def in_a_branch(weight):
    made = captures()
    made.graph.node[2].attribute[1].g.node[0].CopyFrom(helper.make_node("Constant", [], ["two"], value=weight))
    return made


PLACES = (in_an_initializer, in_a_constant_node, in_a_function, in_a_branch)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_in_every_type(value, dtype):
    """FP8 E4M3 has no infinity: a conversion to it gives NaN."""
    array = np.array([1, value], np.float32).astype(dtype)
    with pytest.raises(BadInput, match=r"tensor w\n.*(NaN|infinity) \(1 of 2 values\)"):
        check_weights(in_an_initializer(tensor(array)), "m.onnx")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("values", [[1, np.nan], [1, np.inf], [1, -np.inf], [np.inf, np.inf]])
def test_weights_that_are_no_numbers_are_refused_wherever_they_are(place, values, tmp_path):
    path = graph.save(place(tensor(np.float32(values))), tmp_path / "m.onnx")
    with pytest.raises(BadInput, match=r"NaN|infinity"):
        graph.load(path)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.data", size_threshold=0)
    with pytest.raises(BadInput, match=r"NaN|infinity"):
        engine.build(path, out_dir=tmp_path / "cache")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("values", [[0, -np.inf], [-np.inf, -np.inf], [np.inf], [1, 2]])
def test_masks_and_bounds_may_be_infinite(place, values, tmp_path):
    graph.load(graph.save(place(tensor(np.float32(values))), tmp_path / "m.onnx"))


def test_numbers_of_attributes_are_checked(tmp_path):
    made = in_a_constant_node(tensor(np.float32([1, 2])))
    made.graph.node[0].CopyFrom(helper.make_node("Constant", [], ["w"], value_floats=[1.0, np.nan]))
    with pytest.raises(BadInput, match=r"value_floats\n.*NaN"):
        graph.load(graph.save(made, tmp_path / "m.onnx"))


def test_a_constant_of_too_few_bytes_is_named(tmp_path):
    weight = tensor(np.float32([1, 2]))
    weight.raw_data = weight.raw_data[:5]
    onnx.save(in_an_initializer(weight), tmp_path / "m.onnx")
    with pytest.raises(BadInput, match=r"m\.onnx"):
        graph.load(tmp_path / "m.onnx")


def test_constants_that_are_listed_as_inputs(tmp_path):
    """So files up to IR version 3 have them."""
    old = in_an_initializer(tensor(np.float32([1, 2])))
    old.graph.input.append(helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [2]))
    old.ir_version, old.opset_import[0].version = 3, 8
    onnx.save(old, tmp_path / "old.onnx")
    assert run(graph.load(tmp_path / "old.onnx"), x=np.float32([1, 1]))[0].tolist() == [2, 3]
    assert [row["role"] for row in graph.shapes(tmp_path / "old.onnx")] == ["input", "initializer", "output"]


@pytest.mark.parametrize(
    "entries, said",
    [
        ({"location": "../m.data"}, r"'\.\./m\.data'"),
        ({"location": "/etc/passwd"}, "/etc/passwd"),
        ({"location": "m.data", "offset": "-4"}, "offset"),
        ({"location": "m.data", "length": "many"}, "length"),
        ({"offset": "4"}, "location"),
    ],
)
def test_external_weights_elsewhere_are_refused(entries, said, tmp_path):
    weight = onnx.TensorProto(name="w", data_type=1, dims=[2], data_location=1)
    for key, value in entries.items():
        weight.external_data.add(key=key, value=value)
    (tmp_path / "sub").mkdir()
    for folder in (tmp_path, tmp_path / "sub"):
        (folder / "m.data").write_bytes(b"\0" * 8)
    (tmp_path / "sub" / "m.onnx").write_bytes(in_an_initializer(weight).SerializeToString())
    with pytest.raises(BadInput, match=said):
        graph.parse(tmp_path / "sub" / "m.onnx")


def test_weights_may_stay_in_their_files(plain, tmp_path):
    onnx.save(plain, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert not graph.parse(tmp_path / "m.onnx", weights=False).graph.initializer[0].raw_data
    assert graph.parse(tmp_path / "m.onnx").graph.initializer[0].raw_data


def test_a_model_too_large_for_one_file_is_not_written(tmp_path):
    large = in_an_initializer(onnx.TensorProto(name="w", data_type=1, dims=[1 << 29]))
    with pytest.raises(BadInput, match=r"2\.0 GiB"):
        graph.save(large, tmp_path / "large.onnx")
    large.graph.initializer[0].data_type = onnx.TensorProto.INT4
    check_size(large, "a quarter of a GiB")
    assert not list(tmp_path.iterdir())


def test_a_pointer_and_a_folder_are_no_models(tmp_path):
    (tmp_path / "m.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(BadInput, match="git lfs pull"):
        graph.load(tmp_path / "m.onnx")
    with pytest.raises(BadInput, match="found:    a folder"):
        graph.load(tmp_path)


def test_load_refuses_nan_in_a_constant_node(tmp_path):
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) { w = Constant() y = Add(x, w) }'
    )
    values = numpy_helper.from_array(np.float32([1, np.nan]), "w")
    model.graph.node[0].attribute.append(helper.make_attribute("value", values))
    with pytest.raises(BadInput, match="NaN"):
        graph.load(graph.save(model, tmp_path / "nan.onnx"))


def test_a_shape_that_its_values_do_not_fill_is_named(tmp_path):
    """However large: nothing of that size is allocated."""
    for dims in ([3], [1 << 50], [-1]):
        weight = tensor(np.float32([1, 2]))
        weight.dims[:] = dims
        (tmp_path / "m.onnx").write_bytes(in_an_initializer(weight).SerializeToString())
        with pytest.raises(BadInput, match=r"m\.onnx"):
            graph.load(tmp_path / "m.onnx")
