"""Options of `python -m helpers engine`, by runtime, with trtexec's names where it has them."""

import re
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from helpers import engine
from helpers.cli import numbers
from helpers.engine.tensorrt import versions
from helpers.errors import BadInput

ORT, TRT, RTX = "onnxruntime", "tensorrt", "tensorrt_rtx"
MOST = 1000  # profiles
LEVELS = {"none": False, "ampere+": "AMPERE_PLUS", "sameComputeCapability": "SAME_COMPUTE_CAPABILITY"}


class Option(NamedTuple):
    """A command-line option: the runtimes that have it, its name in `engine.build` or `load`, and how it is parsed."""

    flag: str
    runtimes: tuple
    name: str
    settings: dict


def _flag(text):
    return {"action": "store_true", "default": None, "help": text}


def _value(text, **settings):
    return {"help": text, **settings}


BUILD = (
    Option("--threads", (ORT,), "threads", _value("threads within an operator", type=numbers.whole(1, 4096))),
    Option("--optimization", (ORT,), "optimization", _value("disable, basic, extended or all")),
    Option("--computeCapability", (RTX,), "compute_capability", _value("GPUs to build for", metavar="8.6,8.9")),
    Option("--builderOptimizationLevel", (TRT, RTX), "optimization_level",
           _value("0 to 5", type=numbers.whole(0, 5), metavar="N")),
    Option("--memPoolSize", (TRT, RTX), "workspace", _value("scratch memory limit", metavar="workspace:MiB")),
    Option("--fp16", (TRT,), "fp16", _flag("allow FP16 layers")),
    Option("--int8", (TRT,), "int8", _flag("allow INT8 layers; ranges from --calib or the graph's Q/DQ nodes")),
    Option("--best", (TRT,), "best", _flag("allow every precision")),
    Option("--stronglyTyped", (TRT,), "strong", _flag("types are those of the ONNX file")),
    Option("--noTF32", (TRT,), "no_tf32", _flag("no TF32 in FP32 layers")),
    Option("--layerPrecisions", (TRT,), "layer_precisions",
           _value("fp32, fp16 or int8 for layers by name, * for any text", metavar="PATTERN:fp32,...")),
    Option("--precisionConstraints", (TRT,), "constraints", _value("obey, which --layerPrecisions needs")),
    Option("--calib", (TRT,), "calibration", _value("set of helpers.calibration", type=Path, metavar="FILE.npz")),
    Option("--timingCacheFile", (TRT,), "timing_cache",
           _value("timed tactics; made if absent", type=Path, metavar="FILE")),
    Option("--tacticSources", (TRT,), "tactic_sources",
           _value("-NAME,... leaves sources out, +NAME,... takes these alone", metavar="-CUBLAS,...")),
    Option("--versionCompatible", (TRT,), "version_compatible", _flag("later versions of the release may load it")),
    Option("--hardwareCompatibilityLevel", (TRT,), "hardware_compatible", _value("none or ampere+", choices=LEVELS)),
    Option("--markOutputs", (TRT,), "mark_outputs", _value("tensors to see as outputs", metavar="NAME,...")),
    Option("--decompose", (TRT,), "decompose", _value("GridSample, LayerNormalization", metavar="OPERATOR,...")),
)  # fmt: skip
LOAD = (
    Option("--useCudaGraph", (TRT,), "cuda_graph", _flag("queue the engine as one CUDA graph")),
    Option("--states", (TRT,), "states", _value("inputs that take an output's last value", metavar="INPUT:OUTPUT,...")),
    Option(
        "--useProfile",
        (TRT,),
        "profile",
        _value(
            "optimization profile (default: the first that the shapes fit)", type=numbers.whole(0, MOST), metavar="N"
        ),
    ),
)
SHAPES = ("min", "opt", "max")


