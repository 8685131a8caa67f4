"""Stage `gridsample`: does TensorRT's GridSample silently compute something else?

Public reports: NVIDIA/TensorRT#4646 (10.13, opset 20: the mode's new name "linear" is taken for nearest, without a
word; onnx-tensorrt#1060), pytorch/TensorRT#3674 (border padding, corners aligned) and pytorch/TensorRT#4074 (10.14: a
GridSample forced to FP32 inside an FP16 network). The native layer and the rewrite without GridSample are held against
ONNX Runtime.

Building an engine costs seconds whatever it holds, so the cases of a group are branches of one graph. They share an
engine but no tensor: each branch has its own inputs and output. Whether GridSample is right between fused neighbors is
the question of the form "between" (two convolutions) and, with arithmetic around several samplers of one image, of
"shared"; a "plain" branch is a sampler alone. A group that is refused is refused for all its cases, so border padding,
which the rewrite refuses, and opset 20 have groups of their own. Cases that differ only in their coordinates share a
branch.
"""

import itertools
import json

import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks import stored
from benchmarks.session import of_file
from helpers import engine, npz
from helpers.errors import BadInput
from helpers.files import atomic

# Largest error of a value, relative to the largest value of the reference, and the share of values that may exceed it:
# in half precision a coordinate may fall into the next cell; another sampling mode changes most values.
LIMITS = {"fp32": (1e-3, 1e-3), "fp16": (0.1, 0.1)}
FORMS = {"native": [], "rewrite": ["GridSample"]}  # what is written in simpler operators
SECONDS = {"native": 30, "rewrite": 60}  # expected of one group in both precisions
INPUTS = ("image", "grid")
SIZES = {
    "square": ((2, 8, 16, 16), (2, 16, 16, 2)),
    "wide": ((1, 3, 32, 52), (1, 32, 52, 2)),  # pytorch/TensorRT#3674
    "attention": ((8, 32, 50, 50), (8, 2500, 4, 2)),  # BEVFormer's temporal self-attention
    "row": ((4096, 1, 1, 256), (4096, 1, 9, 2)),  # NVIDIA/TensorRT#4646 has 45056 of them
}


def cases():
    """{name: dict with size, image, grid, mode, padding, align, opset, reach, form}; reach 1 ends at the border."""
    found = {}
    for size, mode, padding, align in itertools.product(
        ("square", "wide"), ("bilinear", "nearest"), ("zeros", "border"), (0, 1)
    ):
        found[f"{size}-{mode}-{padding}-{'aligned' if align else 'unaligned'}"] = _case(size, mode, padding, align)
    found["row-bilinear"] = _case("row")
    found["row-opset20"] = _case("row", "linear", opset=20)
    found["wide-opset20"] = _case("wide", "linear", opset=20)
    found["wide-border-opset20"] = _case("wide", "linear", "border", 1, opset=20)
    found["square-inside"] = _case("square", reach=0.9)
    found["square-far"] = _case("square", reach=1e4)
    found["square-shared"] = _case("square", form="shared")
    found["wide-between-aligned"] = _case("wide", align=1, padding="border", form="between")
    found["attention-bilinear"] = _case("attention")  # at the end: its rewrite takes longest to build
    found["attention-far"] = _case("attention", reach=1e3)
    found["attention-between"] = _case("attention", form="between")
    return found


def _case(size, mode="bilinear", padding="zeros", align=0, opset=16, reach=1.3, form="plain"):
    image, grid = SIZES[size]
    return {"size": size, "image": image, "grid": grid, "mode": mode, "padding": padding, "align": align,
            "opset": opset, "reach": reach, "form": form}  # fmt: skip


def groups():
    """{group: {case name: case}}: the cases whose branches are one graph."""
    found = {}
    for name, case in cases().items():
        group = case["size"] if case["opset"] == 16 else f"opset{case['opset']}"
        if case["padding"] == "border":
            group = "border" if case["opset"] == 16 else f"border-{group}"
        found.setdefault(group, {})[name] = case
    return found


def branches(group):
    """{case name: name of its branch}: that of the first case with the same network."""
    first = {}
    return {name: first.setdefault(json.dumps({**case, "reach": None}), name) for name, case in group.items()}


def graph(group):
    """The ONNX model of a group; branch B reads "B.image" and "B.grid" and makes "B.out"."""
    nodes, weights, inputs, results = [], [], [], []
    for name in dict.fromkeys(branches(group).values()):
        case = group[name]
        (n, c, _, _), (_, p, q, _) = case["image"], case["grid"]
        more, constants = _branch(name, case)
        nodes += more
        weights += [onnx.numpy_helper.from_array(array, key) for key, array in constants.items()]
        inputs += [helper.make_tensor_value_info(f"{name}.{key}", TensorProto.FLOAT, case[key]) for key in INPUTS]
        results.append(helper.make_tensor_value_info(f"{name}.out", TensorProto.FLOAT, (n, c, p, q)))
    opset = helper.make_opsetid("", next(iter(group.values()))["opset"])
    made = helper.make_graph(nodes, "gridsample", inputs, results, weights)
    return helper.make_model(made, opset_imports=[opset], ir_version=8)


