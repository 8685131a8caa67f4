"""Changes the numeric core in one place at a time, and looks whether a test notices.

python -m ci.mutants --sample 60 --seed 1                    # of the whole core
python -m ci.mutants helpers/boxes.py --floor 0.9

A mutant is a file with one change: a comparison, an operator, a number, a condition, a result or a call. The tests that
mirror the file run on it, in a copy of the project and under a clock. A mutant that they pass has survived. Exits with
1 if fewer than the floor are noticed, or if the tests fail without a change.

It is a program of our own because the known ones do not fit: mutmut 3 puts a trampoline into the place of every
function, which code that reads sources would meet, and cosmic-ray edits the working tree.
"""

import argparse
import ast
import copy
import os
import queue
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ci import places
from helpers import processes, temporary
from helpers.cli import numbers
from helpers.files import ROOT

CORE = (
    *("helpers/ops/common.py", "helpers/ops/ms_deform_attn.py", "helpers/ops/rotate.py"),
    *("helpers/boxes.py", "helpers/metrics/detection.py", "helpers/engine/cache.py", "helpers/records.py"),
    *("helpers/calibration/__init__.py", "helpers/calibration/archive.py", "helpers/calibration/reader.py"),
)
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
LEAST, PATIENCE = 10, 5  # the clock: seconds, and times what the tests take without a change
WORKERS = 2
COMPILED = ("tests/helpers/ops/test_common.py", "tests/plugins/test_host_kernels.py")  # with the kernels of operators


class Mutant(NamedTuple):
    path: str
    line: int
    before: str
    after: str
    text: str  # of the whole file


def changed(node):
    """Yield (a part of `node`, what to put in its place)."""
    if isinstance(node, ast.Compare | ast.BinOp | ast.BoolOp):
        other = copy.deepcopy(node)
        kind = type(node.ops[0] if isinstance(node, ast.Compare) else node.op)
        if kind in SWAPS:
            if isinstance(node, ast.Compare):
                other.ops[0] = SWAPS[kind]()
            else:
                other.op = SWAPS[kind]()
            yield node, f"({ast.unparse(other)})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node, f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
        yield node, repr(not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield node.test, f"(not ({ast.unparse(node.test)}))"
    elif isinstance(node, ast.Return) and node.value is not None:
        yield node.value, "None"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, "pass"


def code_nodes(node):
    """The nodes below one that compute: no annotations, decorators or texts."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield child
                yield from code_nodes(child)


def mutants_of(path, text):
    """Every mutant of a file, in the order of its lines."""
    lines = text.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found = []
    for node in code_nodes(ast.parse(text)):
        for part, after in changed(node):
            first, last = starts[part.lineno - 1] + part.col_offset, starts[part.end_lineno - 1] + part.end_col_offset
            whole = text.encode()
            made = (whole[:first] + after.encode() + whole[last:]).decode()
            found.append(Mutant(path, part.lineno, whole[first:last].decode(), after, made))
    return sorted(found, key=lambda mutant: mutant.line)


def tests_of(path, root=ROOT):
    """The tests that mirror a file: those of its name and those of its room's name, or else its folder's; behind them
    those that compile kernels for it, which are slow and asked only where the others notice nothing.
    """
    mirror = Path("tests") / path
    own, room = (mirror.with_name(f"test_{name}.py") for name in (mirror.stem, mirror.parent.name))
    first = [str(test) for test in (own, room) if (root / test).is_file()] if (root / own).is_file() else []
    first = first or [str(mirror.parent)]
    return [*first, *(name for name in COMPILED if path.startswith("helpers/ops/") and name not in first)]


def fails(folder, tests, seconds):
    """Whether the tests fail in a copy of the project, or do not end in time."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    guarded = processes.Guarded(command, cwd=folder, env=environment, **quiet)
    try:
        return guarded.process.wait(seconds) != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        guarded.end()


def survivors(chosen, folders, limits):
    """Yield (mutant, whether it survived) in the order in which they are done."""
    free = queue.SimpleQueue()
    for folder in folders:
        free.put(folder)

    def survives(mutant):
        folder = free.get()
        file = folder / mutant.path
        original = file.read_text()
        try:
            file.write_text(mutant.text)
            return not fails(folder, tests_of(mutant.path), limits[mutant.path])
        finally:
            file.write_text(original)
            free.put(folder)

    pool = ThreadPoolExecutor(len(folders))
    try:
        yield from zip(chosen, pool.map(survives, chosen), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def main(argv=None):
    parser = argparse.ArgumentParser(
        "python -m ci.mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", default=CORE, help="files, relative to the project (the numeric core)")
    parser.add_argument("--floor", type=numbers.real(0, 1), default=0.9, help="share that has to be noticed (0.9)")
    parser.add_argument("--sample", type=numbers.whole(1, 10**6), help="so many mutants (all)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    arguments = parser.parse_args(argv)
    with temporary.scratch() as scratch:
        folders = [places.tree(scratch / f"copy{k}") for k in range(WORKERS)]
        if absent := [path for path in arguments.paths if not (folders[0] / path).is_file()]:
            parser.error(f"no file {absent[0]} in the project")
        every = [mutant for path in arguments.paths for mutant in mutants_of(path, (folders[0] / path).read_text())]
        size = min(arguments.sample or len(every), len(every))
        chosen = sorted(random.Random(arguments.seed).sample(every, size))
        limits = {}
        for path in sorted({mutant.path for mutant in chosen}):
            started = time.monotonic()
            if fails(folders[0], tests_of(path), 600):
                print(f"{' '.join(tests_of(path))} fails without any change", file=sys.stderr)
                return 1
            limits[path] = LEAST + PATIENCE * (time.monotonic() - started)
        alive = []
        for count, (mutant, survived) in enumerate(survivors(chosen, folders, limits), 1):
            if count % 20 == 0:
                print(f"{count} of {size} mutants", flush=True)
            if survived:
                alive.append(mutant)
                print(f"SURVIVED  {mutant.path}:{mutant.line}  {mutant.before}  ->  {mutant.after}", flush=True)
    return report(chosen, alive, arguments.floor)


def report(chosen, alive, floor):
    """Print a table of the files; the exit code."""
    print(f"\n{'file':<36}{'mutants':>8}{'noticed':>9}{'survived':>10}")
    for path in sorted({mutant.path for mutant in chosen}):
        total, left = (sum(mutant.path == path for mutant in each) for each in (chosen, alive))
        print(f"{path:<36}{total:>8}{total - left:>9}{left:>10}")
    share = 1 - len(alive) / len(chosen) if chosen else 0.0
    print(f"{'all':<36}{len(chosen):>8}{len(chosen) - len(alive):>9}{len(alive):>10}   {share:.1%} noticed")
    return 0 if share >= floor else 1


if __name__ == "__main__":
    sys.exit(processes.program(main))
