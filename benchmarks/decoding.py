"""Whether a decoder of JPEG files works here: tried in a process of its own, which a library may bring down.

It exits with 0 if it does:

    python -m benchmarks.decoding NAME FILE...
"""

import signal
import subprocess
import sys
from pathlib import Path

from helpers import pipeline, temporary
from helpers.errors import BadInput
from helpers.files import ROOT

SECONDS = 120


def refused(name, jpegs):
    """Why the decoder `name` of `helpers.pipeline.available` does not decode these files, bytes each; "" if it does."""
    with temporary.scratch() as folder:
        paths = [folder / f"{index}.jpg" for index in range(len(jpegs))]
        for path, data in zip(paths, jpegs, strict=True):
            path.write_bytes(data)
        command = [sys.executable, "-m", "benchmarks.decoding", name, *map(str, paths)]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return f"not done after {SECONDS} s"
    return reason(done.returncode, done.stderr)


def reason(code, told):
    """What an exit code and the error stream of the trial say; "" for success."""
    if code < 0:
        return f"it ended its process by {signal.Signals(-code).name}"
    return (told.strip().splitlines() or [f"exit code {code}"])[-1] if code else ""


def main(name, *files):
    """Decode the files once; 0."""
    found = pipeline.available()
    if name not in found:
        raise BadInput("decoder", name, ", ".join(found), "install it, or name another")
    decoder = found[name]()
    if hasattr(decoder, "pixels"):
        decoder.pixels([Path(file).read_bytes() for file in files])
    decoder.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
