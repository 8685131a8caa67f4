"""The typical wrong answers of a lesson's exercises, in tests/wrong_answers/: each must be refused by name.

A file holds cells in percent format. The heading names the exercise and the mistake, `# says:` is a regular expression
that the check's message must match (case ignored), and the code replaces the whole cell of the exercise:

    # %% Exercise 2: divides by the largest of ours
    # says: reference
    def relative_error(ours, reference): ...

With `# accepted` in the place of `# says:` it is another right answer, which the check must let pass:

    # %% Exercise 2: with float32 throughout
    # accepted
    def relative_error(ours, reference): ...
"""

import re
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import BadInput
from helpers.files import ROOT

FOLDER = ROOT / "tests/wrong_answers"
HEADING = re.compile(r"^# %% *(Exercise \d+|Project): *(\S.*)$")
SAYS = re.compile(r"^# (?:says: *(\S.*)|accepted *)$")


@dataclass(frozen=True)
class WrongAnswer:
    exercise: str  # "Exercise 2" or "Project", as the heading in the lesson begins
    mistake: str  # or what is particular about another right answer
    says: str | None  # what the message must match; None: it is right, and must be accepted
    source: str


def file_of(notebook, folder=FOLDER):
    """Where the wrong answers of a lesson are; `notebook` is its path below the folder of lessons."""
    return folder / Path(notebook).with_suffix(".py")


def read(path):
    """The wrong answers in a file, in order; none if there is no file. Raises BadInput for a cell of another form."""
    if not path.is_file():
        return []
    _, *cells = re.split(r"^(?=# %%)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [parse(cell, path) for cell in cells]


def parse(cell, path):
    heading, says, *code = [*cell.splitlines(), "", ""]
    named, second, source = HEADING.match(heading), SAYS.match(says), "\n".join(code).strip()
    if not (named and second and source):
        form = "'# %% Exercise N: mistake', then '# says: pattern' or '# accepted', then the code of the cell"
        raise BadInput(path, f"the cell {heading!r}, then {says!r}", form, "mend the cell")
    try:
        re.compile(second[1] or "")
        compile(source, heading, "exec")
    except (re.error, SyntaxError) as error:
        raise BadInput(path, f"{heading!r}: {error}", "a pattern and code that can be read", "mend it") from error
    return WrongAnswer(named[1], named[2].strip(), second[1], source + "\n")


def of_exercise(answers, title):
    """Those that belong to the exercise with this heading."""
    return [answer for answer in answers if re.match(rf"{re.escape(answer.exercise)}\b", title)]
