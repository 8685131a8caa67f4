"""Proves the TensorRT runtime on a real GPU: a plain script, no pytest, no torch.

    python -m tests.gpu.check_tensorrt [--only CHECK]

Needs an NVIDIA GPU, Python 3.10 to 3.12, NumPy, tensorrt (8.6, 10.x or 11.x) and onnx. Builds small networks
(convolution, attention, sampling) in every precision that the installed version has, compares each with the reference
evaluator of onnx, and checks states, CUDA graphs, engines that run as one, free dimensions, profile, layers, the timing
cache and the errors of engines that must not load.
Prints one line per check and a table; the exit code is the number of checks that failed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from helpers import calibration, engine
from helpers.engine import cache, cuda
from helpers.engine.definition import Module
from helpers.engine.definition import build as definition
from helpers.engine.definition.attention import multi_head
from helpers.engine.tensorrt import plan, versions
from helpers.errors import BadInput

LIMITS = {
    "fp32": 2e-3,  # with TF32: 10 bits of mantissa
    "fp16": 2e-2,
    "int8-implicit": 0.25,
    "explicit": 0.25,
    "best": 0.25,
    "obey": 2e-2,
    "strong": 1e-4,
}
HALF = {"fp16": "fp16", "strong": "fp32"}
RANDOM = np.random.default_rng(0)
checks, rows = [], []


def check(function):
    checks.append(function)
    return function


def value(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def weight(name, *shape, scale=None):
    fan_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
    scale = fan_in**-0.5 if scale is None else scale
    return numpy_helper.from_array((RANDOM.standard_normal(shape) * scale).astype(np.float32), name)


def save(path, nodes, inputs, outputs, weights, opset=18):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), path)
    return path


def network(folder, name="net", quantized=False):
    """Two convolutions, layer normalization, attention, sampling, and ReduceMax with axes as an input (opset 18)."""
    n = helper.make_node
    weights = [weight("w1", 16, 3, 3, 3), weight("b1", 16, scale=0.1), weight("w2", 32, 16, 3, 3),
               *(weight(f"w{letter}", 32, 32) for letter in "qkv"),
               numpy_helper.from_array(np.ones(32, np.float32), "gamma"), weight("beta", 32, scale=0.1),
               weight("grid", 1, 8, 8, 2, scale=0.7),
               numpy_helper.from_array(np.float32(32**-0.5), "root"),
               *(numpy_helper.from_array(np.int64(array), key) for key, array in
                 (("rows", [0, 32, -1]), ("axes", [1]), ("map", [0, 32, 16, 16])))]  # fmt: skip
    nodes = [
        n("Conv", ["x", "w1", "b1"], ["c1"], "/stem/Conv", pads=[1, 1, 1, 1]),
        n("Relu", ["c1"], ["r1"], "/stem/Relu"),
        n("Conv", ["r1", "w2"], ["c2"], "/down/Conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        n("Reshape", ["c2", "rows"], ["flat"], "/Reshape"),
        n("Transpose", ["flat"], ["tokens"], "/Transpose", perm=[0, 2, 1]),
        n("LayerNormalization", ["tokens", "gamma", "beta"], ["normal"], "/norm/LayerNormalization_FORCEFP32"),
        *(n("MatMul", ["normal", f"w{letter}"], [letter], f"/attention/{letter}/MatMul") for letter in "qkv"),
        n("Transpose", ["k"], ["kt"], "/attention/Transpose", perm=[0, 2, 1]),
        n("MatMul", ["q", "kt"], ["scores"], "/attention/MatMul"),
        n("Mul", ["scores", "root"], ["scaled"], "/attention/Mul"),
        n("Softmax", ["scaled"], ["share"], "/attention/Softmax_FORCEFP32", axis=-1),
        n("MatMul", ["share", "v"], ["mixed"], "/attention/MatMul_1"),
        n("Add", ["mixed", "tokens"], ["sum"], "/Add"),
        n("ReduceMax", ["sum", "axes"], ["top"], "/ReduceMax", keepdims=0),
        n("Transpose", ["sum"], ["back"], "/Transpose_1", perm=[0, 2, 1]),
        n("Reshape", ["back", "map"], ["image"], "/Reshape_1"),
        n("GridSample", ["image", "grid"], ["sampled"], "/GridSample", align_corners=0),
    ]
    if quantized:
        nodes, weights = quantize(nodes, weights)
    return save(folder / f"{name}.onnx", nodes, [value("x", [1, 3, 32, 32])],
                [value("top", [1, 32]), value("sampled", [1, 32, 8, 8])], weights,
                19 if quantized else 18)  # fmt: skip


def quantize(nodes, weights):
    """Q/DQ on both operands of every convolution: per tensor for activations, per output channel for weights."""
    arrays, made = {tensor.name: numpy_helper.to_array(tensor) for tensor in weights}, []
    for node in nodes:
        if node.op_type == "Conv":
            for index, scale, zero, axis in ((0, np.float32(4 / 127), np.int8(0), {}), (1, None, None, {"axis": 0})):
                name = node.input[index]
                if index:
                    scale = np.abs(arrays[name]).max((1, 2, 3)) / 127
                    zero = np.zeros(len(scale), np.int8)
                weights = [*weights, numpy_helper.from_array(np.asarray(scale, np.float32), f"{name}_scale"),
                           numpy_helper.from_array(np.asarray(zero), f"{name}_zero")]  # fmt: skip
                for kind, source, target in (("Quantize", name, "q"), ("Dequantize", f"{name}_q", "dq")):
                    inputs = [source, f"{name}_scale", f"{name}_zero"]
                    made.append(helper.make_node(f"{kind}Linear", inputs, [f"{name}_{target}"],
                                                 f"/{name}/{kind}Linear", **axis))  # fmt: skip
                node.input[index] = f"{name}_dq"
        made.append(node)
    return made, weights


def recurrent(folder, shown=False):
    """kept = tanh(x + history · w): the output is the next run's input. With `shown`, -kept is an output too."""
    nodes = [helper.make_node("MatMul", ["history", "w"], ["moved"], "/MatMul"),
             helper.make_node("Add", ["x", "moved"], ["added"], "/Add"),
             helper.make_node("Tanh", ["added"], ["kept"], "/Tanh")]  # fmt: skip
    inputs, outputs = [value("x", [4, 16]), value("history", [4, 16])], [value("kept", [4, 16])]
    if shown:
        nodes.append(helper.make_node("Neg", ["kept"], ["shown"], "/Neg"))
        outputs.append(value("shown", [4, 16]))
    return save(folder / "recurrent.onnx", nodes, inputs, outputs, [weight("w", 16, 16)])


