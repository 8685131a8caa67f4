"""Reads a Dockerfile into stages, and checks the rules that this project's images keep.

Understands stages, build arguments in FROM, continuation lines and comments. No heredocs.
"""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from helpers.errors import BadInput

KEYWORDS = {"FROM", "ARG", "ENV", "LABEL", "RUN", "COPY", "ADD", "USER", "WORKDIR", "SHELL", "EXPOSE", "CMD"}
KEYWORDS |= {"ENTRYPOINT", "HEALTHCHECK", "VOLUME"}
LABELS = {"org.opencontainers.image.title", "org.opencontainers.image.licenses"}
SECRET = re.compile(r"(?i)(token|passw(or)?d|secret|api_?key|credential)")


@dataclass
class Instruction:
    keyword: str
    text: str
    line: int


@dataclass
class Stage:
    """One FROM and what follows. `base` has its build arguments filled in; `parent` is the stage it continues."""

    name: str
    base: str
    parent: "Stage | None"
    line: int
    own: list[Instruction] = field(default_factory=list)

    def instructions(self):
        """All instructions, those of the stages it continues first."""
        return (self.parent.instructions() if self.parent else []) + self.own

    def all(self, keyword):
        return [instruction for instruction in self.instructions() if instruction.keyword == keyword]


def expand(text, values):
    """`text` with $NAME and ${NAME} replaced; unknown names become empty, as in a build."""
    return re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda found: values.get(found[1] or found[2], ""), text)


def read(text, where="Dockerfile"):
    """The list of stages of a Dockerfile; BadInput names the line that is not understood."""
    stages, arguments = [], {}
    for instruction in _instructions(text, where):
        if instruction.keyword == "FROM":
            stages.append(_stage(instruction, stages, arguments, where))
        elif stages:
            stages[-1].own.append(instruction)
        elif instruction.keyword == "ARG":
            name, _, value = instruction.text.partition("=")
            arguments[name] = value
        else:
            raise BadInput(f"{where}:{instruction.line}", instruction.keyword, "FROM or ARG first", "move it down")
    if not stages:
        raise BadInput(where, "no FROM", "at least one stage", "see docs.docker.com/reference/dockerfile")
    return stages


def _instructions(text, where):
    lines, start, gathered = text.splitlines(), 0, ""
    for number, line in enumerate([*lines, ""], start=1):
        if line.lstrip().startswith("#"):
            continue
        start = start if gathered else number
        gathered += line.rstrip().removesuffix("\\") + " "
        if line.rstrip().endswith("\\"):
            continue
        keyword, _, rest = gathered.strip().partition(" ")
        gathered = ""
        if not keyword:
            continue
        if keyword not in KEYWORDS or "<<" in rest:
            raise BadInput(
                f"{where}:{start}", keyword, f"one of {', '.join(sorted(KEYWORDS))}, no heredoc", "rewrite it"
            )
        yield Instruction(keyword, rest.strip(), start)


def _stage(instruction, stages, arguments, where):
    words = [word for word in instruction.text.split() if not word.startswith("--")]
    if len(words) not in (1, 3):
        raise BadInput(
            f"{where}:{instruction.line}", instruction.text, "FROM IMAGE or FROM IMAGE AS NAME", "rewrite it"
        )
    base = expand(words[0], arguments)
    parent = next((stage for stage in stages if stage.name == base), None)
    return Stage(words[2] if len(words) == 3 else "", base, parent, instruction.line)


def copy_arguments(text):
    """(sources, destination) of a COPY."""
    words = [word for word in shlex.split(text) if not word.startswith("--")]
    return words[:-1], words[-1]


def ignored(path, rules):
    """Whether the `rules` of a .dockerignore keep `path` (relative, POSIX) out: the last one that matches decides."""
    keep_out = False
    for rule in rules:
        pattern = rule.removeprefix("!").rstrip("/")
        parts = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if re.fullmatch(f"{parts}(/.*)?", path):
            keep_out = not rule.startswith("!")
    return keep_out


def ignore_rules(folder):
    path = Path(folder) / ".dockerignore"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def breaches(text, folder, where="Dockerfile"):
    """What breaks the rules, one sentence each with its line: empty for a good Dockerfile."""
    stages, rules = read(text, where), ignore_rules(folder)
    leaves = [stage for stage in stages if not any(other.parent is stage for other in stages)]
    found = [sentence for stage in stages for sentence in _base_breaches(stage)]
    for stage in stages:
        for instruction in stage.own:
            found += [(instruction.line, sentence) for sentence in _breaches(instruction, Path(folder), rules)]
    found += [
        (stage.line, f"stage {stage.name}: {sentence}") for stage in leaves for sentence in _image_breaches(stage)
    ]
    return [f"{where}:{line}: {sentence}" for line, sentence in sorted(found)]


def _base_breaches(stage):
    tag = stage.base.rpartition("/")[2].partition("@")[0].partition(":")[2]
    if not stage.parent and "@sha256:" not in stage.base and tag in ("", "latest"):
        yield stage.line, f"the image {stage.base or '(empty)'} is not pinned by a tag"


def _breaches(instruction, folder, rules):
    keyword, text = instruction.keyword, instruction.text
    if keyword == "ADD":
        yield "ADD fetches and unpacks unseen: use COPY"
    if keyword in ("ARG", "ENV") and SECRET.search(text):
        yield f"{keyword} {text.split('=')[0]} would keep a secret in the image"
    if keyword == "COPY" and "--from=" not in text:
        for source in copy_arguments(text)[0]:
            if not (folder / source).exists():
                yield f"COPY {source}: no such file here"
            elif source != "." and ignored(source.rstrip("/"), rules):
                yield f"COPY {source}: .dockerignore keeps it out"
    if keyword == "RUN":
        yield from _run_breaches(text)


def _run_breaches(text):
    if re.search(r"\bapt(-get)? install\b", text):
        for wanted in ("apt-get update", "--no-install-recommends", "--yes", "rm -rf /var/lib/apt/lists/*"):
            if wanted not in text:
                yield f"apt-get install without {wanted} in the same RUN"
    if re.search(r"\bpip3? install\b", text) and not re.search(r"--no-deps --require-hashes .*--requirement", text):
        yield "pip install without a lock (--no-deps --require-hashes --requirement LOCK)"
    if re.search(r"\b(sudo|curl|wget|trusted-host)\b", text):
        yield "sudo, curl, wget and --trusted-host have no place in these images"


def _image_breaches(stage):
    users = [instruction.text for instruction in stage.all("USER")]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        yield "runs as root: end with USER of somebody else"
    if not stage.all("HEALTHCHECK") or stage.all("HEALTHCHECK")[-1].text == "NONE":
        yield "has no HEALTHCHECK"
    labels = " ".join(instruction.text for instruction in stage.all("LABEL"))
    if missing := sorted(label for label in LABELS if f"{label}=" not in labels):
        yield f"has no label {', '.join(missing)}"
    if not stage.name:
        yield "has no name to build it by"
