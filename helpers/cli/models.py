"""`python -m helpers models`: the systems, their configurations and tensors."""

import argparse

from helpers import models


def main(argv=None):
    """`python -m helpers models [SYSTEM] [--config NAME] [--keys]`."""
    parser = argparse.ArgumentParser("python -m helpers models", description=models.__doc__)
    parser.add_argument("system", nargs="?", help="one of: " + ", ".join(models.SYSTEMS))
    parser.add_argument("--config", help="a configuration of the system (with --keys: default published)")
    parser.add_argument("--keys", action="store_true", help="print name, shape and dtype of every tensor")
    options = parser.parse_args(argv)
    if options.keys and not options.system:
        parser.error("--keys needs a system")
    if options.keys:
        print("\n".join(models.keys(models.skeleton(options.system, options.config or "published"))))
        return 0
    rows = []
    for system in [options.system] if options.system else models.SYSTEMS:
        for config in [options.config] if options.config else models.configs(system):
            model = models.skeleton(system, config)
            rows.append(f"{system:<12}{config:<16}{models.parameter_count(model):>12,}  {len(model.state_dict()):>7}")
    print("\n".join([f"{'system':<12}{'configuration':<16}{'parameters':>12}  {'tensors':>7}", *rows]))
    return 0
