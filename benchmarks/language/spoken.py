"""Times of whatever speaks: until the first token (TTFT), for each further one (TPOT), for a whole answer."""

import collections
import itertools
import time

from helpers.benchmark import Timing, order


class Spoken:
    """A language model that is timed. Subclasses define how it takes a prompt, goes on, and tells what it chose."""

    def begin(self, prompt):
        """Queue a prompt, a list of ids."""
        raise NotImplementedError

    def rewind(self, prompt):
        """Queue the start of another answer to the prompt that was begun last, which need not be taken in again."""
        self.begin(prompt)

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


def measure(speakers, prompt, tokens, rounds, alone=False):
    """{name: {kind: `Timing`}} of several `Spoken`, in turns: ttft, tpot, frame, gpu_prefill and gpu_step.

    ttft and tpot end when the token is known on the host, and nothing is queued ahead; frame is a whole answer, queued
    without waiting in between; the times of the GPU are those between marks while it has work.

    Args:
        alone: time tpot and gpu_step alone: the prompt is taken in once, and the steps of every turn begin behind it.
    """
    samples = {name: collections.defaultdict(list) for name in speakers}
    for one in speakers.values():
        one.whole(prompt, min(tokens, 4))
    timed = _steps if alone else _answers
    for turn in range(rounds):
        for name in order(speakers, turn):
            for kind, found in timed(speakers[name], prompt, tokens).items():
                samples[name][kind] += found
    return {name: {kind: Timing(times) for kind, times in found.items()} for name, found in samples.items()}


def _answers(speaker, prompt, tokens):
    ttft = _timed(lambda: (speaker.begin(prompt), speaker.latest()))
    tpot = _waited(speaker, tokens)
    frame = _timed(lambda: speaker.whole(prompt, tokens))
    prefill, *steps = _marked(speaker, lambda: speaker.begin(prompt), tokens)
    return {"ttft": [ttft], "tpot": tpot, "frame": [frame], "gpu_prefill": [prefill], "gpu_step": steps}


def _steps(speaker, prompt, tokens):
    speaker.rewind(prompt)
    speaker.latest()
    tpot = _waited(speaker, tokens)
    _, *steps = _marked(speaker, lambda: _busy(speaker, prompt, tokens), tokens)
    return {"tpot": tpot, "gpu_step": steps}


def _busy(speaker, prompt, tokens):
    """Queue steps that do not count, and start again: the device works while those that do are queued."""
    speaker.rewind(prompt)
    for _ in range(tokens - 1):
        speaker.advance()
    speaker.rewind(prompt)


def _waited(speaker, tokens):
    """Times of the steps of an answer, each until its token is known."""
    return [_timed(lambda: (speaker.advance(), speaker.latest())) for _ in range(tokens - 1)]


def _marked(speaker, start, tokens):
    """Times of the device: of what `start` queues, and of every step behind it."""
    marks = [speaker.mark()]
    start()
    for _ in range(tokens - 1):
        marks.append(speaker.mark())
        speaker.advance()
    marks.append(speaker.mark())
    speaker.chosen()
    return [speaker.between(a, b) for a, b in itertools.pairwise(marks)]


def _timed(function):
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)