def _branch(name, case):
    """(nodes, {name: array}): plain, shared (three samplers of one image) or between (two convolutions)."""
    nodes, constants = [], {}

    def add(op_type, inputs, output, **attributes):
        names = [f"{name}.{key}" for key in inputs]
        nodes.append(helper.make_node(op_type, names, [f"{name}.{output}"], f"{name}/{op_type}_{output}", **attributes))

    def sample(image, grid, output):
        attributes = {"mode": case["mode"], "padding_mode": case["padding"], "align_corners": case["align"]}
        add("GridSample", [image, grid], output, **attributes)

    if case["form"] == "between":
        c = case["image"][1]
        kernel = np.random.default_rng(1).standard_normal((c, c, 1, 1)) / np.sqrt(c)
        constants[f"{name}.kernel"] = kernel.astype(np.float32)
        add("Conv", ["image", "kernel"], "mixed")
        sample("mixed", "grid", "sampled")
        add("Conv", ["sampled", "kernel"], "out")
    elif case["form"] == "shared":
        sample("image", "grid", "sampled")
        for i, shift in enumerate((0.1, -0.3)):
            constants[f"{name}.shift{i}"] = np.float32(shift)
            add("Add", ["grid", f"shift{i}"], f"grid{i}")
            sample("image", f"grid{i}", f"sampled{i}")
        add("Sum", ["sampled", "sampled0", "sampled1"], "out")
    else:
        sample("image", "grid", "out")
    return nodes, constants


def outputs(network, group, feeds):
    """{case name: output}, one run for each case, in which the branches of the others get their first case's inputs.

    Args:
        feeds: {"CASE.image": array, "CASE.grid": array} of all cases of the group.
    """
    shared, found = branches(group), {}
    usual = {f"{branch}.{key}": feeds[f"{branch}.{key}"] for branch in shared.values() for key in INPUTS}
    for name, branch in shared.items():
        own = {f"{branch}.{key}": feeds[f"{name}.{key}"] for key in INPUTS}
        found[name] = network.run({**usual, **own})[f"{branch}.out"]
    return found


def prepare(folder):
    """Write every group's graph, and the inputs and ONNX Runtime's outputs of its cases. Needs onnxruntime."""
    random, found = np.random.default_rng(0), groups()
    with atomic(folder, folder=True) as part:
        for key, group in found.items():
            onnx.save(graph(group), part / f"{key}.onnx")
            feeds = {}
            for name, case in group.items():
                feeds[f"{name}.image"] = random.standard_normal(case["image"]).astype(np.float32)
                reach = np.where(random.random(case["grid"][:3]) < 0.5, min(case["reach"], 1.3), case["reach"])
                grid = random.uniform(-1, 1, case["grid"]) * reach[..., None]
                feeds[f"{name}.grid"] = grid.astype(np.float32)
            with engine.load(part / f"{key}.onnx", "onnxruntime", optimization="disable") as network:
                made = outputs(network, group, feeds)
            npz.write({**feeds, **{f"{name}.out": out for name, out in made.items()}}, part / f"{key}.npz")
        (part / "groups.json").write_text(json.dumps(found, indent=1))
    return {"groups": len(found), "cases": sum(map(len, found.values()))}


def run(session, options):
    """Every group with the native layer, then with the rewrite, each in FP32 (without TF32) and FP16."""
    folder = session.work / "gridsample"
    found = stored.table(folder / "groups.json", (), options.preparing)
    for form, key in itertools.product(FORMS, found):
        make = lambda form=form, key=key: check(session, options, folder / key, found[key], form)  # noqa: E731
        session.piece(f"gridsample/{form}/{key}", make, SECONDS[form], of_file(folder / f"{key}.onnx"))


def check(session, options, stem, group, form):
    """{case: {"native_fp32": {"error", "share", "verdict"}, ...}}; error: largest one over the largest reference value.

    Args:
        stem: path of the group's files, without their endings.
        form: one of `FORMS`.
    """
    with np.load(f"{stem}.npz") as stored:
        arrays = dict(stored)
    found = {name: {} for name in group}
    for precision, limits in LIMITS.items():
        way = f"{form}_{precision}"
        try:
            path = engine.build(f"{stem}.onnx", options.runtime, session.work / "engines",
                                **_settings(session, options, form, precision))  # fmt: skip
            with engine.load(path, options.runtime) as network:
                made = outputs(network, group, arrays)
            for name, out in made.items():
                found[name][way] = _judge(out, arrays[f"{name}.out"], *limits)
        except BadInput as refusal:
            for name in group:
                found[name][way] = {"verdict": "refused", "reason": str(refusal)[:300]}
    return found


def _settings(session, options, form, precision):
    if options.runtime != "tensorrt":
        return {}
    return {
        "precision": precision,
        "tf32": False,
        "decompose": FORMS[form],
        "tactic_sources": options.tactic_sources,
        "optimization_level": options.level,
        "timing_cache": session.work / "gridsample.cache",
    }


def _judge(out, reference, limit, share):
    error = np.abs(out.astype(np.float64) - reference) / np.abs(reference).max()
    beyond = float((~(error <= limit)).mean())
    return {"error": float(np.nan_to_num(error, nan=1e9).max()), "share": beyond,
            "verdict": "wrong" if beyond > share else "agrees"}  # fmt: skip
