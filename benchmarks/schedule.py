"""Stage `schedule`: a whole frame, its vision and then its words, one frame after the other; and with the vision of the
next frame beside the words of this one. Needs NumPy, onnx and the runtime; the engines of `tensorrt` and of `language`
lie in the same work folder.

What is asked is fixed: the words of a size of `benchmarks.language`, which do not hang on what was seen.
"""

import statistics
import time

from benchmarks.engines import Shape, check_runtime
from benchmarks.language import sizes
from benchmarks.language.engines import AsGraph, Engines
from benchmarks.measured import PLUGIN
from benchmarks.scheduled import SIZE
from helpers.benchmark import Timing

VISION = ("pair", "smallest", "fp16", "fp16_norms", "qdq_tf32", "tf32", "fp32")  # by what one would deploy
MOST = 3  # of these that are there


def run(session, options):
    """Every vision engine with every form of the language model; nothing for a system without one."""
    if not options.system.language:
        if options.stage == "schedule":
            print(f"{options.system.name} has no language model")
        return
    check_runtime(options)
    for shape in options.shapes:
        Schedule(session, options, shape).run()


class Schedule(Shape):
    """The frames of one vision network and its language model."""

    def run(self):
        size = "tiny" if self.options.tiny or self.shape == "mini" else SIZE
        spoken = Engines(self.session, self.options, size)
        seen = {name: found["engine"] for name in self._names() if (found := self.built_before(name))}
        forms = {form: found for form in sizes.FORMS if (found := self._language(spoken, form))}
        if not (seen and forms):
            missing = " and ".join(["a vision engine"] * (not seen) + [f"both engines of {size}"] * (not forms))
            if self.session.wants(f"{self.prefix}/schedule"):
                print(f"{self.prefix}/schedule: {missing} is not built yet ({self.options.preparing})")
                self.session.failed.append(f"{self.prefix}/schedule")
            return
        for name, path in list(seen.items())[:MOST]:
            for form, engines in forms.items():
                made_of = {"vision": path, **engines}
                self.piece(f"schedule/{name}/{form}", 30, made_of, self.measure, path, spoken, form, engines)

    def _names(self):
        return [name + form for name in VISION for form in ("", PLUGIN)]

    def _language(self, spoken, form):
        """{part: engine} of a form that was built whole."""
        key = f"language/{spoken.name}/{self.options.runtime}/build/{form}"
        found = {part: self.session.result(f"{key}/{part}") for part in sizes.PARTS}
        return {part: one["engine"] for part, one in found.items()} if all(found.values()) else None

    def measure(self, path, spoken, form, engines):
        """Frames a second and latency, both ways, and each part alone."""
        count, asked = (3 if self.options.tiny else 20), sizes.prompt(spoken.size)
        opened = spoken.opened(form, engines)
        on_gpu = self.options.runtime == "tensorrt"
        speaker = AsGraph(opened) if on_gpu else opened
        try:
            with self.load(path, **({"cuda_graph": True} if on_gpu else {})) as vision:
                frame = Frame(vision, self.config, self.frames, lambda: speaker.whole(asked, spoken.size.tokens))
                return frame.both(count) | {"frames": count, "tokens": spoken.size.tokens, "prompt": len(asked)}
        finally:
            opened.close()


class Frame:
    """Vision and words, each of which can be begun and waited for."""

    def __init__(self, vision, config, frames, speak):
        (self.slot,) = vision.slots(1, config.states, config.initial_states())
        self.frames, self.speak = frames, speak

    def look(self, index):
        """Begin to see frame `index`; a sequence begins with the first."""
        for name, array in self.frames[index % len(self.frames)].items():
            self.slot.inputs[name][...] = array
        self.slot.submit(index == 0)

    def both(self, count):
        """{"alone", "serial", "overlapped"}, twice each in turns, the better of which counts; frames a second, ms."""
        alone = {"vision_ms": self._alone(self._seen, count), "language_ms": self._alone(self.speak, count)}
        runs = {"serial": [], "overlapped": []}
        for _ in range(2):
            for name, found in runs.items():
                found.append(getattr(self, name)(count))
        best = {name: max(found, key=lambda one: one["frames_per_second"]) for name, found in runs.items()}
        faster = best["overlapped"]["frames_per_second"] / best["serial"]["frames_per_second"]
        self.slot.close()
        return {"alone": alone, **best, "faster": faster}

    def serial(self, count):
        """One after the other."""
        begun, latencies = time.perf_counter(), []
        for index in range(count):
            start = time.perf_counter()
            self.look(index)
            self.slot.result()
            self.speak()
            latencies.append(1e3 * (time.perf_counter() - start))
        return _told(begun, latencies)

    def overlapped(self, count):
        """The next frame is seen while the words of this one are said."""
        begun, latencies = time.perf_counter(), []
        start = begun
        self.look(0)
        self.slot.result()
        for index in range(count):
            following = time.perf_counter()
            if index + 1 < count:
                self.look(index + 1)
            self.speak()
            latencies.append(1e3 * (time.perf_counter() - start))
            if index + 1 < count:
                self.slot.result()
            start = following
        return _told(begun, latencies)

    def _seen(self):
        self.look(0)
        self.slot.result()

    def _alone(self, work, count):
        """`Timing` of it with nothing beside it, which also captures its graphs."""
        for _ in range(3):
            work()
        times = []
        for _ in range(count):
            start = time.perf_counter()
            work()
            times.append(1e3 * (time.perf_counter() - start))
        return Timing(times)


def _told(begun, latencies):
    return {"frames_per_second": len(latencies) / (time.perf_counter() - begun),
            "latency_ms_p50": statistics.median(latencies), "latency_ms_max": max(latencies)}  # fmt: skip
