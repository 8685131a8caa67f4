"""`python -m helpers patch`: list, apply, revert and check patches; exit code 0 done, 1 not as wanted, 2 bad input."""

from pathlib import Path

from helpers import temporary
from helpers.cli.parser import Parser, check_used
from helpers.environment import patches as patching
from helpers.environment.patches import clones, upstream
from helpers.errors import BadInput


def main(argv: list[str]) -> int:
    """Returns 0 when all is well, 1 when `list` finds drift or `check` an entry to renew; raises BadInput."""
    parser = Parser("python -m helpers patch", description=patching.__doc__.splitlines()[0])
    parser.add_argument("action", choices=("list", "apply", "revert", "check"))
    parser.add_argument("id", nargs="?", help="id of a patch, or with --clone of a procedure (see list)")
    parser.add_argument("--site", type=Path, help="folder that holds the target (default: the running Python's)")
    parser.add_argument("--dry-run", action="store_true", help="try everything, write nothing")
    parser.add_argument("--clone", type=Path, help="your clone of the repository that the procedure is about")
    parser.add_argument("--file", type=Path, help="your copy of the patch")
    parser.add_argument("--commit", help="what the patch is for (default: the procedure's)")
    parser.add_argument("--directory", default=None, help="folder in the clone that the patch's paths start from")
    options = parser.parse_args(argv)
    if options.site and not options.site.is_dir():
        found = "a file" if options.site.exists() else "no such folder"
        raise BadInput(f"--site {options.site}", found, "the folder of the target", "correct it or leave it out")
    _check_used(options)
    if options.clone:
        return _clone(options)
    for name in ("file", "commit", "directory"):
        if getattr(options, name) is not None:
            parser.error(f"--{name} is of a clone: --clone CLONE with it")
    return {"list": _list, "apply": _apply, "revert": _apply, "check": _check}[options.action](options)


def _check_used(options):
    """What would be left aside is refused, above all a --dry-run that would write."""
    applies, clone = options.action in ("apply", "revert"), options.clone
    check_used(options.dry_run, "--dry-run", applies and not clone, "apply or revert of an installed package")
    check_used(options.site, "--site", not clone, "an installed package, without --clone")
    for name in ("file", "commit", "directory", "id"):
        used = not clone or options.action != "revert"
        check_used(getattr(options, name), f"--{name}".replace("--id", "ID"), used, "apply")


def _list(options):
    procedures = clones.procedures()
    if options.id in procedures:
        rows, procedures = [], {options.id: procedures[options.id]}
    elif options.id is None:
        rows = patching.status(options.site)
    else:
        rows, procedures = patching.status(options.site, ids=[patching.find(options.id)["id"]]), {}
    for row in rows:
        print(f"{row['state']:<13} {row['id']:<26} {row['target']:<28} found {row['found']}")
    for id, entry in procedures.items():
        print(f"{'procedure':<13} {id:<26} {entry['repository']} at {entry['commit'][:12]}")
    return 1 if any(row["state"] in ("drifted", "half applied") for row in rows) else 0


def _require_patch(options):
    if options.id in clones.procedures():
        fix = f"python -m helpers patch apply {options.id} --clone CLONE --file PATCH"
        fix = "python -m helpers patch revert --clone CLONE" if options.action == "revert" else fix
        raise BadInput("patch id", f"{options.id!r}, a procedure", "--clone and --file with it", fix)
    if options.id is None:
        known = ", ".join(patching.manifest())
        raise BadInput("patch id", "none given", known, f"python -m helpers patch {options.action} ID")


def _apply(options):
    _require_patch(options)
    act = patching.patch if options.action == "apply" else patching.unpatch
    result = act(options.id, options.site, options.dry_run)
    print(f"{result['id']}: {_outcome(options, result)} in {result['site']}; {_changed(options, result)}")
    print(*(f"  {line}" for line in (*result["changed"], *result["notes"])), sep="\n")
    return 0


def _outcome(options, result):
    done = {"apply": "applied", "revert": "reverted"}[options.action]
    if not result["changed"]:
        return f"already {result['state']}"
    return f"would be {done}" if options.dry_run else done


def _changed(options, result):
    files = _files(result["changed"])
    return f"{files} would change" if options.dry_run else f"{files} changed"


def _files(names):
    return "1 file" if len(names) == 1 else f"{len(names)} files"


def _check(options):
    if options.id:
        _require_patch(options)
    ids, good = [options.id] if options.id else list(patching.manifest()), True
    for id in ids:
        with temporary.scratch() as folder:
            result = upstream.check_upstream(id, folder, site=options.site)
        good &= result["needed"] and result["in_range"]
        print(f"{'OK' if result['needed'] and result['in_range'] else 'WARN':<5} {id}: {result['message']}")
    return 0 if good else 1


def _clone(options):
    if options.action == "revert":
        result = clones.revert_clone(options.clone)
        outcome = "reverted" if result["changed"] else "already not applied"
        print(f"{options.clone}: {outcome}, at {result['previous']}; {_files(result['changed'])} put back")
        return 0
    if options.action != "apply":
        raise BadInput("--clone", f"with {options.action}", "apply or revert", "leave --clone away")
    entry = _procedure(options)
    if options.file is None:
        fix = f"add --file PATH; where to get it: {entry.get('patch', 'its authors')}"
        raise BadInput("--file", "missing", "your copy of the patch", fix)
    directory = entry.get("directory", "") if options.directory is None else options.directory
    result = clones.apply_to_clone(options.clone, options.file, options.commit or entry["commit"], directory)
    outcome = "applied" if result["changed"] else "already applied"
    print(f"{options.clone}: {outcome} at {result['commit'][:12]}; {_files(result['changed'])} changed")
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
