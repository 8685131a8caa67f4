"""What the code of a lesson may not do: install, ask the network, silence the linter, import what the lock lacks."""

import ast
import functools
import re
import sys
from importlib.metadata import packages_distributions

from ci.lessons.markdown import FENCE, SPAN, blank, links_of
from helpers.files import ROOT

LOCK = ROOT / "requirements/cpu.txt"
OWN = {"helpers", "data_scripts"}
INSTALLERS = {"pip", "pip3", "conda", "mamba", "micromamba", "ensurepip", "easy_install", "uv", "poetry"}
VERBS = {"install", "uninstall", "download", "check", "list", "freeze", "show", "wheel", "update", "create", "env"}
VERBS |= {"add", "sync", "remove", "upgrade", "pip"}
MODULE = re.compile(r"-m\s+(?:pip|ensurepip|conda)\b")
COMMAND = re.compile(rf"\b(?:{'|'.join(sorted(INSTALLERS))})\s+(?:{'|'.join(sorted(VERBS))})\b")
RUNNERS = {"run", "Popen", "call", "check_call", "check_output", "system", "popen", "getoutput", "getstatusoutput"}
RUNNERS |= {"execv", "execvp", "create_subprocess_exec", "create_subprocess_shell", "run_line_magic", "run_cell_magic"}
NETWORK = {
    "requests",
    "urllib.request",
    "urllib3",
    "http.client",
    "httpx",
    "aiohttp",
    "ftplib",
    "smtplib",
    "wget",
    "gdown",
}
NETWORK |= {"xmlrpc.client", "websocket", "websockets", "huggingface_hub", "boto3", "torch.hub"}
FETCHER = re.compile(r"(?:^|[;&|]\s*)(?:curl|wget|git clone)\b")
OUTSIDE = re.compile(r"https?://(?!localhost\b|127\.0\.0\.1\b|www\.w3\.org/)")  # w3.org: names of XML, never asked
ANCHOR = re.compile(r"\]\(https?://[^)\s]*\)|<a\b[^>]*>|<https?://[^>]*>", re.IGNORECASE)
SILENCED = re.compile(r"#\s*(?:fmt:\s*(?:skip|off|on)|noqa|type:\s*ignore|ruff:)", re.IGNORECASE)
EMBEDDED = re.compile(
    r"<(?:img|script|iframe|link|video|audio|source|embed|object)\b[^>]*?(?:src|href|data)\s*=\s*[\"']?(?:https?:)?//",
    re.IGNORECASE,
)


@functools.cache
def locked(lock=LOCK):
    """The names of distributions in the lock, in normal form."""
    return {
        _normal(name)
        for name in re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==", lock.read_text(encoding="utf-8"), re.MULTILINE)
    }


packages = functools.cache(packages_distributions)  # which reads the files of every installed package


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(source):
    """The tree of a cell, or None if it is no Python (a magic, a shell line, a syntax error)."""
    try:
        return compile(source, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:
        return None


def imported(tree):
    """The modules that a cell imports, wherever the import stands, also by name through import_module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__", "run_module"):
            yield from _texts(node.args[:1])


def _called(call):
    """The last part of the name of what is called."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _texts(nodes):
    """The constant texts among nodes, those of f-strings and of lists too."""
    for node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                yield inner.value


def is_known(module):
    """Whether the standard library, the project or the lock has a module."""
    top = module.split(".")[0]
    if top in sys.stdlib_module_names or top in OWN:
        return True
    names = packages().get(top, [top])
    return any(_normal(name) in locked() for name in names)


def import_breaches(tree):
    found = set(imported(tree))
    for module in sorted(found):
        if any(f"{module}.".startswith(f"{name}.") for name in NETWORK):
            yield f"imports {module} (no lesson asks the network)"
    for top in sorted({module.split(".")[0] for module in found}):
        if top in INSTALLERS:
            yield f"imports {top} (the lock installs packages)"
        elif not is_known(top):
            yield f"imports {top}, which the lock ({LOCK.name}), the standard library and the project lack"


def documentation(tree):
    """The nodes of the docstrings."""
    owners = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module))
    return {id(node.body[0].value) for node in owners if ast.get_docstring(node) is not None}


def install_breaches(tree):
    """Installers as the words of a command, in a list or as arguments, and in a line given to a shell."""
    skipped = documentation(tree)
    for node in ast.walk(tree):
        parts = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
        words = [part.value if isinstance(part, ast.Constant) else None for part in parts]
        for before, word, after in zip([None, *words], words, [*words[1:], None], strict=False):
            if word in INSTALLERS and (before == "-m" or after in VERBS):
                yield f"runs {word} (the lock installs packages)"
        lines = []
        if isinstance(node, ast.Call) and _called(node) in RUNNERS:
            lines = [*_texts(parts), " ".join(_texts(parts))]
        elif isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in skipped:
            lines = [text for text in _texts([node]) if MODULE.search(text)]
        for line in lines:
            if found := MODULE.search(line) or COMMAND.search(line):
                yield f"runs '{found[0]}' (the lock installs packages)"
            elif found := FETCHER.search(line.strip()):
                yield f"runs '{found[0]}' (no lesson asks the network)"


def request_breaches(tree):
    """Addresses in texts, other than those of links on which a reader may click; what they embed; network modules."""
    skipped = documentation(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            if EMBEDDED.search(node.value) or OUTSIDE.search(ANCHOR.sub("", node.value)):
                yield f"has an outside address in {node.value.strip()[:50]!r} (no lesson asks the network)"
        elif isinstance(node, ast.Attribute) and (name := ast.unparse(node)) in NETWORK:
            yield f"uses {name} (no lesson asks the network)"


def table_breaches(tree):
    """The table of the machine and its versions, made and not shown: every lesson begins with it."""
    for statement in tree.body[:-1]:
        if isinstance(statement, ast.Expr) and ast.unparse(statement).startswith("environment.begin("):
            yield "does not show what environment.begin returns (make it the last line, or show it)"


def cell_breaches(source):
    tree = parse(source)
    if tree is None:
        line = next((line for line in source.splitlines() if re.match(r"\s*[!%?]", line)), None)
        yield f"has the line {line.strip()!r} (no magic, no shell)" if line else "is no Python"
        return
    if re.search(r"\bget_ipython\s*\(", source):
        yield "uses get_ipython (no magic, no shell)"
    if found := SILENCED.search(source):
        yield f"has '{found[0]}' (write what the formatter and the linter accept)"
    yield from dict.fromkeys(import_breaches(tree))
    yield from dict.fromkeys(install_breaches(tree))
    yield from dict.fromkeys(request_breaches(tree))
    yield from table_breaches(tree)


def markdown_breaches(source):
    """Pictures and frames that a page would fetch from outside."""
    if EMBEDDED.search(blank(source, FENCE, SPAN)) or any(
        link["image"] and OUTSIDE.match(link["target"]) for link in links_of(source)
    ):
        yield "shows something from another site (no page asks the network)"


def breaches(lesson, course):
    for number, cell in enumerate(lesson.notebook.cells, 1):
        found = cell_breaches(cell.source) if cell.cell_type == "code" else markdown_breaches(cell.source)
        yield from (f"cell {number}: {text}" for text in found)
