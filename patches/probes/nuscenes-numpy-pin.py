"""May nuscenes-devkit and NumPy 2 be installed together, by the devkit's own metadata? Exit code 0 yes, 1 no."""

import sys
from importlib.metadata import requires, version

from packaging.requirements import Requirement


def main():
    demands = [Requirement(text) for text in requires("nuscenes-devkit")]
    refused = [str(demand) for demand in demands if demand.name == "numpy" and "2.3.5" not in demand.specifier]
    if refused:
        print(f"nuscenes-devkit {version('nuscenes-devkit')} requires {refused[0]}, but you ask for numpy 2.3.5")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
