"""Makes what is shown of the records in results/: docs/results.md, the README's table, docs/pictures/road.svg.

python -m ci.results            # write them (make docs)
python -m ci.results --check    # exit with 1 if one of them is not what the records say (make lint)
"""

import argparse
import sys

from ci.results.pages import pages
from helpers import processes
from helpers.files import ROOT, atomic


def main(argv=None, root=ROOT):
    parser = argparse.ArgumentParser(
        "python -m ci.results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, say what is stale")
    check = parser.parse_args(argv).check
    stale = {
        path: text
        for path, text in pages(root).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        if not check:
            with atomic(path) as part:
                part.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(root)}: " + ("stale (fix: make docs)" if check else "written"))
    if not stale:
        print("the pages agree with results/")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(processes.program(main))