class _Shapes(Action):
    """--minShapes and its kin: they belong to the optimization profile that the last --profile before them named."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        found = {number: dict(three) for number, three in namespace.profiles.items()}
        found.setdefault(namespace.profile_number, {})[self.dest] = values
        namespace.profiles = found


def add_build(parser: ArgumentParser) -> None:
    """Add the build options of all runtimes."""
    add(parser, BUILD)
    parser.add_argument("--profile", dest="profile_number", type=numbers.whole(0, MOST), default=0, metavar="N",
                        help=f"{TRT}, {RTX}: the shapes after it are those of optimization profile N (0)")  # fmt: skip
    parser.set_defaults(profiles={})
    for name in SHAPES:
        parser.add_argument(f"--{name}Shapes", type=shapes, action=_Shapes, dest=name, metavar="input:1x3x4,...",
                            help=f"{TRT}, {RTX}: {name} shapes of inputs with free dimensions")  # fmt: skip


def add_load(parser: ArgumentParser) -> None:
    """Add what an engine is loaded with, the plugin libraries included (they are for building too)."""
    add(parser, LOAD)


def add_plugins(parser: ArgumentParser) -> None:
    """Add --plugins and its kin, which are for building and for loading."""
    parser.add_argument("--plugins", "--staticPlugins", "--dynamicPlugins", action="append", default=[], type=Path,
                        metavar="LIBRARY", help=f"{TRT}: plugin library; repeat for more")  # fmt: skip


def add(parser: ArgumentParser, options: Sequence[Option]) -> None:
    """Add some of `BUILD` or `LOAD`."""
    for flag, runtimes, name, settings in options:
        parser.add_argument(flag, dest=name, **{**settings, "help": f"{', '.join(runtimes)}: {settings['help']}"})


def shapes(text: str) -> dict[str, tuple[int, ...]]:
    """{"x": (1, 3, 4)} from "x:1x3x4,..."; a name may itself contain colons."""
    found = {name: tuple(int(size) for size in shape.split("x")) for name, shape in pairs(text).items()}
    if any(size < 0 for shape in found.values() for size in shape):
        raise BadInput("shapes", text, "sizes from 0", "correct it")
    return found


def pairs(text: str) -> dict[str, str]:
    """{"a": "b"} from "a:b,..."; the left side may contain colons. BadInput for half a pair or a name given twice."""
    found = {}
    for item in text.split(","):
        name, _, value = item.rpartition(":")
        if not name or not value or name in found:
            raise BadInput(repr(item), f"in {text!r}", "NAME:VALUE,... with every name once", "correct it")
        found[name] = value
    return found


def refuse_unless(runtime: str, flag: str, runtimes: Sequence[str]) -> None:
    """BadInput if `flag` does not belong to this runtime but to `runtimes`."""
    if runtime not in runtimes:
        raise BadInput(f"--runtime={runtime}", f"options of {' and '.join(runtimes)}: {[flag]}", "its own options only",
                       f"leave them out, or pass --runtime={runtimes[0]}")  # fmt: skip


def build_options(arguments: Namespace) -> dict[str, Any]:
    """Keyword arguments for `engine.build`; options of another runtime are refused by name."""
    given = _given(arguments, BUILD, arguments.runtime)
    if arguments.plugins:
        refuse_unless(arguments.runtime, "--plugins", (TRT,))
    if "workspace" in given:
        given["workspace"] = READ["workspace"](given["workspace"])
    if profiles := _profiles(arguments.profiles):
        refuse_unless(arguments.runtime, "--minShapes", (TRT, RTX))
        given["shapes"] = profiles
    if "compute_capability" in given:
        given["compute_capability"] = given["compute_capability"].split(",")
    return _tensorrt(given, arguments.plugins) if arguments.runtime == TRT else given


def load_options(arguments: Namespace, runtime: str) -> dict[str, Any]:
    """Keyword arguments for `engine.load`."""
    given = _given(arguments, LOAD, runtime)
    if "states" in given:
        given["states"] = pairs(given["states"])
    if arguments.plugins:
        refuse_unless(runtime, "--plugins", (TRT,))
        given["plugins"] = arguments.plugins
    return given


def _given(arguments, options, runtime):
    found = {}
    for option in options:
        value = getattr(arguments, option.name)
        if value is not None:
            refuse_unless(runtime, option.flag, option.runtimes)
            found[option.name] = value
    return found


def _workspace(text):
    pool, _, size = text.partition(":")
    if pool != "workspace" or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", size):
        raise BadInput("--memPoolSize", text, "workspace:MiB, such as workspace:1024", "correct it")
    return float(size)


def _profiles(given):
    """[{input: (min, opt, max)}], one per profile."""
    if missing := set(range(len(given))) - given.keys():
        raise BadInput(
            "--profile", sorted(given), f"profiles 0 to {len(given) - 1}", f"give --profile={min(missing)} too"
        )
    return [_profile(given[number]) for number in range(len(given))]


def _profile(three):
    named = dict.fromkeys(name for one in three.values() for name in one)
    for name in named:
        if missing := [f"--{size}Shapes={name}:SHAPE" for size in SHAPES if name not in three.get(size, {})]:
            expected = "--minShapes, --optShapes and --maxShapes"
            raise BadInput(f"input {name!r}", "not all of its shapes", expected, f"add {' '.join(missing)}")
    return {name: tuple(three[size][name] for size in SHAPES) for name in named}


def _tensorrt(given, plugins):
    """trtexec's flags as options of `helpers.engine.tensorrt`."""
    precision = _precision(given)
    if given.pop("no_tf32", False):
        given["tf32"] = False
    constraints = given.pop("constraints", None)
    if constraints not in (None, "obey") or ("layer_precisions" in given and constraints is None):
        raise BadInput("--precisionConstraints", constraints, "obey, if layers are to have the precisions that "
                       "--layerPrecisions names", "pass --precisionConstraints=obey")  # fmt: skip
    if "layer_precisions" in given:
        given["layer_precisions"] = pairs(given["layer_precisions"])
    for name in ("mark_outputs", "decompose"):
        if name in given:
            given[name] = given[name].split(",")
    if "tactic_sources" in given:
        given["tactic_sources"] = READ["tactic_sources"](given["tactic_sources"])
    if "hardware_compatible" in given:
        given["hardware_compatible"] = LEVELS[given["hardware_compatible"]]
    return given | {"precision": precision} | ({"plugins": plugins} if plugins else {})


def _precision(given):
    fp16, int8, best, strong = (given.pop(name, False) for name in ("fp16", "int8", "best", "strong"))
    if strong and (fp16 or int8 or best):
        raise BadInput("--stronglyTyped", "with --fp16, --int8 or --best", "one or the other: types are the graph's",
                       "leave the precision flags out")  # fmt: skip
    if strong:
        return "strong"
    if best or (fp16 and int8):
        return "best"
    if int8:
        return "int8-implicit" if "calibration" in given else "explicit"
    return "fp16" if fp16 else "fp32"


def _tactic_sources(text):
    """Names that remain: "-A,-B" takes sources away from all that this version has, "+A,+B" takes these alone."""
    _, version = engine.usable(TRT)
    known = versions.facts(version).tactic_sources
    signs, names = {item[:1] for item in text.split(",")}, [item[1:] for item in text.split(",")]
    if signs not in ({"-"}, {"+"}):
        raise BadInput("--tacticSources", text, "-NAME,... or +NAME,...", "give every name the same sign")
    versions.check_names("tactic_sources", names, known, version)
    return names if signs == {"+"} else [name for name in known if name not in names]


READ = {"workspace": _workspace, "tactic_sources": _tactic_sources}
