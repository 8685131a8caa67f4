"""Checks that the first use of each term in reading order is linked to its entry in the glossary.

A term counts in the prose of markdown cells: not in headings, code, the header or answers (learners do not have them),
nor in the text of another link. A word with capitals must be written as its entry or its line `*also: ...*` writes it;
others may begin with a capital. Plurals count, and a hyphen counts as a space.
"""

import argparse
import re
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ci.lessons import order
from ci.lessons.markdown import ADDRESS, blank, links_of, prose, slug
from helpers.files import ROOT

NAME = "glossary.md"
DOCS = ("README.md", "docs/*.md")


@dataclass
class Entry:
    term: str
    forms: list = field(default_factory=list)  # the term and its aliases
    text: str = ""

    @property
    def slug(self):
        return slug(self.term)


def read(path):
    """The entries of a glossary, in order."""
    entries = []
    for part in re.split(r"^(?=## )", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, rest = part.partition("\n")
        term = heading.removeprefix("## ").strip()
        also = re.match(r"\s*\*also: (.+?)\*\s*$", rest, re.MULTILINE)
        aliases = [alias.strip() for alias in also[1].split(",")] if also else []
        entries.append(Entry(term, [term, *aliases], (rest[also.end() :] if also else rest).strip()))
    return entries


def pattern_of(form):
    """A regular expression for one form: its plural, a hyphen or a space, a capital at the beginning of a sentence."""
    words = [re.escape(word).replace("'", "['’]") for word in re.split(r"[ -]", form)]
    last = form[-1]
    if last == "y" and form[-2:-1] not in "aeiou":
        words[-1] = words[-1][:-1] + "(?:y|ies)"
    elif last.isalpha():
        words[-1] += "(?:es)?" if re.search(r"(?:[sxz]|ch|sh)$", form) else "s?"
    if form == form.lower() and form[0].isalpha():
        words[0] = f"[{form[0]}{form[0].upper()}]{words[0][1:]}"
    return r"[\s-]+".join(words)


def finder(entries):
    """A function from prose to (entry, match) for each use of a term; of terms within terms the longest counts."""
    forms = sorted(((form, entry) for entry in entries for form in entry.forms), key=lambda pair: -len(pair[0]))
    everything = "|".join(f"({pattern_of(form)})" for form, _ in forms)
    expression = re.compile(rf"(?<![\w-])(?:{everything})(?![\w])")
    return lambda text: ((forms[found.lastindex - 1][1], found) for found in expression.finditer(text))


def plain(text):
    """The text without marks of emphasis, which may stand within a term: the *global* frame."""
    return text.replace("*", " ")


def uses(text, find, where, page):
    """(entry, match, linked) for each use of a term in the prose of a cell that lies in the folder `where`."""
    text = plain(prose(text))
    links = links_of(text)
    for link in links:
        text = text[: link.start("target")] + " " * len(link["target"]) + text[link.end("target") :]
    for entry, found in find(blank(text, ADDRESS)):
        link = next((link for link in links if link.start() <= found.start() < link.end()), None)
        if link is None:
            yield entry, found, False
        elif is_entry(link["target"], where, page) == entry.slug:
            yield entry, found, True


def is_entry(target, where, page):
    """The anchor if a link's target is an entry of the glossary, else None."""
    path, _, anchor = target.partition("#")
    return anchor if path and anchor and (where / path).resolve() == page.resolve() else None


def cells(lesson):
    """(number, text) of the cells of prose: markdown, without the header and the answers."""
    for number, cell in enumerate(lesson.notebook.cells, 1):
        if number > 1 and cell.cell_type == "markdown" and "answer" not in cell.metadata.get("tags", []):
            yield number, cell.source


def first_uses(lessons, entries, page):
    """dict of term to (lesson's name, cell, the words found, linked) of its first use in reading order."""
    find, first = finder(entries), {}
    for lesson in lessons:
        for number, text in cells(lesson):
            for entry, found, linked in uses(text, find, lesson.path.parent, page):
                first.setdefault(entry.term, (lesson.name, number, " ".join(found[0].split()), linked))
    return first


def own_breaches(entries):
    """What is wrong with the glossary itself."""

    def key(entry):
        parts = re.split(r"(\d+)", entry.term.lower().replace("-", " ").replace("_", " "))
        return [int(part) if part.isdigit() else re.sub(r"[^a-z ]", "", part) for part in parts]

    for one, other in pairwise(entries):
        if key(one) > key(other):
            yield f'"{other.term}" stands after "{one.term}" (entries are in alphabetical order)'
    taken = {}
    for entry in entries:
        if not entry.text:
            yield f'"{entry.term}" has no text'
        for form in entry.forms:
            if taken.setdefault(form, entry.term) != entry.term:
                yield f'"{form}" belongs to "{taken[form]}" and to "{entry.term}"'


def breaches(folder=order.FOLDER, root=ROOT):
    """(file, sentence) for each breach."""
    page, lessons = folder / NAME, order.lessons(folder)
    entries = read(page)
    slugs, first = {entry.slug for entry in entries}, first_uses(lessons, entries, page)
    yield from ((NAME, sentence) for sentence in own_breaches(entries))
    at = {lesson.name: number for number, lesson in enumerate(lessons)}
    by_term = {entry.term: entry for entry in entries}
    for term, (name, number, words, linked) in sorted(first.items(), key=lambda item: (at[item[1][0]], item[1][1])):
        if not linked:
            entry = f"{NAME}#{by_term[term].slug}"
            yield name, f'cell {number}: "{words}" is used for the first time without a link to its entry ({entry})'
    everything, linked_to = [], set()
    for lesson in lessons:
        for number, cell in enumerate(lesson.notebook.cells, 1):
            if cell.cell_type == "markdown":
                everything.append(cell.source)
                for link in links_of(cell.source):
                    anchor = is_entry(link["target"], lesson.path.parent, page)
                    linked_to.add(anchor)
                    if anchor and anchor not in slugs:
                        yield lesson.name, f"cell {number}: the link to {NAME}#{anchor} leads to no entry"
    everything += [path.read_text(encoding="utf-8") for pattern in DOCS for path in sorted(root.glob(pattern))]
    used = {entry.term for entry, _ in finder(entries)(plain("\n\n".join(everything)))}
    for entry in entries:
        if entry.term not in used and entry.slug not in linked_to:
            yield NAME, f'"{entry.term}" is used by no lesson and no page of docs'


def main(argv=None):
    parser = argparse.ArgumentParser("python -m ci.lessons.glossary", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="tell the breaches of these lessons only")
    wanted = {path.resolve() for path in parser.parse_args(argv).paths}
    lessons = {path.resolve() for path in order.FOLDER.rglob("*.ipynb")}
    if unknown := sorted(map(str, wanted - lessons)):
        parser.error(f"{unknown[0]}: no lesson; give files of {order.FOLDER}")
    found = [(name, text) for name, text in breaches() if not wanted or (order.FOLDER / name).resolve() in wanted]
    for name, text in found:
        print(f"{name}: {text}")
    print(f"glossary: {len(read(order.FOLDER / NAME))} entries, {len(found)} breaches")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
