"""An executed notebook as a page of the book.

Parameters are left out, an exercise shows its empty form and then its solution, folded; pictures become files with an
alternative text, and widgets the form that they have without a kernel.
"""

import copy
import re

from nbformat.v4 import new_markdown_cell, new_output

from ci.book import widgets
from ci.book.links import rewritten
from ci.book.pictures import Pictures
from ci.lessons.learner import BEGIN, END, clear, is_exercise

HIDDEN = {"parameters", "injected-parameters"}
ROW = re.compile(r"^\| *(?P<name>[^|]+?) *\| *(?P<text>.+?) *\|$", re.MULTILINE)
PICTURE = re.compile(r'<img alt="[^"]*" src="(?P<source>[^"]+)"[^>]*>')
TABLE = re.compile(r"(?:^\|.*\|[ ]*\n?)+", re.MULTILINE)
MOST_TEXT = 10_000  # characters of an output
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}  # of a notebook whose kernel never said
AROUND = ("Previous", "Next")  # the theme has them at the foot of every page


def header_of(source):
    """{"You need": ..., "To read": ...} of the table in a lesson's first cell; Markdown."""
    return {row["name"]: row["text"] for row in ROW.finditer(source) if set(row["name"]) - set("-: ")}


def with_facts(source):
    """The first cell with its table as a list of definitions, which a narrow screen can show."""
    facts = {name: text for name, text in header_of(source).items() if name not in AROUND}
    listed = "\n\n".join(f"{name}\n: {text}" for name, text in facts.items())
    return TABLE.sub(lambda _: f"{{.facts}}\n{listed}\n" if facts else "", source, count=1)


def page(notebook, path, pages, folder):
    """The notebook changed into a page.

    Args:
        notebook: executed; it stays as it is.
        path: where it stands in the project, such as notebooks/00_start_here.ipynb.
        pages: ci.book.links.Pages. folder: where its pictures go, a folder at the root of the book.
    """
    made = copy.deepcopy(notebook)
    states = widgets.states_of(made)
    made.metadata.pop("widgets", None)
    made.metadata.setdefault("language_info", LANGUAGE)
    pictures = Pictures(folder, "../" * path.count("/"))
    cells = [cell for cell in made.cells if not HIDDEN & set(cell.metadata.get("tags", []))]
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            cell.source = rewritten(with_facts(cell.source) if number == 0 else cell.source, path, pages)
            cell.source = pictures.extracted(cell.source)
        elif cell.cell_type == "code":
            cell.outputs = [shown(output, states, pictures) for output in cell.outputs]
    made.cells = [part for cell in cells for part in (solved(cell) if is_exercise(cell) else [cell])]
    return made


def solved(cell):
    """The empty exercise, then the cell with its solution, folded."""
    stub, solution = copy.deepcopy(cell), copy.deepcopy(cell)
    stub.source, stub.outputs, stub.execution_count, stub.id = clear(cell.source), [], None, f"{cell.id}-stub"
    lines = cell.source.split("\n")
    solution.source = "\n".join(line for line in lines if line.strip() not in (BEGIN, END))
    opening = new_markdown_cell('<details class="solution"><summary>Solution</summary>')
    return [stub, opening, solution, new_markdown_cell("</details>")]


def shown(output, states, pictures):
    """The output as the book shows it; of a text that nobody reads to its end the beginning."""
    if output.output_type == "stream" and len(output.text) > MOST_TEXT:
        text = f"{output.text[:MOST_TEXT]}\n… ({len(output.text):,} characters in all)"
        return new_output("stream", name=output.name, text=text)
    if output.output_type not in ("display_data", "execute_result"):
        return output
    data = output.data
    if widgets.VIEW in data:
        return _html(widgets.static(data[widgets.VIEW]["model_id"], states, pictures))
    if "text/html" in data:
        return _html(opened(pictures.extracted("".join(data["text/html"]))))
    picture = pictures.of_output(data, output.metadata)
    return output if picture is None else _html(opened(picture))


def opened(text):
    """A picture that stands alone as a link to its file: a click shows it in full size, where a page is narrower."""
    alone = PICTURE.fullmatch(text.strip())
    return f'<a class="picture" href="{alone["source"]}">{alone[0]}</a>' if alone else text


def _html(text):
    return new_output("display_data", data={"text/html": text})
