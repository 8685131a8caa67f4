"""Whether a decoder of JPEG files works here: tried in a process of its own, which a library may bring down."""

from benchmarks.spawned import run_spawned
from helpers import errors, pipeline
from helpers.errors import BadInput

SECONDS = 120


def refused(name, jpegs):
    """Why the decoder `name` of `helpers.pipeline.available` does not decode these files, bytes each; "" if it does."""
    try:
        run_spawned(tried, name, jpegs, limit=SECONDS)
    except Exception as error:
        return errors.reason(error)
    return ""


def tried(name, jpegs):
    """Decode the files once."""
    found = pipeline.available()
    if name not in found:
        raise BadInput("decoder", name, ", ".join(found), "install it, or name another")
    decoder = found[name]()
    if hasattr(decoder, "pixels"):
        decoder.pixels(jpegs)
    decoder.close()
