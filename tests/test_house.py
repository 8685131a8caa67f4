"""The house keeps its shape: floors, no circles, no families of files, no system's names outside its folder."""

import ast
import collections
import functools
import re

import pytest

from helpers import models
from helpers.dataset import Frame
from helpers.files import ROOT
from helpers.graph.functions import FUNCTIONS

# A room imports only from rooms of lower floors. A new room needs a floor here.
FLOORS = (
    (
        "helpers.arguments",
        "helpers.disk",
        "helpers.errors",
        "helpers.files",
        "helpers.kinds",
        "helpers.processes",
        "helpers.repository",
        "helpers.shared",
        "helpers.temporary",
        "helpers.turns",
    ),
    (
        "helpers.boxes",
        "helpers.benchmark",
        "helpers.contradictions",
        "helpers.cores",
        "helpers.exercise",
        "helpers.npz",
        "helpers.sequence",
        "helpers.signals",
        "helpers.voxels",
    ),
    ("helpers.graph", "helpers.dataset", "helpers.calibration", "helpers.records"),
    ("helpers.ops", "helpers.display"),
    ("helpers.layers", "helpers.engine", "helpers.quantize"),
    (
        "helpers.systems",
        "helpers.export",
        "helpers.precision",
        "helpers.metrics",
        "helpers.environment",
        "helpers.pipeline",
    ),
    ("helpers.evaluate", "helpers.models"),
    ("helpers.llm",),
    ("helpers.planner", "helpers.policy", "helpers.serve"),
    ("helpers.cli", "data_scripts"),
    ("benchmarks", "helpers.__main__"),
    ("ci",),
)
GROUND = {  # imports within a floor
    "data_scripts": {"helpers.cli"},
    "helpers.arguments": {"helpers.errors"},
    "helpers.disk": {"helpers.errors"},
    "helpers.files": {"helpers.arguments", "helpers.disk", "helpers.errors", "helpers.temporary"},
    "helpers.kinds": {"helpers.files"},
    "helpers.processes": {"helpers.disk"},
    "helpers.repository": {"helpers.errors", "helpers.files"},
    "helpers.shared": {"helpers.disk", "helpers.errors", "helpers.files", "helpers.temporary"},
}
PROGRAMS = ("helpers", "ci", "benchmarks", "data_scripts")
ARGUMENTS = ("helpers/cli/", "ci/", "benchmarks/", "data_scripts/", "plugins/", "patches/")  # who may parse argv
LONGEST = 250
LONG = {}  # file: why it is longer than that
OWN = re.compile(r"helpers/systems/|helpers/layers/|data_scripts/(train|minidrive|tabletop)/|benchmarks/systems/")
PARAMETERS = {"pts_bbox_head", "img_backbone", "prev_bev", "bev_embed", "memory_embedding_bbox", "history_bev"}


@functools.cache
def sources():
    """dict of path (posix, from the root) to text, of every Python file of the project."""
    folders = (*PROGRAMS, "plugins", "patches", "tests")
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py") if "build" not in path.parts)
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


def programs():
    return {path: text for path, text in sources().items() if path.startswith(tuple(f"{name}/" for name in PROGRAMS))}


def imports(files):
    """dict of module to the modules of `files` that it imports, anywhere in its text."""
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in files}
    found = {}
    for module, path in modules.items():
        package = module.split(".") if path.endswith("__init__.py") else module.split(".")[:-1]
        names = set()
        for node in ast.walk(ast.parse(files[path])):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                names |= {name if (name := f"{base}.{alias.name}") in modules else base for alias in node.names}
        found[module] = names & modules.keys() - {module}
    return found


def circles(edges):
    """The groups of modules that import each other, directly or not."""
    reach = {}

    def reached(start):
        seen, todo = set(), [start]
        while todo:
            fresh = edges[todo.pop()] - seen
            seen |= fresh
            todo += fresh
        return seen

    for module in edges:
        reach[module] = reached(module)
    return {frozenset(other for other in reach[m] if m in reach[other]) for m in edges if m in reach[m]}


def room_of(module):
    """helpers.graph for helpers.graph.walk, ci for ci.lessons.run; each system's folder is a room of its own."""
    parts = module.split(".")
    if parts[:2] == ["helpers", "systems"] and len(parts) > 2 and parts[2] != "base":
        return ".".join(parts[:3])
    return ".".join(parts[:2]) if parts[0] == "helpers" else parts[0]


def floor_of(room):
    """The number of a room's floor; a system's is half a floor above what all systems share."""
    shared = ".".join(room.split(".")[:2])
    number = next((k for k, rooms in enumerate(FLOORS) if shared in rooms), None)
    return None if number is None else number + 0.5 * (room != shared)


def upward(edges):
    """The imports that do not lead down, as "module -> module"."""
    found = []
    for module, others in edges.items():
        room = room_of(module)
        for other in others:
            below = room_of(other)
            if below != room and below not in GROUND.get(room, ()) and floor_of(below) >= floor_of(room):
                found.append(f"{module} -> {other}")
    return found


def families(paths):
    """Folders with three files of one prefix, as "folder/prefix_*"."""
    heads = collections.Counter()
    for path in paths:
        folder, _, name = path.rpartition("/")
        heads[folder, re.split(r"[_.]", name)[0]] += not name.startswith("__")
    return [f"{folder}/{head}_*" for (folder, head), count in heads.items() if count >= 3]


