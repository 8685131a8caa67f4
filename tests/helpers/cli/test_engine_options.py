"""Options of `python -m helpers engine`: trtexec's flags as those of the runtimes."""

import sys
from pathlib import Path

import pytest

from helpers.cli import engine_options
from helpers.cli.parser import Parser
from helpers.errors import BadInput
from tests.fakes import tensorrt as fake_tensorrt


@pytest.fixture
def trt(monkeypatch):
    """TensorRT 8.6's recorded API with a stand-in for the driver."""
    with fake_tensorrt.installed(monkeypatch, "8.6.0") as module:
        yield module


def parsed(*arguments):
    """Options for `engine.build` from the command line of the runtime tensorrt."""
    parser = Parser()
    parser.add_argument("--runtime", default="tensorrt")
    engine_options.add_build(parser)
    engine_options.add_plugins(parser)
    return engine_options.build_options(parser.parse_args(arguments))


@pytest.mark.parametrize(
    "arguments, options",
    [
        ([], {"precision": "fp32"}),
        (["--fp16"], {"precision": "fp16"}),
        (["--fp16", "--int8"], {"precision": "best"}),
        (["--best", "--noTF32"], {"precision": "best", "tf32": False}),
        (["--int8"], {"precision": "explicit"}),
        (["--int8", "--calib=c.npz"], {"precision": "int8-implicit", "calibration": Path("c.npz")}),
        (["--stronglyTyped"], {"precision": "strong"}),
        (
            ["--fp16", "--precisionConstraints=obey", "--layerPrecisions=/a:b/*:fp32,c:fp16"],
            {"precision": "fp16", "layer_precisions": {"/a:b/*": "fp32", "c": "fp16"}},
        ),
        (["--memPoolSize=workspace:64", "--timingCacheFile=t"], {"workspace": 64.0, "timing_cache": Path("t")}),
        (["--staticPlugins=a.so", "--dynamicPlugins=b.so"], {"plugins": [Path("a.so"), Path("b.so")]}),
        (
            ["--versionCompatible", "--hardwareCompatibilityLevel=ampere+"],
            {"version_compatible": True, "hardware_compatible": "AMPERE_PLUS"},
        ),
        (["--markOutputs=a,b", "--decompose=GridSample"], {"mark_outputs": ["a", "b"], "decompose": ["GridSample"]}),
        (["--tacticSources=+CUDNN"], {"tactic_sources": ["CUDNN"]}),
        (
            ["--tacticSources=-CUBLAS,-CUBLAS_LT,-CUDNN"],
            {"tactic_sources": ["EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"]},
        ),
        (
            ["--minShapes=x:1x2", "--optShapes=x:2x2", "--maxShapes=x:8x2"],
            {"shapes": [{"x": ((1, 2), (2, 2), (8, 2))}]},
        ),
        (
            [f"--{size}Shapes=x:1x2" for size in ("min", "opt", "max")]
            + ["--profile=1", *(f"--{size}Shapes=x:{n}x2" for size, n in (("max", 8), ("min", 2), ("opt", 4)))],
            {"shapes": [{"x": ((1, 2),) * 3}, {"x": ((2, 2), (4, 2), (8, 2))}]},
        ),
    ],
)
def test_tensorrt_options(trt, arguments, options):
    assert parsed(*arguments) == {"precision": "fp32"} | options


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--runtime=onnxruntime", "--fp16"], "options of tensorrt: ['--fp16']"),
        (["--runtime=tensorrt_rtx", "--noTF32"], "options of tensorrt: ['--noTF32']"),
        (["--runtime=onnxruntime", "--plugins=a.so"], "options of tensorrt: ['--plugins']"),
        (["--computeCapability=8.6"], "options of tensorrt_rtx: ['--computeCapability']"),
        (["--layerPrecisions=a:fp32"], "--precisionConstraints=obey"),
        (["--precisionConstraints=prefer"], "--precisionConstraints"),
        (["--stronglyTyped", "--fp16"], "--stronglyTyped"),
        (["--tacticSources=CUBLAS"], "--tacticSources"),
        (["--tacticSources=-NONE"], "'NONE'"),
        (["--memPoolSize=tactic:1"], "workspace:MiB"),
        (["--memPoolSize=workspace:nan"], "workspace:MiB"),
        (["--memPoolSize=workspace:²"], "workspace:MiB"),
        (["--precisionConstraints=obey", "--layerPrecisions=a"], "NAME:VALUE"),
        (["--profile=1", *(f"--{size}Shapes=x:1" for size in ("min", "opt", "max"))], "give --profile=0 too"),
        (
            ["--profile=1", "--minShapes=x:1", "--profile=0", "--optShapes=x:1", "--maxShapes=x:1"],
            "--minShapes=x:SHAPE",
        ),
        (["--precisionConstraints=obey", "--layerPrecisions=a:fp32,a:fp16"], "every name once"),
    ],
)
def test_tensorrt_options_that_do_not_fit(trt, arguments, named):
    with pytest.raises(BadInput) as refusal:
        parsed(*arguments)
    assert named in str(refusal.value)


def test_options_of_a_runtime_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BadInput, match="runtime tensorrt"):
        parsed("--tacticSources=+CUDNN")
