"""Stage `gridsample`: does TensorRT's GridSample silently compute something else?

Public reports: NVIDIA/TensorRT#4646 (10.13, opset 20: the mode's new name "linear" is taken for nearest, without a
word; onnx-tensorrt#1060), pytorch/TensorRT#3674 (border padding, corners aligned) and pytorch/TensorRT#4074 (10.14: a
GridSample forced to FP32 inside an FP16 network). Every case is one small graph; the native layer and the rewrite
without GridSample are held against ONNX Runtime.
"""

import itertools
import json

import numpy as np
import onnx
from onnx import TensorProto, helper

from helpers import engine
from helpers.errors import BadInput
from helpers.files import atomic

# Largest error of a value, relative to the largest value of the reference, and the share of values that may exceed it:
# in half precision a coordinate may fall into the next cell; another sampling mode changes most values.
LIMITS = {"fp32": (1e-3, 1e-3), "fp16": (0.1, 0.1)}
SIZES = {
    "square": ((2, 8, 16, 16), (2, 16, 16, 2)),
    "wide": ((1, 3, 32, 52), (1, 32, 52, 2)),  # pytorch/TensorRT#3674
    "attention": ((8, 32, 50, 50), (8, 2500, 4, 2)),  # BEVFormer's temporal self-attention
    "row": ((4096, 1, 1, 256), (4096, 1, 9, 2)),  # NVIDIA/TensorRT#4646 has 45056 of them
}


def cases():
    """{name: dict with image, grid, mode, padding, align, opset, form, reach}; a reach of 1 ends at the border."""
    found = {}
    for size, mode, padding, align in itertools.product(
        ("square", "wide"), ("bilinear", "nearest"), ("zeros", "border"), (0, 1)
    ):
        found[f"{size}-{mode}-{padding}-{'aligned' if align else 'unaligned'}"] = _case(size, mode, padding, align)
    for size in ("attention", "row"):
        found[f"{size}-bilinear"] = _case(size)
    found["row-opset20"] = _case("row", "linear", opset=20)
    found["wide-opset20"] = _case("wide", "linear", opset=20)
    found["wide-border-opset20"] = _case("wide", "linear", "border", 1, opset=20)
    found["square-inside"] = _case("square", reach=0.9)
    found["square-far"] = _case("square", reach=1e4)
    found["attention-far"] = _case("attention", reach=1e3)
    found["square-shared"] = _case("square", form="shared")
    found["attention-between"] = _case("attention", form="between")
    found["wide-between-aligned"] = _case("wide", align=1, padding="border", form="between")
    return found


def _case(size, mode="bilinear", padding="zeros", align=0, opset=16, reach=1.3, form="plain"):
    image, grid = SIZES[size]
    return {"image": image, "grid": grid, "mode": mode, "padding": padding, "align": align, "opset": opset,
            "reach": reach, "form": form}  # fmt: skip


def graph(case):
    """The ONNX model of a case: plain, shared (three samplers of one image) or between (two convolutions)."""
    attributes = {"mode": case["mode"], "padding_mode": case["padding"], "align_corners": case["align"]}
    (n, c, _, _), (_, p, q, _) = case["image"], case["grid"]
    weights = []
    if case["form"] == "between":
        kernel = (np.random.default_rng(1).standard_normal((c, c, 1, 1)) / np.sqrt(c)).astype(np.float32)
        weights = [onnx.numpy_helper.from_array(kernel, "kernel")]
        nodes = [
            helper.make_node("Conv", ["image", "kernel"], ["mixed"], "before"),
            helper.make_node("GridSample", ["mixed", "grid"], ["sampled"], "sampler", **attributes),
            helper.make_node("Conv", ["sampled", "kernel"], ["out"], "after"),
        ]
    elif case["form"] == "shared":
        weights = [onnx.numpy_helper.from_array(np.float32(shift), f"shift{i}") for i, shift in enumerate((0.1, -0.3))]
        nodes = [helper.make_node("GridSample", ["image", "grid"], ["sampled0"], "sampler0", **attributes)]
        for i in range(2):
            nodes += [
                helper.make_node("Add", ["grid", f"shift{i}"], [f"grid{i}"], f"move{i}"),
                helper.make_node(
                    "GridSample", ["image", f"grid{i}"], [f"sampled{i + 1}"], f"sampler{i + 1}", **attributes
                ),
            ]
        nodes.append(helper.make_node("Sum", ["sampled0", "sampled1", "sampled2"], ["out"], "sum"))
    else:
        nodes = [helper.make_node("GridSample", ["image", "grid"], ["out"], "sampler", **attributes)]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, case[name]) for name in ("image", "grid")]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, (n, c, p, q))
    made = helper.make_graph(nodes, "gridsample", inputs, [output], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", case["opset"])], ir_version=8)


def prepare(folder):
    """Write graph, inputs and ONNX Runtime's output of every case. Needs onnxruntime."""
    random = np.random.default_rng(0)
    with atomic(folder, folder=True) as part:
        for name, case in cases().items():
            onnx.save(graph(case), part / f"{name}.onnx")
            image = random.standard_normal(case["image"]).astype(np.float32)
            reach = np.where(random.random(case["grid"][:3]) < 0.5, min(case["reach"], 1.3), case["reach"])
            grid = (random.uniform(-1, 1, case["grid"]) * reach[..., None]).astype(np.float32)
            with engine.load(part / f"{name}.onnx", "onnxruntime", optimization="disable") as network:
                out = network.run({"image": image, "grid": grid})["out"]
            np.savez(part / f"{name}.npz", image=image, grid=grid, out=out)
        (part / "cases.json").write_text(json.dumps(cases(), indent=1))
    return {"cases": len(cases())}


def run(session, options):
    """Every case with the native layer and with the rewrite, in FP32 (without TF32) and FP16."""
    folder = session.work / "gridsample"
    if not (folder / "cases.json").is_file():
        raise BadInput(folder, "no cases", "what the stage prepare writes", "python ci/measure_gpu.py prepare")
    for name in json.loads((folder / "cases.json").read_text()):
        session.piece(f"gridsample/{name}", lambda name=name: check(session, options, folder, name), 20)


def check(session, options, folder, name):
    """{"native_fp32": {"error", "verdict"}, ...}; error: largest one over the largest reference value."""
    with np.load(folder / f"{name}.npz") as arrays:
        feeds, reference = {key: arrays[key] for key in ("image", "grid")}, arrays["out"]
    found = {}
    for form, precision in itertools.product(("native", "rewrite"), LIMITS):
        settings = {}
        if options.runtime == "tensorrt":
            settings = {"precision": precision, "tf32": False, "tactic_sources": options.tactic_sources}
            settings["decompose"] = ["GridSample"] if form == "rewrite" else []
        try:
            path = engine.build(folder / f"{name}.onnx", options.runtime, session.work / "engines", **settings)
            with engine.load(path, options.runtime) as opened:
                found[f"{form}_{precision}"] = _judge(opened.run(feeds)["out"], reference, *LIMITS[precision])
        except BadInput as refusal:
            found[f"{form}_{precision}"] = {"verdict": "refused", "reason": str(refusal)[:300]}
    return found


def _judge(out, reference, limit, share):
    error = np.abs(out.astype(np.float64) - reference) / np.abs(reference).max()
    beyond = float((~(error <= limit)).mean())
    return {"error": float(np.nan_to_num(error, nan=1e9).max()), "share": beyond,
            "verdict": "wrong" if beyond > share else "agrees"}  # fmt: skip
