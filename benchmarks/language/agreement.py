"""How far logits are from those of the reference. NumPy only."""

import numpy as np


def compared(found, expected):
    """Errors over the largest logit, of the prompt and of the worst step, and how often the same token is the most
    probable one; of logits [steps, vocab] that are not all finite, only that."""
    finite = bool(np.isfinite(found).all())
    if not finite:
        return {"finite": finite}
    off = np.abs(found - expected).max(1) / np.abs(expected).max(1)
    same = int((found.argmax(1) == expected.argmax(1)).sum())
    return {"finite": finite, "prefill_rel": float(off[0]), "decode_rel": float(off[1:].max()), "same_token": same,
            "of": len(found)}  # fmt: skip


def same_until(tokens, expected):
    """How many tokens from the first one on are those of logits [steps, vocab]."""
    wanted = expected.argmax(1)
    return int((np.asarray(tokens[: len(wanted)]) == wanted).cumprod().sum())
