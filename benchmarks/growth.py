"""How the time of the published network grows: its sizes in FP16, built without timing tactics. Part of `tensorrt`."""

from benchmarks.engines import Shape

# At level 0 the builder takes the first tactic that runs and times none, so several processes may build at once. A
# timing cache is of no use to it, and the processes would overwrite each other's.
SCALE = {"precision": "fp16", "constrained": True, "optimization_level": 0, "timing_cache": None}


def run(session, options):
    """Build every size that the stage prepare exported, then time each."""
    if "published" not in options.shapes or options.runtime != "tensorrt":
        return
    folder = session.work / "models" / "variants"
    present = [folder / f"{name}.onnx" for name in options.system.variants]
    sizes = [Size(session, options, path) for path in present if path.is_file()]
    built = [size.build_piece() for size in sizes]  # all of them before one is timed
    for size, found in zip(sizes, built, strict=True):
        size.time_piece(found)


class Size(Shape):
    """One size of the published network.

    Building and timing are two pieces, `tensorrt/scale/build/NAME` and `tensorrt/scale/NAME`: several processes build,
    each with its own `--only scale/build/NAME`; then one times all, with `--only "scale/b[!u]" scale/image`.
    """

    def __init__(self, session, options, onnx):
        super().__init__(session, options, "published")
        self.onnx, self.prefix, self.plugin = onnx, "tensorrt/scale", bool(options.plugin)

    def build_piece(self):
        """What was built, None without it."""
        return self.piece(f"build/{self.onnx.stem}", 60, SCALE | {"plugin": self.plugin}, self.build)

    def time_piece(self, built):
        name = f"{self.prefix}/{self.onnx.stem}"
        if built:
            self.piece(self.onnx.stem, 15, built["engine"], self.time, built["engine"])
        elif self.session.wants(name):
            print(f"{name}: skipped, there is no engine of {self.prefix}/build/{self.onnx.stem}")

    def build(self):
        settings = self.common() | SCALE
        constraints = self.implementation(settings, self.plugin)
        return self.built(self.onnx, settings | constraints)

    def time(self, path):
        with self.load(path, cuda_graph=True) as opened:
            timing = opened.time(self.feeds(opened, 1), 10, 100)
            memory = opened.memory()
        settings = "FP16, projection FP32, builder level 0 (first tactic that runs; none timed), CUDA graph"
        return timing | {"memory_mib": memory, "settings": settings + ", plugin" * self.plugin}

    def feeds(self, opened, index):
        shapes = {name: tensor.shape for name, tensor in opened.inputs.items()}
        return self.options.system.resized(self.frames[index], shapes)
