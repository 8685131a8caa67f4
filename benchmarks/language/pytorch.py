"""What needs PyTorch: the graphs of every form, the logits that they are held against, and PyTorch's own rows."""

import functools
import time

import numpy as np
import torch

from benchmarks.frames import save
from benchmarks.language import sizes, weights
from benchmarks.language.agreement import compared, same_until
from benchmarks.language.sizes import PARTS, SIZES, STEPS, folder, forms
from benchmarks.language.spoken import measure
from benchmarks.pytorch import copy_rate
from helpers.llm.onnx import export, greedy


def run(session, options, name):
    """All pieces of a size."""
    made = Torch(session, options, name)
    for form in forms(options):
        made.piece(f"export/{form}", 60, lambda form=form: made.export(form))
    for kind in dict.fromkeys(form.weights for form in forms(options).values()):
        made.piece(f"reference/{kind}", 60, lambda kind=kind: made.reference(kind))
    if torch.cuda.is_available() or options.runtime != "tensorrt":
        for way, seconds in (("eager", 40), ("compile", 90)):
            made.piece(f"pytorch/{way}", seconds, lambda way=way: made.rows(way))


class Torch:
    """The pieces of one size."""

    def __init__(self, session, options, name):
        self.session, self.options, self.name, self.size = session, options, name, SIZES[name]
        self.folder = folder(session.work, name)

    def piece(self, name, seconds, make):
        return self.session.piece(f"language/{self.name}/{name}", make, seconds)

    @functools.cached_property
    def network(self):
        """transformers' model in FP16."""
        from benchmarks.language import networks

        return networks.of_transformers(self.size, weights.state(weights.llama(self.size)))

    def export(self, name):
        """The graphs of a form, as engines want them, for a token and for the prompt; each flavor is written once."""
        form = forms(self.options)[name]
        model, written, found = weights.llama(self.size, form.weights), {}, {}
        for part, tokens in zip(PARTS, (1, self.size.prompt), strict=True):
            flavor = getattr(form, part)
            if flavor not in written:
                written[flavor] = self.folder / f"{name}_{part}.onnx"
                export(model, written[flavor], flavor, capacity=self.size.capacity, dtype="float16")
            found[part] = greedy(written[flavor], self.folder / f"{name}_{part}_greedy.onnx", tokens).name
        return {"graphs": found, "bytes_read": weights.bytes_read(model)}

    def reference(self, name):
        """The logits that FP32 gives, and how far transformers' FP16 is from them."""
        from benchmarks.language import networks

        arrays = networks.reference(self.size, weights.llama(self.size, name))
        save(self.folder / f"reference_{name}.npz", arrays)
        return compared(arrays["fp16"], arrays["fp32"])

    def rows(self, way):
        """Times of transformers, eager or compiled; the copy rate of the same run."""
        from benchmarks.language import networks

        torch.compiler.reset()
        cuda, _ = torch.cuda.is_available(), self.network
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        if way == "eager":
            speaker = networks.Eager(self.network)
        else:
            mode = {"mode": "reduce-overhead"} if cuda else {"backend": "eager"}
            speaker = networks.Compiled(self.network, self.size.capacity, dynamic=False, **mode)
        begun = time.perf_counter()
        tokens = speaker.whole(sizes.prompt(self.size), STEPS + 1)
        ready, rounds = time.perf_counter() - begun, sizes.rounds(self.size, self.options)
        times = measure({way: speaker}, sizes.prompt(self.size), self.size.tokens, rounds)
        found = {"times": times, "rounds": rounds, "ready_seconds": ready, "transformers": networks.VERSION}
        if (kept := self.folder / "reference_fp16.npz").is_file():
            with np.load(kept) as arrays:
                found["queued_same_until"] = same_until(tokens, arrays["fp32"])
        if cuda:
            found |= {"memory_mib": torch.cuda.max_memory_allocated() / 2**20, "copy_gb_s": copy_rate()}
        return found
