"""The engines that are built of a network, and how."""

from benchmarks import definitions
from benchmarks.measured import PLUGIN, SINGLE, bare

# Options of `helpers.engine.build`; constrained: what `config.fp32` says stays in FP32, or what a search left there
# ("smallest"); half: plugins in both forms. A build whose tactics others have timed is shorter, so those with fewer
# types to choose from come first: what a build has timed is kept when it ends, and lost if it is cut off.
ENGINES = {
    "fp32": {"precision": "fp32", "tf32": False},
    "tf32": {"precision": "fp32"},
    "qdq_tf32": {"precision": "explicit", "graph": "_qdq"},  # INT8, and nothing in half precision
    "fp16": {"precision": "fp16", "constrained": True, "half": True},
    "smallest": {"precision": "fp16", "constrained": "smallest"},
    # INT8 and half precision. TensorRT 8.6.0 gets a projection of standard operators wrong whatever is quantized, even
    # a single sum: a slice of it hands on other values than it was given, though both are to stay in FP32.
    "qdq": {"precision": "best", "constrained": True, "graph": "_qdq", "half": True},
    "best": {"precision": "best", "constrained": True, "calibration": True, "half": True},  # the longest build
    "fp16_all": {"precision": "fp16"},  # negative control: everything in half precision
}
# Only for a system that names them; without the timing cache of other engines, which a builder may stumble over.
ALONE = {"timing_cache": None}
FURTHER = {
    # Everything may be in half precision, timed with the rest: what a mixed engine's speed is a share of.
    "fp16_full": {"precision": "fp16", **ALONE},
    "fp16_norms": {"precision": "fp16", "constrained": True, "decompose": ["LayerNormalization"], **ALONE},
    # Two engines that run as one, so that neither mixes precisions; `System.before` says which nodes come first.
    "pair": {"precision": "fp32", **ALONE, "before": {"precision": "fp16", **ALONE}},
    # The same with INT8: beside half precision in the first, without it in the second, where nodes of it are left.
    "pair_qdq": {"precision": "explicit", "graph": "_qdq", **ALONE, "before": {"precision": "best", **ALONE}},
}
CONTROL = "fp16_all"


def names(options, shape):
    """Engines to build: with a plugin library also those that use it; ONNX Runtime has no precision flags."""
    if options.runtime != "tensorrt":
        return ["fp32", "qdq"] + [name for name in options.system.further if "before" in FURTHER[name]]
    left_out = [CONTROL] * (shape != "mini") + ["smallest"] * (not options.system.smallest)
    chosen = [name for name in ENGINES if name not in left_out] + list(options.system.further)
    found = []
    for name in chosen:
        if not options.system.needs_plugin:
            found.append(name)
        if options.system.needs_plugin or (options.plugin and name != CONTROL):
            found += [name + PLUGIN] + [name + SINGLE] * ("half" in spec(name))
    return found + definitions.names(options, shape)


def spec(name):
    """What the tables say of an engine, in whichever form of its plugins."""
    return (ENGINES | FURTHER)[bare(name)]
