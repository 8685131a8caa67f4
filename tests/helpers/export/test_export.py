"""Export of BEVFormer mini and of a toy: interface, one file, plugin graph, what is refused."""

import gc

import onnx
import onnxruntime
import pytest

from helpers import export, graph
from helpers.errors import BadInput
from tests.helpers.export.toy import Toy, noise


def test_interface_is_that_of_the_public_export(mini):
    made = graph.load(mini[1]).graph

    def interface(values):
        types = [value.type.tensor_type for value in values]
        assert {kind.elem_type for kind in types} == {onnx.TensorProto.FLOAT}
        return [(v.name, [d.dim_value for d in kind.shape.dim]) for v, kind in zip(values, types, strict=True)]

    assert interface(made.input) == [
        ("image", [1, 6, 3, 256, 416]),
        ("prev_bev", [2500, 1, 128]),
        ("use_prev_bev", [1]),
        ("can_bus", [18]),
        ("lidar2img", [1, 6, 4, 4]),
    ]
    assert interface(made.output) == [
        ("bev_embed", [2500, 1, 128]),
        ("outputs_classes", [3, 1, 300, 10]),
        ("outputs_coords", [3, 1, 300, 10]),
    ]


def test_one_file_that_speaks_of_no_machine(mini):
    path = mini[1]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    content = path.read_bytes()
    assert not [word for word in (b".py", b"stack_trace", b"name_scopes", b"site-packages") if word in content]


def test_plugin_graph_is_the_portable_one_without_bodies(toy, tmp_path):
    model, path = toy
    portable = graph.load(path)
    plugin = export.export(model, tmp_path / "plugin.onnx", plugin=True)
    bare = graph.load(plugin)
    assert [function.name for function in portable.functions] == ["RotateTRT2"] and not bare.functions
    assert bare.graph == portable.graph
    assert {node.domain for node in graph.custom_nodes(bare)} == {graph.DOMAIN}
    export.assert_parity(export.check(plugin, model, noise(2)))


def test_a_graph_as_older_exporters_wrote_it_is_refused_and_can_be_mended(toy, tmp_path):
    """Custom nodes in the empty domain, no function, no shapes behind them: docs/exporters.md."""
    model, path = toy
    old = onnx.load(path)
    for node in old.graph.node:
        node.domain = ""
    standard = [entry for entry in old.opset_import if not entry.domain]
    del old.opset_import[:], old.graph.value_info[:], old.metadata_props[:], old.functions[:]
    old.opset_import.extend(standard)
    onnx.save(old, tmp_path / "older.onnx")
    with pytest.raises(Exception, match="RotateTRT2"):
        onnxruntime.InferenceSession(tmp_path / "older.onnx")
    with pytest.raises(BadInput, match=r"older\.onnx"):
        graph.load(tmp_path / "older.onnx")
    mended = graph.postprocess(tmp_path / "older.onnx")
    made = graph.load(mended)
    assert [node.domain for node in graph.custom_nodes(made)] == [graph.DOMAIN]
    assert [function.name for function in made.functions] == ["RotateTRT2"]
    export.assert_parity(export.check(mended, model, noise(2)))


def test_export_refuses_what_would_not_be_the_model(tmp_path):
    with pytest.raises(BadInput, match="training mode"):
        export.export(Toy(), tmp_path / "toy.onnx")
    with pytest.raises(BadInput, match="config agree"):
        export.export(Toy(width=5).eval(), tmp_path / "toy.onnx")
    assert not list(tmp_path.iterdir())


def test_ends_are_put_on_when_asked_for(tmp_path, toy, monkeypatch):
    model, _ = toy
    asked = []

    def noted(made, *arguments):
        asked.append(arguments)
        return made

    for name in ("with_pictures", "with_boxes"):
        monkeypatch.setattr(export.ends, name, noted)
    for options in ({}, {"pictures": (9, 16)}, {"boxes": True}):
        export.export(model, tmp_path / "toy.onnx", **options)
    assert asked == [(model.config, (9, 16)), (model.config,)]
    keys = [export.cache.key_of(model, False, 18, options) for options in ({}, {"boxes": True}, {"pictures": (9, 16)})]
    assert keys[0] == export.cache.key_of(model, False, 18)
    assert keys[0] is None or len(set(keys)) == 3


@pytest.mark.parametrize("before", [True, False])
def test_garbage_is_collected_after_an_export_as_before_it(before):
    """Also where it is refused on the way."""
    (gc.enable if before else gc.disable)()
    try:
        with pytest.raises(KeyError), export._uncollected():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() == before
    finally:
        gc.enable()
