"""Run the example plugin on a GPU and compare it with NumPy: `python -m plugins.migration.run LIBRARY`.

Works with the form for TensorRT 8.6 on 8.6 and with the ported form on 10 and 11; needs numpy and tensorrt.
"""

import sys

import numpy as np

SHAPE, ANGLE, CENTER = (3, 50, 60), 13.7, (40.0, 21.5)
NAME, VERSION = "RotateExample", "1"
TOLERANCE = {"float32": 1e-4, "float16": 2e-3}  # the reference is in double precision; half keeps 11 bits


def main(arguments):
    if len(arguments) != 1:
        print(__doc__)
        return 2
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.ERROR)
    registry = trt.get_plugin_registry()
    registry.load_library(arguments[0])
    worst = 0
    for dtype in ("float32", "float16"):
        image = np.random.default_rng(0).standard_normal(SHAPE).astype(dtype)
        for interpolation in (0, 1):
            result = run(trt, build(trt, logger, registry, dtype, interpolation), logger, image)
            error = float(np.abs(result.astype(np.float64) - rotate(image, interpolation)).max())
            good = error <= TOLERANCE[dtype]
            worst |= not good
            mode = ("bilinear", "nearest")[interpolation]
            print(f"TensorRT {trt.__version__} {dtype} {mode}: largest error {error:.2e} {'ok' if good else 'WRONG'}")
    return int(worst)


def build(trt, logger, registry, dtype, interpolation):
    """A serialized engine of the plugin alone."""
    old = int(trt.__version__.split(".")[0]) < 10
    fields = trt.PluginFieldCollection(
        [trt.PluginField("interpolation", np.array([interpolation], np.int32), trt.PluginFieldType.INT32)]
    )
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH) if old else 0)
    config = builder.create_builder_config()
    types = {"float32": trt.float32, "float16": trt.float16}
    inputs = [
        network.add_input("image", types[dtype], SHAPE),
        network.add_input("angle", trt.float32, (1,)),
        network.add_input("center", trt.float32, (2,)),
    ]
    if old:
        config.set_tactic_sources(0)
        if dtype == "float16":
            config.set_flag(trt.BuilderFlag.FP16)
        plugin = registry.get_plugin_creator(NAME, VERSION, "").create_plugin("rotate", fields)
        layer = network.add_plugin_v2(inputs, plugin)
    else:
        plugin = registry.get_creator(NAME, VERSION, "").create_plugin("rotate", fields, trt.TensorRTPhase.BUILD)
        layer = network.add_plugin_v3(inputs, [], plugin)
    output = layer.get_output(0)
    output.name = "output"
    network.mark_output(output)
    if old:
        output.dtype = types[dtype]
    return builder.build_serialized_network(network, config)


def run(trt, plan, logger, image):
    """The engine's output for `image`, [C, H, W]; the plugin is created again from what the engine stored."""
    from helpers.engine import cuda

    device = cuda.device()
    stream, runtime = device.stream(), trt.Runtime(logger)
    context = runtime.deserialize_cuda_engine(plan).create_execution_context()
    arrays = {"image": image, "angle": np.array([ANGLE], np.float32), "center": np.array(CENTER, np.float32)}
    arrays["output"] = np.zeros_like(image)
    held = {}
    for name, array in arrays.items():
        host, there = device.pinned(array.nbytes), device.allocate(array.nbytes)
        host.array(array.shape, array.dtype)[...] = array
        stream.upload(there.address, host.address, array.nbytes)
        context.set_tensor_address(name, there.address)
        held[name] = host, there
    context.execute_async_v3(stream.handle)
    host, there = held["output"]
    stream.download(host.address, there.address, image.nbytes)
    stream.synchronize()
    result = host.array(image.shape, image.dtype).copy()
    for memory in (memory for pair in held.values() for memory in pair):
        memory.free()
    return result


def rotate(image, interpolation):
    """The operator's definition in NumPy, in double precision."""
    _, height, width = image.shape
    sine, cosine = np.sin(np.radians(-ANGLE)), np.cos(np.radians(-ANGLE))
    y, x = np.mgrid[:height, :width] + 0.5
    x, y = x - CENTER[0], y - CENTER[1]
    column, row = cosine * x + sine * y + CENTER[0] - 0.5, -sine * x + cosine * y + CENTER[1] - 0.5
    if interpolation == 1:
        return tap(image, np.rint(row), np.rint(column))
    top, left = np.floor(row), np.floor(column)
    down, right = row - top, column - left
    above = (1 - right) * tap(image, top, left) + right * tap(image, top, left + 1)
    below = (1 - right) * tap(image, top + 1, left) + right * tap(image, top + 1, left + 1)
    return (1 - down) * above + down * below


def tap(image, row, column):
    """Pixels at integer positions, zero outside the image."""
    _, height, width = image.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    r, c = np.clip(row, 0, height - 1).astype(int), np.clip(column, 0, width - 1).astype(int)
    return image[:, r, c].astype(np.float64) * inside


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