def free(folder):
    """y = softmax(x · w) with a free batch."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"], "/MatMul"),
             helper.make_node("Softmax", ["m"], ["y"], "/Softmax", axis=-1)]  # fmt: skip
    return save(folder / "free.onnx", nodes, [value("x", ["n", 16])], [value("y", ["n", 8])], [weight("w", 16, 8)])


def reference(path, feeds):
    evaluator = ReferenceEvaluator(str(path))
    return dict(zip(evaluator.output_names, evaluator.run(None, feeds)))  # noqa: B905 - Python 3.10 runs this too


def relative(outputs, expected):
    return max(float(np.abs(outputs[name] - array).max() / np.abs(array).max()) for name, array in expected.items())


def build(path, **options):
    return engine.build(path, "tensorrt", path.parent / "engines", **{"tactic_sources": [], **options})


def half():
    """A precision below FP32 where the version has one by a flag."""
    return "fp16" if versions.facts(version()).weak_typing else "strong"


def version():
    """Of the TensorRT at hand, if it can be used."""
    return engine.get_runtime("tensorrt").version()


def refused(function, *words):
    """The BadInput that `function` raises; its text names every one of `words`."""
    try:
        function()
    except BadInput as error:
        for word in words:
            assert word in str(error), f"{word!r} is not in: {error}"
        return error
    raise AssertionError("not refused")


def images(folder):
    return {"x": np.random.default_rng(1).standard_normal((1, 3, 32, 32)).astype(np.float32)}


@check
def every_precision(folder):
    known = versions.facts(version())
    plain, quantized = network(folder), network(folder, "net_qdq", quantized=True)
    noise = calibration.noise(folder / "calib.npz", {"x": (1, 3, 32, 32)}, samples=8)
    feeds = images(folder)
    for precision in versions.PRECISIONS:
        try:
            versions.check_precision(known, precision)
        except BadInput as error:
            rows.append((precision, "refused", error.found))
            continue
        path = quantized if precision == "explicit" else plain
        needs = {"obey": {"layer_precisions": {"*_FORCEFP32": "fp32"}},
                 "int8-implicit": {"calibration": noise}, "best": {"calibration": noise}}  # fmt: skip
        measure(precision, path, feeds, LIMITS[precision], precision=precision, **needs.get(precision, {}))
    measure("fp32, no TF32", plain, feeds, 1e-5, tf32=False)
    if known.weak_typing:
        measure("best of Q/DQ", quantized, feeds, 0.25, precision="best")
    for name in ("LayerNormalization", "GridSample"):
        measure(f"fp32, no TF32, {name} decomposed", plain, feeds, 1e-5, tf32=False, decompose=[name])


def measure(label, path, feeds, limit, **options):
    expected = reference(path, feeds)
    began = time.perf_counter()
    built = build(path, **options)
    seconds = time.perf_counter() - began
    with engine.load(built) as loaded:
        error = relative(loaded.run(feeds), expected)
        timing = loaded.time(feeds, warmup=20, iterations=100)
        counts = engine.inspect(built)["precisions"]
    rows.append((label, f"{error:.1e}", f"{timing['gpu']['p50']:.4f} ms gpu, {timing['host']['p50']:.4f} ms host, "
                 f"{timing['enqueue']['p50']:.4f} ms enqueue, built in {seconds:.0f} s, {counts}"))  # fmt: skip
    assert error <= limit, f"{label}: relative error {error:.1e} above {limit}"


@check
def states_stay_on_the_gpu_with_and_without_a_graph(folder):
    path = recurrent(folder)
    built = build(path, tf32=False)
    frames = [np.random.default_rng(i).standard_normal((4, 16)).astype(np.float32) for i in range(4)]
    for graph in (False, True):
        with engine.load(built, states={"history": "kept"}, cuda_graph=graph) as loaded:
            for _ in range(2):
                history = np.zeros((4, 16), np.float32)
                for x in frames:
                    history = reference(path, {"x": x, "history": history})["kept"]
                    assert np.abs(loaded.run({"x": x})["kept"] - history).max() < 1e-5
                loaded.reset()
            given = loaded.run({"x": frames[0], "history": frames[1]})["kept"]
            expected = reference(path, {"x": frames[0], "history": frames[1]})["kept"]
            assert np.abs(given - expected).max() < 1e-5
            timing = loaded.time({"x": frames[0]}, 20, 200)
        rows.append((f"recurrent, CUDA graph {graph}", "", f"{timing['gpu']['p50']:.4f} ms gpu, "
                     f"{timing['enqueue']['p50']:.4f} ms enqueue"))  # fmt: skip


@check
def three_engines_run_as_one_from_bytes_to_the_largest(folder):
    """Bytes that become numbers, a network that keeps a state, and what reads the result; in turns, and in slots."""
    divide, k = numpy_helper.from_array(np.float32(255), "divide"), numpy_helper.from_array(np.int64([3]), "k")
    bytes_in = helper.make_tensor_value_info("bytes", TensorProto.UINT8, [4, 16])
    first = save(folder / "first.onnx", [helper.make_node("Cast", ["bytes"], ["number"], "/Cast", to=1),
                 helper.make_node("Div", ["number", "divide"], ["x"], "/Div")],
                 [bytes_in], [value("x", [4, 16])], [divide])  # fmt: skip
    middle = recurrent(folder, shown=True)
    last = save(folder / "last.onnx", [helper.make_node("TopK", ["shown", "k"], ["most", "ranks"], "/TopK")],
                [value("shown", [4, 16])], [value("most", [4, 3])], [k])  # fmt: skip
    plans = build(first), build(middle, tf32=False), build(last)
    frames = [np.random.default_rng(i).integers(0, 256, (4, 16), np.uint8) for i in range(4)]
    for graph in (False, True):
        before = engine.load(plans[1], before=engine.load(plans[0]))
        with engine.load(plans[2], before=before, states={"history": "kept"}, cuda_graph=graph) as loaded:
            assert list(loaded.inputs) == ["bytes", "history"] and list(loaded.outputs) == ["kept", "most"]
            slots = loaded.slots(2, {"history": "kept"})
            for turn in range(2):
                history = np.zeros((4, 16), np.float32)
                for index, data in enumerate(frames):
                    kept = reference(middle, {**reference(first, {"bytes": data}), "history": history})
                    history, expected = kept["kept"], reference(last, {"shown": kept["shown"]})
                    if turn:
                        slot = slots[index % 2]
                        slot.inputs["bytes"][...] = data
                        slot.submit(index == 0)
                        found = slot.result()
                    else:
                        found = loaded.run({"bytes": data})
                    assert np.abs(found["most"] - expected["most"]).max() < 1e-5
                loaded.reset()
            for slot in slots:
                slot.close()
            timing = loaded.time({"bytes": frames[0]}, 20, 200)
        rows.append((f"three engines, CUDA graph {graph}", "", f"{timing['gpu']['p50']:.4f} ms gpu, "
                     f"{timing['enqueue']['p50']:.4f} ms enqueue"))  # fmt: skip


@check
def free_dimensions_and_two_profiles(folder):
    path = free(folder)
    shapes = [{"x": [(1, 16), (2, 16), (4, 16)]}, {"x": [(8, 16), (64, 16), (256, 16)]}]
    built = build(path, shapes=shapes, tf32=False)
    for profile, sizes in ((0, (1, 4, 2)), (1, (8, 256, 9))):
        for graph in (False, True):
            with engine.load(built, profile=profile, cuda_graph=graph) as loaded:
                for size in sizes:
                    feeds = {"x": np.random.default_rng(size).standard_normal((size, 16)).astype(np.float32)}
                    for _ in range(2):
                        assert relative(loaded.run(feeds), reference(path, feeds)) < 1e-5
                too_many = {"x": np.zeros((300, 16), np.float32)}
                refused(lambda loaded=loaded, feeds=too_many: loaded.run(feeds), "300", "profile")
                loaded.run(feeds)  # goes on after the refusal
    refused(lambda: engine.load(built, profile=2), "profile 2")
    for graph in (False, True):
        with engine.load(built, cuda_graph=graph) as loaded:  # each run in the profile that its shapes fit
            for size in (1, 8, 4, 256, 256, 2):
                feeds = {"x": np.random.default_rng(size).standard_normal((size, 16)).astype(np.float32)}
                assert relative(loaded.run(feeds), reference(path, feeds)) < 1e-5
            refused(lambda loaded=loaded: loaded.run({"x": np.zeros((5, 16), np.float32)}), "profile 0", "profile 1")


@check
def layers_profile_and_memory(folder):
    precision = half()
    patterns = {"/stem/*": "fp16", "/down/*": "fp16"} if precision == "fp16" else None  # FP32 may be the faster one
    with engine.load(build(network(folder), precision=precision, layer_precisions=patterns)) as loaded:
        feeds = images(folder)
        table, profile = loaded.layers(), loaded.profile(feeds, iterations=5)
        assert (
            table and all(row["name"] for row in table) and any(row["precision"] == HALF[precision] for row in table)
        ), table
        assert abs(sum(row["share"] for row in profile) - 1) < 1e-6 and min(row["ms"] for row in profile) >= 0
        names = {row["name"] for row in table}
        assert sum(row["layer"] in names for row in profile) >= len(profile) / 2, (names, profile)
        memory = loaded.memory()
        assert memory["engine_file"] > 0 and memory["tensors"] > 0, memory
        expected = reference(folder / "net.onnx", feeds)
        assert relative(loaded.run(feeds), expected) < 2e-2  # profiling left the engine in order
    print(json.dumps(table[:3], indent=1), json.dumps(profile[:3], indent=1), memory)


@check
def marked_outputs_and_patterns(folder):
    path = network(folder)
    feeds = images(folder)
    with engine.load(build(path, mark_outputs=["normal", "share"], tf32=False)) as loaded:
        outputs = loaded.run(feeds)
    model = onnx.load(path)
    model.graph.output.extend([value("normal", [1, 256, 32]), value("share", [1, 256, 256])])
    expected = dict(zip(["top", "sampled", "normal", "share"], ReferenceEvaluator(model).run(None, feeds)))  # noqa: B905
    assert relative(outputs, expected) < 1e-4
    refused(lambda: build(path, mark_outputs=["normel"]), "normel")
    if versions.facts(version()).weak_typing:
        refused(lambda: build(path, precision="obey", layer_precisions={"*nothing*": "fp32"}), "*nothing*")
        meta = engine.inspect(build(path, precision="obey", layer_precisions={"*_FORCEFP32": "fp32"}))
        assert meta["constrained_layers"] >= 2, meta["constrained_layers"]


def attended(query, memory, weights, heads):
    """What `multi_head` makes of query [N, 1, C] and memory [N, K, C]."""
    q, k, v = (
        (x @ w.T + b).reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)
        for x, w, b in zip(
            (query, memory, memory),
            np.split(weights["attention.in_proj_weight"], 3),
            np.split(weights["attention.in_proj_bias"], 3),
            strict=True,
        )
    )
    logits = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1])
    share = np.exp(logits - logits.max(-1, keepdims=True))
    found = (share / share.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(query.shape)
    return found @ weights["attention.out_proj.weight"].T + weights["attention.out_proj.bias"]


@check
def a_single_query_of_a_definition(folder):
    """8.6.0 gets it wrong where the product of query and keys transposes them itself."""
    rows_, slots, dims, heads = 401, 4, 128, 4
    shapes = {"in_proj_weight": (3 * dims, dims), "in_proj_bias": (3 * dims,), "out_proj.weight": (dims, dims),
              "out_proj.bias": (dims,)}  # fmt: skip
    draw = lambda shape, scale=1.0: (RANDOM.standard_normal(shape) * scale).astype(np.float32)  # noqa: E731
    weights = {f"attention.{name}": draw(shape, dims**-0.5) for name, shape in shapes.items()}
    feeds = {"query": draw((rows_, 1, dims)), "memory": draw((rows_, slots, dims))}

    def define(network):
        query, memory = (network.input(name, array.shape, array.dtype) for name, array in feeds.items())
        found = multi_head(Module(network).attention, query, memory, memory, heads)
        network.output("found", found, (rows_, 1, dims), np.dtype(np.float32))

    path = folder / "attention.engine"
    definition.build(definition.Source(define, weights), path, "tensorrt", tf32=False, tactic_sources=[])
    with engine.load(path) as loaded:
        error = relative(loaded.run(feeds), {"found": attended(feeds["query"], feeds["memory"], weights, heads)})
    rows.append(("a single query", f"{error:.1e}", f"{rows_} rows, {slots} keys each"))
    assert error < 1e-4, error


@check
def timing_cache(folder):
    path, file = network(folder, "cached"), folder / "timing.cache"
    seconds = []
    for level in (3, 4):  # another option, so that the engine is built again
        began = time.perf_counter()
        build(path, precision=half(), timing_cache=file, optimization_level=level)
        seconds.append(round(time.perf_counter() - began, 1))
    size = file.stat().st_size
    began = time.perf_counter()
    build(path, precision=half(), timing_cache=file, optimization_level=3, workspace=512)
    rows.append(("timing cache", f"{size} bytes", f"cold {seconds}, warm {time.perf_counter() - began:.1f} s"))
    file.write_bytes(b"nonsense" * 100)
    refused(lambda: build(path, precision=half(), timing_cache=file, workspace=256), "timing.cache")


@check
def engines_that_must_not_load(folder):
    built = build(network(folder))
    whole = built.read_bytes()
    assert plan.plan_version(built) == ".".join(version().split(".")[:3]), plan.plan_version(built)
    built.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    refused(lambda: engine.load(built), "SHA-256")
    built.write_bytes(whole)
    bare = folder / "bare.engine"
    bare.write_bytes(whole)
    with engine.load(bare) as loaded:
        assert relative(loaded.run(images(folder)), reference(folder / "net.onnx", images(folder))) < 2e-3
    bare.write_bytes(whole[:24] + bytes([7, 2, 1]) + whole[27:])
    print(refused(lambda: engine.load(bare), "7.2.1", version()))
    metadata = cache.metadata_file(built)
    meta = json.loads(metadata.read_text())
    changed = meta | {"compute_capabilities": ["8.7"]}
    changed["key"] = cache.key({name: changed[name] for name in cache.IDENTITY})
    metadata.write_text(json.dumps(changed))
    print(refused(lambda: engine.load(built), "8.7", cuda.device().capability, cuda.device().name))
    metadata.write_text(json.dumps(meta | {"platform": "windows-amd64"}))
    print(refused(lambda: engine.load(built), "windows-amd64", plan.platform_name()))
    metadata.write_text(json.dumps(meta))
    for label, data in (
        ("cut in half", whole[: len(whole) // 2]),
        ("a byte changed", whole[:-99] + b"\x7f" + whole[-98:]),
    ):
        bare.write_bytes(data)  # in another process, for nothing but TensorRT itself stands between this and a crash
        command = [sys.executable, "-m", "helpers", "engine", "run", f"--loadEngine={bare}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2])
        last = (done.stderr.strip().splitlines() or [""])[0]
        rows.append((f"plan without metadata file, {label}", f"exit {done.returncode}", last[:110]))
        if label == "cut in half":
            assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr


@check
def compatible_engines(folder):
    path = network(folder)
    for label, options in (
        ("version compatible", {"version_compatible": True}),
        ("Ampere and later", {"hardware_compatible": True}),
    ):
        try:
            measure(f"fp32, no TF32, {label}", path, images(folder), 1e-5, tf32=False, **options)
        except BadInput as error:  # such engines carry a library that not every package of TensorRT has
            assert "libnvinfer_lean" in str(error), error
            rows.append((label, "refused", "libnvinfer_lean is not installed"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="CHECK", choices=[function.__name__ for function in checks])
    only = parser.parse_args().only
    try:
        installed, device = version(), cuda.device()
    except (ImportError, OSError) as error:
        sys.exit(f"error: {error}")
    if only:
        return run(next(function for function in checks if function.__name__ == only))
    where = f"{device.name} ({device.capability}), driver for CUDA {device.driver_version}"
    print(f"TensorRT {installed}, {where}", flush=True)
    failed = 0
    for function in checks:  # each in a process of its own: a crash ends one check, not all
        command = [sys.executable, "-X", "faulthandler", "-m", "tests.gpu.check_tensorrt", "--only", function.__name__]
        failed += subprocess.run(command).returncode != 0
    print(f"{len(checks) - failed} of {len(checks)} checks passed")
    return failed


def run(function):
    """Run one check in a scratch folder and print its rows; 0 if it passed."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="check_tensorrt_") as folder:
        try:
            function(Path(folder))
            verdict = "ok"
        except Exception:
            traceback.print_exc()
            verdict = "FAILED"
    print(f"{verdict:<7} {function.__name__}  {time.perf_counter() - began:.1f} s", flush=True)
    width = max(len(row[0]) for row in rows) if rows else 0
    for label, error, text in rows:
        print(f"        {label:<{width}}  {error:<10} {text}")
    return int(verdict != "ok")


if __name__ == "__main__":
    sys.exit(main())
