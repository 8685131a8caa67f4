"""Times of whatever speaks: until the first token (TTFT), for each further one (TPOT), for a whole answer."""

import collections
import itertools
import time

from helpers.benchmark import Timing, order

KINDS = ("ttft", "tpot", "frame", "gpu_prefill", "gpu_step")


class Spoken:
    """A language model that is timed. Subclasses define how it takes a prompt, goes on, and tells what it chose."""

    def begin(self, prompt):
        """Queue a prompt, a list of ids."""
        raise NotImplementedError

    def advance(self):
        """Queue a step with the token that was chosen last."""
        raise NotImplementedError

    def chosen(self):
        """Wait for all that is queued; the tokens since `begin`."""
        raise NotImplementedError

    def latest(self):
        """Wait for all that is queued; the last token alone."""
        return self.chosen()[-1]

    def whole(self, prompt, tokens):
        """An answer of so many tokens, waited for at its end."""
        self.begin(prompt)
        for _ in range(tokens - 1):
            self.advance()
        return self.chosen()

    def mark(self):
        """A point in time on the device, behind what is queued."""
        return time.perf_counter()

    def between(self, earlier, later):
        """Milliseconds between two marks, once `chosen` has waited."""
        return 1e3 * (later - earlier)


def measure(speakers, prompt, tokens, rounds, kinds=KINDS):
    """{name: {kind: `Timing`}} of several `Spoken`, in turns; `kinds` of ttft, tpot, frame, gpu_prefill and gpu_step.

    ttft and tpot end when the token is known on the host, and nothing is queued ahead; frame is a whole answer, queued
    without waiting in between; the times of the GPU are those between marks while it has work.
    """
    samples = {name: collections.defaultdict(list) for name in speakers}
    for one in speakers.values():
        one.whole(prompt, min(tokens, 4))
    for turn in range(rounds):
        for name in order(speakers, turn):
            for kind, found in _round(speakers[name], prompt, tokens, kinds).items():
                samples[name][kind] += found
    return {name: {kind: Timing(found[kind]) for kind in kinds} for name, found in samples.items()}


def _round(speaker, prompt, tokens, kinds):
    found = {"ttft": [_timed(lambda: (speaker.begin(prompt), speaker.latest()))], "tpot": []}
    for _ in range(tokens - 1):
        found["tpot"].append(_timed(lambda: (speaker.advance(), speaker.latest())))
    if "frame" in kinds:
        found["frame"] = [_timed(lambda: speaker.whole(prompt, tokens))]
    marks = [speaker.mark()]
    speaker.begin(prompt)
    for _ in range(tokens - 1):
        marks.append(speaker.mark())
        speaker.advance()
    marks.append(speaker.mark())
    speaker.chosen()
    prefill, *steps = (speaker.between(a, b) for a, b in itertools.pairwise(marks))
    return found | {"gpu_prefill": [prefill], "gpu_step": steps}


def _timed(function):
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)
