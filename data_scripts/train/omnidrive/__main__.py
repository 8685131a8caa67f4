"""Train the mini OmniDrive: `python -m data_scripts.train.omnidrive vision`, then `... language`; --help tells more."""

import sys

from data_scripts.train import recipe
from data_scripts.train.omnidrive import language, vision
from helpers.errors import BadInput

STAGES = {"vision": vision.main, "language": language.main}


def main(argv):
    """Run the stage that is named; returns the exit code."""
    if argv[:1] in ([], ["-h"], ["--help"]):
        print(__doc__)
        return 0
    if argv[0] not in STAGES:
        raise BadInput("stage", repr(argv[0])[:60], f"one of {', '.join(STAGES)}", "name one, then its options")
    return STAGES[argv[0]](argv[1:])


if __name__ == "__main__":
    raise SystemExit(recipe.program(lambda: main(sys.argv[1:])))
