"""What the builder is asked for: precisions, flags, names and numbers; what a version cannot do is refused."""

import pytest

from helpers import calibration, engine
from helpers.engine import cuda
from helpers.errors import BadInput
from helpers.ops import library as plugin_library
from tests.helpers.engine.tensorrt.builders import built


def test_tf32_workspace_level_tactics_and_verbosity(trt, model):
    built(model, tf32=False, workspace=64, optimization_level=5, tactic_sources=["JIT_CONVOLUTIONS"])
    _, config = trt._built[0]
    assert config._names() == set() and config._limits == {"WORKSPACE": 64 << 20}
    assert config.builder_optimization_level == 5 and config._tactics == 1 << int(trt.TacticSource.JIT_CONVOLUTIONS)
    assert config.profiling_verbosity.name == "DETAILED"
    built(model, tactic_sources=[])
    assert trt._built[1][1]._tactics == 0 and "TF32" in trt._built[1][1]._names()
    built(model)
    assert trt._built[2][1]._tactics is None


FLAGS = {
    "fp32": set(),
    "fp16": {"FP16"},
    "best": {"FP16", "INT8"},
    "int8-implicit": {"INT8"},
    "obey": {"FP16", "OBEY_PRECISION_CONSTRAINTS"},
}


@pytest.mark.parametrize("precision", FLAGS)
def test_flags_of_weak_typing(weak, model, calib, precision):
    options = {"obey": {"layer_precisions": {"*_FORCEFP32": "fp32"}},
               "best": {"calibration": calib}, "int8-implicit": {"calibration": calib}}.get(precision, {})  # fmt: skip
    built(model, precision=precision, **options)
    _, config = weak._built[0]
    extra = {"BF16"} if precision == "best" and weak._major == 10 else set()
    assert config._names() == FLAGS[precision] | extra | {"TF32"}
    assert (config._calibrator is not None) == (precision in ("best", "int8-implicit"))


def test_best_leaves_out_bf16_before_ampere(install, driver, model, calib):
    trt = install("10.13.0")
    driver.capability = (7, 5)
    built(model, precision="best", calibration=calib)
    assert "BF16" not in trt._built[0][1]._names()


def test_strong_typing_is_a_flag_in_10_and_the_only_way_in_11(install, model):
    trt = install("10.13.0")
    built(model, precision="strong")
    assert trt._built[0][0]._flags == 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    assert trt._built[0][1]._names() == {"TF32"}
    trt = install("11.1.0")
    built(model, precision="strong")
    assert trt._built[0][0]._flags == 0


@pytest.mark.parametrize(
    "version, precision, named",
    [
        ("8.6.0", "strong", "no strongly typed networks"),
        ("11.1.0", "fp16", "autocast"),
        ("11.1.0", "best", "helpers quantize"),
        ("11.1.0", "int8-implicit", "calibrators ended with 10.x(.|\n)*helpers quantize"),
        ("11.1.0", "obey", "per-layer precisions(.|\n)*autocast"),
        ("8.6.0", "fp64", "one of"),
    ],
)
def test_what_a_version_cannot_do_is_refused_with_the_way_it_does_it(install, model, version, precision, named):
    trt = install(version)
    with pytest.raises(BadInput, match=named):
        built(model, precision=precision)
    assert trt._built == [] and not (model.parent / "cache").exists()


@pytest.mark.parametrize(
    "options, named",
    [
        ({"precision": "obey"}, "layer_precisions"),
        ({"precision": "fp32", "layer_precisions": {"*": "fp32"}}, "layer_precisions"),
        ({"precision": "obey", "layer_precisions": {"*": "fp12"}}, "fp12"),
        ({"precision": "obey", "layer_precisions": {"*": "fp32", "*nowhere*": "fp32"}}, r"\*nowhere\*"),
        ({"precision": "fp16", "calibration": "c.npz"}, "calibration"),
        ({"precision": "best", "calibration": "absent.npz"}, "absent.npz"),
        ({"optimization_level": 6}, "optimization_level"),
        ({"workspace": 0}, "workspace"),
        ({"tactic_sources": ["CUFFT"]}, "CUFFT"),
        ({"hardware_compatible": "HOPPER"}, "HOPPER"),
        ({"plugins": ["absent.so"]}, "absent.so"),
        ({"mark_outputs": ["moves"]}, "'moves'(.|\n)*moved"),
        ({"decompose": ["Softmax"]}, "Softmax"),
    ],
)
def test_wrong_options_are_named(weak, model, options, named):
    with pytest.raises(BadInput, match=named):
        built(model, **options)
    assert weak._built == [] and not list((model.parent / "cache").glob("*"))


def test_tactic_sources_of_11_have_no_cublas(install, model):
    install("11.1.0")
    with pytest.raises(BadInput, match=r"CUBLAS(.|\n)*EDGE_MASK"):
        built(model, tactic_sources=["CUBLAS"])


def test_key_holds_content_not_paths(weak, model, tmp_path, calib, driver, monkeypatch):
    library = tmp_path / "libplugin.so"
    library.write_bytes(b"Plugin A")
    if weak._major == 8:
        monkeypatch.setattr(plugin_library, "open_globally", lambda path: None)
    options = {"precision": "best", "calibration": calib, "plugins": [library]}
    paths = [built(model, **options)]
    assert engine.inspect(paths[0])["options"]["plugins"][0]["file"] == "libplugin.so"
    moved = calib.rename(tmp_path / "moved.npz")
    options["calibration"] = moved
    assert built(model, **options) == paths[0]
    calibration.noise(moved, {"x": (3, 2), "history": (3, 2)}, samples=4, seed=1)
    paths.append(built(model, **options))
    library.write_bytes(b"Plugin B")
    paths.append(built(model, **options))
    driver.capability = (8, 9)
    cuda.device.cache_clear()
    paths.append(built(model, **options))
    assert len(set(paths)) == 4
