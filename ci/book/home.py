"""The home page: what the course is, for whom, how long it takes, the lessons as cards, and the table of contents."""

import re
from pathlib import Path, PurePosixPath

from ci.book.notebooks import header_of
from helpers.display.pictures import escaped
from helpers.files import ROOT

TEXT = Path(__file__).with_name("home.md")
ROAD = "docs/pictures/road.svg"
ROAD_TEXT = (
    "The road from a PyTorch checkpoint over ONNX, Q/DQ, a plugin and an engine to a figure; below it what one frame "
    "of BEVFormer-tiny takes in PyTorch and in TensorRT"
)
DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{\n(.*?)\n\}\n", re.DOTALL)
MINUTES = re.compile(r"(\d+) minutes?")


def road(folder, drawn=ROOT / ROAD):
    """Write the drawing of the road twice, for light and dark pages, and give the HTML that shows the right one."""
    folder.mkdir(parents=True, exist_ok=True)
    text = drawn.read_text(encoding="utf-8")
    made = {"light": DARK.sub("", text), "dark": DARK.sub(lambda found: found[1] + "\n", text)}
    elements = []
    for theme, content in made.items():
        (folder / f"road-{theme}.svg").write_text(content, encoding="utf-8")
        source = f"{folder.name}/road-{theme}.svg"
        size = 'width="960" height="420"'
        elements.append(f'<img class="only-{theme}" alt="{ROAD_TEXT}" src="{source}" {size}>')
    return f'<div class="wide" tabindex="0">{"".join(elements)}</div>'


def plain(markdown):
    """Markdown of one paragraph as text."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return " ".join(re.sub(r"[`*]|\$", "", text).split())


def claim_of(source):
    """What the first cell of a lesson claims, as text; empty if it claims nothing."""
    found = re.search(r"\*\*The claim: (.*?)\*\*", source, re.DOTALL)
    text = plain(found[1]) if found else ""
    return text[:1].upper() + text[1:]


def number_of(lesson):
    """The number of a lesson as its file has it, such as "04"; empty for a system's."""
    found = re.match(r"\d+", PurePosixPath(lesson.name).name)
    return found[0] if found else ""


def card(lesson):
    """A lesson as a card: number, title, claim, minutes."""
    source = lesson.notebook.cells[0].source
    header = header_of(source)
    named = (
        (plain(header[name]), doing) for name, doing in (("To read", "to read"), ("To run", "to run")) if name in header
    )
    times = [f"{text.split(';')[0].removesuffix(' on two CPU cores')} {doing}" for text, doing in named]
    number = number_of(lesson)
    place = f"notebooks/{PurePosixPath(lesson.name).with_suffix('.html')}"
    parts = {
        "number": f"Lesson {number}" if number else "System",
        "title": lesson.title,
        "claim": claim_of(source),
        "minutes": ", ".join(times),
    }
    inside = "".join(f'<span class="{name}">{escaped(text)}</span>' for name, text in parts.items() if text)
    return f'<a class="lesson-card" href="{escaped(place)}">{inside}</a>'


def time_of(lessons):
    """A sentence with the minutes of all lessons together."""
    reading = [MINUTES.search(header_of(lesson.notebook.cells[0].source).get("To read", "")) for lesson in lessons]
    minutes = sum(int(found[1]) for found in reading if found)
    if not all(reading) or not minutes:
        return f"There are {len(lessons)} lessons; each says at its head how long it takes."
    hours = round(minutes / 60 * 2) / 2
    text = f"{hours:g} hours" if hours > 1 else f"{minutes} minutes"
    return (
        f"The {len(lessons)} lessons take about {text} to read, and each runs in a few minutes. With its "
        "exercises, plan one to one and a half hours for a lesson, and 40 minutes more for its project."
    )


def contents(captions, titles):
    """Toctrees that only the sidebar shows: {caption: [page, ...]}, with `titles` in place of the pages' own."""
    trees = []
    for caption, pages in captions.items():
        named = {page: re.sub(r"\.(md|ipynb)$", "", page) for page in pages}
        entries = "\n".join(f"{titles[page]} <{at}>" if page in titles else at for page, at in named.items())
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n")
    return "\n".join(trees)


def page(lessons, captions, folder):
    cards = '<div class="lesson-cards">' + "".join(map(card, lessons)) + "</div>"
    numbered = {f"notebooks/{lesson.name}": f"{number_of(lesson)} {lesson.title}".strip() for lesson in lessons}
    fields = {"road": road(folder), "time": time_of(lessons), "cards": cards}
    return TEXT.read_text(encoding="utf-8").format(**fields) + "\n" + contents(captions, numbered)
