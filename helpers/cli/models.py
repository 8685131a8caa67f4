"""`python -m helpers models`: the systems, their configurations and tensors."""

from helpers import models
from helpers.cli.parser import Parser


def main(argv: list[str]) -> int:
    """`python -m helpers models [SYSTEM] [--config NAME] [--keys]`."""
    parser = Parser("python -m helpers models", description=models.__doc__)
    parser.add_argument("system", nargs="?", help="one of: " + ", ".join(models.SYSTEMS))
    parser.add_argument("--config", help="a configuration of the system (with --keys: published, or the first)")
    parser.add_argument("--keys", action="store_true", help="print name, shape and dtype of every tensor")
    options = parser.parse_args(argv)
    if options.keys and not options.system:
        parser.error("--keys needs a system")
    if options.keys:
        print("\n".join(models.keys(models.skeleton(options.system, options.config))))
        return 0
    found = models.overview(options.system, options.config)
    rows = [
        f"{system:<12}{config:<16}{count:>12,}  {tensors:>7}"
        for system, config, count, tensors in map(dict.values, found)
    ]
    print("\n".join([f"{'system':<12}{'configuration':<16}{'parameters':>12}  {'tensors':>7}", *rows]))
    return 0
