"""Markdown as the rules read it: prose without code, links, headings and their anchors."""

import re

FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)
TAG = re.compile(r"<!--.*?-->|<[^>]+>", re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.*?) *#* *$", re.MULTILINE)
ADDRESS = re.compile(r"https?://[^\s)>]+")
LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|!?\[[^\[\]]*\](?:\([^()]*\))?)*)\]\(\s*<?(?P<target>[^()\s<>]*(?:\([^()]*\)[^()\s<>]*)*)>?"
    r"(?:\s+\"[^\"]*\")?\s*\)"
)


def blank(text, *patterns):
    """The text with what the patterns match replaced by spaces, so that every other character keeps its place."""
    for pattern in patterns:
        text = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    return text


def prose(text):
    """What a reader reads as sentences: no code, formulas, tags, headings. Links stay."""
    return blank(text, FENCE, SPAN, FORMULA, HEADING, TAG)


def words_of(text):
    """How many words of prose there are: code blocks, formulas, tags and link targets do not count."""
    for pattern in (r"```.*?```", r"\$\$.*?\$\$", r"<[^>]+>", r"\]\([^)]*\)"):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    return len(re.findall(r"[A-Za-z0-9][\w'’.-]*", text))


def links_of(text):
    """The links and pictures outside code, as matches of LINK; their spans hold for `text` too."""
    return list(LINK.finditer(blank(text, FENCE, SPAN)))


def headings_of(text):
    """The headings outside code, as written."""
    without = blank(text, FENCE)
    return [text[found.start(1) : found.end(1)] for found in HEADING.finditer(without)]


def slug(heading):
    """The anchor of a heading, as GitHub and MyST make it."""
    plain = LINK.sub(lambda found: found["text"], heading).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def anchors_of(texts):
    """All anchors of a page, given its Markdown in parts; a heading that comes again gets -1, -2, ..."""
    anchors, count = set(), {}
    for text in texts:
        for heading in headings_of(text):
            name = slug(heading)
            number = count[name] = count.get(name, -1) + 1
            anchors.add(f"{name}-{number}" if number else name)
        anchors.update(re.findall(r"<[^>]+ (?:id|name)=[\"']([^\"']+)", blank(text, FENCE, SPAN)))
        anchors.update(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))
    return anchors
