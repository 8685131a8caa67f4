"""What a measurement asks of a system; the defaults are those of a system with nothing of its own."""

from typing import ClassVar

import numpy as np

from helpers import models


class System:
    """One system of `helpers.models`.

    Attributes:
        name: its key in `helpers.models.SYSTEMS`.
        checkpoint: file name of the trained mini in `checkpoints/`.
        published: engine name -> published figures ("ms", accuracy) of the same network.
        goals: engine name -> published ratio of FP32 over it, None where there is none.
        words_goal: published ratio of eager PyTorch over engines, of the words that a language model says of a frame.
        variants: name -> fields of the configuration, sizes to see how the time grows; in order of size.
        keep_fp32: inputs that stay in FP32 where the network runs in half precision.
        accuracy: the metrics that the table shows.
        sizes: shape -> sizes at which free dimensions are fixed, enough for every frame: a network without free
            dimensions runs as a CUDA graph, and needs no optimization profile.
        defined: its mini is also built through the network definition API (`benchmarks.definitions`).
        needs_plugin: TensorRT takes the network with the plugin library alone.
        language: folder in `checkpoints/` of the language model that reads what the mini tells; "" without one.
        parts: part -> patterns of node names that are marked together; none where nothing is marked so.
        rule: the published marks.
        smallest: patterns of node names that a search left in FP32; none where there was no search.
        further: engines of `benchmarks.rows.FURTHER` that are built for this system besides the usual ones.
        before: patterns of node names that are computed first, in an engine of their own, in the row "pair".
        quantized: further `helpers.quantize.Options` of the graph with Q/DQ nodes.
        smoothed: whether alpha of SmoothQuant is swept over its mini.
        on_the_map: the parts that compute with places on a map.
        projections: ways of the network's projection into the cameras; none if there is no choice.
        projection: the one that is measured.
    """

    name = ""
    checkpoint = ""
    published: ClassVar[dict[str, dict[str, float]]] = {}
    goals: ClassVar[dict[str, float | None]] = {}
    words_goal: float | None = None
    variants: ClassVar[dict[str, dict]] = {}
    keep_fp32: tuple[str, ...] = ()
    accuracy: tuple[str, ...] = ()
    sizes: ClassVar[dict[str, dict[str, int]]] = {}
    defined = False
    needs_plugin = False
    language = ""
    parts: ClassVar[dict[str, tuple[str, ...]]] = {}
    rule: ClassVar[dict[str, str]] = {}
    smallest: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    quantized: ClassVar[dict] = {}
    smoothed = False
    on_the_map: tuple[str, ...] = ()
    projections: tuple[str, ...] = ()
    projection = ""

    @property
    def recorded(self):
        """What its records are called: with the projection, where it is not the published one."""
        return self.name if self.projection in ("", "published") else f"{self.name}-{self.projection}"

    def projected(self, projection):
        """This system with another of `projections`."""
        raise NotImplementedError

    def config(self, shape):
        """The configuration "published" or "mini", without free dimensions."""
        return models.config(self.name, shape).fixed(self.sizes.get(shape))

    def has_ends(self, shape):
        """Whether there is a graph that takes pictures and gives boxes."""
        return bool(self.config(shape).pictures)

    def network(self, shape, checkpoint):
        """The mini with its trained weights; the published configuration with seeded random ones."""
        model = models.create(self.name, self.config(shape))
        return models.load_checkpoint(model, checkpoint) if shape == "mini" else model

    def variant(self, name, base="published"):
        """The configuration of one of `variants`."""
        raise NotImplementedError

    def resized(self, given, shapes):
        """Inputs of the shapes (name -> shape) made from those of a real frame, without states."""
        raise NotImplementedError

    def kept(self, config, outputs):
        """Arrays of one frame that are written to disk, for `decoded` and to be held against a reference."""
        return {name: outputs[name] for name in config.decoded}

    def finite(self, kept):
        """Whether what `decoded` reads is made of numbers."""
        return all(np.isfinite(array).all() for array in kept.values())

    def decoded(self, config, kept):
        """What `score` takes, of the arrays of one frame."""
        return config.decode(kept)

    def score(self, pairs, dataset):
        """Metrics of [(frame, what `decoded` gave)]."""
        raise NotImplementedError

    def seen(self, config, outputs):
        """What two precisions are compared in, of the outputs of one frame."""
        return outputs

    def far(self, steps, meters):
        """The same steps on a map whose origin is elsewhere."""
        raise NotImplementedError

    def on_gpu(self, model):
        """A copy of the network on the GPU."""
        made = models.create(self.name, model.config)
        made.load_state_dict(model.state_dict())
        return made.cuda()

    def half(self, model):
        """A copy on the GPU in half precision, but for what `config.fp32` says."""
        return self.on_gpu(model).half()
