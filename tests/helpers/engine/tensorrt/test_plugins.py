"""Plugin libraries."""

import pytest

from helpers import engine
from helpers.engine import cache
from helpers.engine.tensorrt import inspector, plan, plugins
from helpers.errors import BadInput
from helpers.ops import library as plugin_library
from tests.helpers.engine.tensorrt.builders import built, save_custom


def test_plugin_library_is_loaded_the_versions_way(trt, tmp_path, monkeypatch):
    path, library = save_custom(tmp_path / "custom.onnx"), tmp_path / "libtwice.so"
    library.write_bytes(b"Plugin Twice")
    opened = []

    def dlopen(name, *mode):
        assert str(name) == str(library)
        opened.append(str(name))
        trt._creators.add("Twice")
        return object()

    monkeypatch.setattr(plugin_library.ctypes, "CDLL", dlopen)
    with pytest.raises(BadInput, match=r"'/Twice'(.|\n)*Plugin not found(.|\n)*plugins="):
        built(path)
    monkeypatch.setattr(plan, "deserialize", lambda *arguments: plan.Plan(None, None, None, 0))
    monkeypatch.setattr(inspector, "layers", lambda engine: [])
    made = built(path, plugins=[library])
    assert (opened, trt._libraries) == (([str(library)], []) if trt._major == 8 else ([], [str(library)]))
    node = trt._built[0][0]._model.graph.node[0]
    assert (node.op_type, node.domain) == ("Twice", "" if trt._major == 8 else "trt.plugins")
    plugin_library._loaded.clear()
    meta = cache.read_meta(made)
    assert plugins.check(made, meta, []) == [str(library)]  # found where it was
    library.write_bytes(b"Plugin Thrice")
    with pytest.raises(BadInput, match=r"libtwice\.so with SHA-256"):
        engine.load(made)
    library.unlink()
    with pytest.raises(BadInput, match=r"none(.|\n)*libtwice.so"):
        engine.load(made)


def test_no_precision_is_set_on_a_plugin(weak, tmp_path, monkeypatch):
    library = tmp_path / "libtwice.so"
    library.write_bytes(b"Plugin Twice")
    weak._creators.add("Twice")
    monkeypatch.setattr(plugin_library.ctypes, "CDLL", lambda *_: object())
    monkeypatch.setattr(plan, "deserialize", lambda *arguments: plan.Plan(None, None, None, 0))
    monkeypatch.setattr(inspector, "layers", lambda engine: [])
    built(save_custom(tmp_path / "custom.onnx"), plugins=[library], precision="fp16", layer_precisions={"/*": "fp32"})
    (layer,) = weak._built[0][0]._layers
    assert layer.name == "/Twice" and layer._types == {}


def test_a_file_that_is_no_plugin_library(trt, model, tmp_path):
    library = tmp_path / "libnothing.so"
    library.write_bytes(b"not a library")
    with pytest.raises(BadInput, match=r"libnothing\.so"):
        built(model, plugins=[library])
