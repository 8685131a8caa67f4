"""`python -m helpers patch`: list, apply, revert and check patches; exit code 0 done, 1 not as wanted, 2 bad input."""

import argparse
import tempfile
from pathlib import Path

from helpers.environment import clones, patching, upstream
from helpers.errors import BadInput


def main(argv=None):
    """Returns 0 when all is well, 1 when `list` finds drift or `check` an entry to renew; raises BadInput."""
    parser = argparse.ArgumentParser("python -m helpers patch", description=patching.__doc__.splitlines()[0])
    parser.add_argument("action", choices=("list", "apply", "revert", "check"))
    parser.add_argument("id", nargs="?", help="id of a patch, or with --clone of a procedure (see list)")
    parser.add_argument("--site", type=Path, help="folder that holds the target (default: the running Python's)")
    parser.add_argument("--dry-run", action="store_true", help="try everything, write nothing")
    parser.add_argument("--clone", type=Path, help="your clone of the repository that the procedure is about")
    parser.add_argument("--file", type=Path, help="your copy of the patch")
    parser.add_argument("--commit", help="what the patch is for (default: the procedure's)")
    parser.add_argument("--directory", default=None, help="folder in the clone that the patch's paths start from")
    options = parser.parse_args(argv)
    if options.clone:
        return _clone(options)
    return {"list": _list, "apply": _apply, "revert": _apply, "check": _check}[options.action](options)


def _list(options):
    rows = patching.status(options.site)
    for row in rows:
        print(f"{row['state']:<13} {row['id']:<26} {row['target']:<28} found {row['found']}")
    for id, entry in clones.procedures().items():
        print(f"{'procedure':<13} {id:<26} {entry['repository']} at {entry['commit'][:12]}")
    return 1 if any(row["state"] in ("drifted", "half applied") for row in rows) else 0


def _require_id(options):
    if options.id is None:
        known = ", ".join(patching.manifest())
        raise BadInput("patch id", "none given", known, f"python -m helpers patch {options.action} ID")


def _apply(options):
    _require_id(options)
    act = patching.patch if options.action == "apply" else patching.unpatch
    result = act(options.id, options.site, options.dry_run)
    would = "would be " if options.dry_run and result["changed"] else ""
    print(f"{result['id']}: {would}{result['state']} in {result['site']}; {len(result['changed'])} files to change")
    print(*(f"  {line}" for line in (*result["changed"], *result["notes"])), sep="\n")
    return 0


def _check(options):
    ids, good = [options.id] if options.id else list(patching.manifest()), True
    for id in ids:
        with tempfile.TemporaryDirectory() as folder:
            result = upstream.check_upstream(id, Path(folder))
        good &= result["needed"] and result["in_range"]
        print(f"{'OK' if result['needed'] and result['in_range'] else 'WARN':<5} {id}: {result['message']}")
    return 0 if good else 1


def _clone(options):
    if options.action == "revert":
        result = clones.revert_clone(options.clone)
        print(f"{options.clone}: not applied, at {result['previous']}; {len(result['changed'])} files put back")
        return 0
    if options.action != "apply":
        raise BadInput("--clone", f"with {options.action}", "apply or revert", "leave --clone away")
    entry = _procedure(options)
    if options.file is None:
        fix = f"add --file PATH; where to get it: {entry.get('patch', 'its authors')}"
        raise BadInput("--file", "missing", "your copy of the patch", fix)
    directory = entry.get("directory", "") if options.directory is None else options.directory
    result = clones.apply_to_clone(options.clone, options.file, options.commit or entry["commit"], directory)
    print(f"{options.clone}: applied at {result['commit'][:12]}; {len(result['changed'])} files changed")
    print(*(f"  {line}" for line in (*result["changed"], *result["notes"])), sep="\n")
    for step in entry.get("verify", ()):
        print(f"  verify: {step}")
    return 0


def _procedure(options):
    known = clones.procedures()
    if options.id is None and options.commit:
        return {}
    if options.id not in known:
        found = "none given" if options.id is None else repr(options.id)
        raise BadInput("procedure id", found, ", ".join(known), "python -m helpers patch list, or give --commit")
    return known[options.id]
