"""What load refuses, and that what it gives back is what save wrote."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from helpers import graph
from helpers.errors import BadInput
from tests.builders.functions import image, run, with_plugins


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


def test_load_refuses_nan_in_a_constant_node(tmp_path):
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) { w = Constant() y = Add(x, w) }'
    )
    values = numpy_helper.from_array(np.float32([1, np.nan]), "w")
    model.graph.node[0].attribute.append(helper.make_attribute("value", values))
    with pytest.raises(BadInput, match="NaN"):
        graph.load(graph.save(model, tmp_path / "nan.onnx"))