def untyped(path, text):
    """Public functions and methods of public classes that lack a type, as "path: name"."""
    found = []
    for node in ast.parse(text).body:
        members = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else [node]
        for function in members:
            if not isinstance(function, ast.FunctionDef) or function.name.startswith("_"):
                continue
            extra = [argument for argument in (function.args.vararg, function.args.kwarg) if argument]
            given = function.args.posonlyargs + function.args.args + extra + function.args.kwonlyargs
            bare = [each.arg for each in given if each.annotation is None and each.arg not in ("self", "cls")]
            if bare or function.returns is None:
                found.append(f"{path}: {function.name}({', '.join(bare)})")
    return found


def words_of(system):
    """A system's own words: tensors, and the first parts of node patterns; those of data and operators are not."""
    operands = {name for operator in FUNCTIONS.values() for name in operator.INPUTS}
    shared = {"image", "indexes", "img", "command", "ego_pose", *operands, *Frame.__dataclass_fields__}
    words = set()
    for config in models.configs(system).values():
        words |= {*config.input_shapes(), *config.output_shapes()} - shared
        words |= {pattern.strip("/").partition("/")[0] for pattern in (*config.fp32, *config.unquantized)}
    return words


# ----------------------------------------------------- the house itself


def test_every_room_has_a_floor():
    rooms = {".".join(room.split(".")[:2]) for room in map(room_of, imports(programs()))} - set(PROGRAMS[:1])
    assert rooms == {room for floor in FLOORS for room in floor}


def test_imports_lead_down():
    assert upward(imports(programs())) == []


def test_nothing_imports_in_a_circle():
    assert circles(imports(programs())) == set()


def test_the_third_file_with_one_prefix_founds_a_folder():
    assert families(path for path in programs() if not path.endswith("/__init__.py")) == []


@pytest.mark.parametrize("system", models.SYSTEMS)
def test_only_a_systems_own_folder_names_its_tensors_and_nodes(system):
    named = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in sorted(words_of(system) | PARAMETERS)))
    assert named.search(sources()[f"helpers/systems/{system}/config.py"])
    assert {
        path: found for path, text in programs().items() if not OWN.match(path) and (found := named.findall(text))
    } == {}


def test_only_commands_read_their_arguments():
    parsing = [
        path for path, text in sources().items() if re.search(r"^\s*(import|from) argparse\b", text, re.MULTILINE)
    ]
    assert [path for path in parsing if not path.startswith((*ARGUMENTS, "tests/"))] == []
    mains = [path for path, text in programs().items() if re.search(r"^def main\(", text, re.MULTILINE)]
    assert [path for path in mains if not path.startswith((*ARGUMENTS, "helpers/__main__.py"))] == []


def test_nobody_bends_the_path():
    assert [path for path, text in sources().items() if re.search(r"\bsys\.path\.(insert|append)\(", text)] == []


def test_files_are_short():
    long = {path for path, text in programs().items() if text.count("\n") > LONGEST}
    assert long == LONG.keys()


def test_public_functions_are_typed():
    helpers = {path: text for path, text in sources().items() if path.startswith("helpers/")}
    assert [name for path, text in helpers.items() for name in untyped(path, text)] == []


# ------------------------------------------------ the tests of these tests


def test_imports_are_found_wherever_they_stand():
    files = {
        "a/__init__.py": "from a import b",
        "a/b.py": "def f():\n    from a.c import x\n",
        "a/c.py": "import numpy\nfrom . import b\nif 0:\n    import d.e",
        "d/__init__.py": "",
        "d/e.py": "from .. import a",
    }
    assert imports(files) == {"a": {"a.b"}, "a.b": {"a.c"}, "a.c": {"a.b", "d.e"}, "d": set(), "d.e": set()}


def test_a_circle_is_found_and_what_leads_to_it_is_not_in_it():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": set()}
    assert circles(edges) == {frozenset("bc"), frozenset("d")}


def test_what_leads_up_or_sideways_is_found():
    edges = {
        "helpers.graph.walk": {"helpers.graph.file", "helpers.files", "helpers.records"},
        "helpers.files": {"helpers.errors"},
        "helpers.errors": {"helpers.files"},
        "helpers.systems.one.config": {"helpers.systems.base", "helpers.systems.two.config"},
        "helpers.systems.base": {"helpers.systems.one"},
        "helpers.models": {"helpers.systems.one", "benchmarks.engines"},
    }
    assert sorted(upward(edges)) == [
        "helpers.errors -> helpers.files",
        "helpers.graph.walk -> helpers.records",
        "helpers.models -> benchmarks.engines",
        "helpers.systems.base -> helpers.systems.one",
        "helpers.systems.one.config -> helpers.systems.two.config",
    ]


def test_three_of_one_prefix_are_a_family():
    assert families(["a/x_1.py", "a/x_2.py", "b/x_3.py", "a/y.py", "a/__init__.py", "a/__main__.py"]) == []
    assert families(["a/x.py", "a/x_2.py", "a/x_3.py"]) == ["a/x_*"]


def test_a_function_without_types_is_found():
    text = "def f(a: int, *b, c=1) -> int: ...\ndef g(): ...\ndef _h(a): ...\nclass A:\n    def m(self) -> None: ...\n"
    text += "    def n(self, x): ...\nclass _B:\n    def o(self, x): ...\n"
    assert untyped("x.py", text) == ["x.py: f(b, c)", "x.py: g()", "x.py: n(x)"]
