"""Every function of helpers.display with names that are markup, orders to a terminal, or half a formula."""

import re
import types
from html.parser import HTMLParser

import numpy as np
import pytest

from helpers import display
from helpers.boxes import Boxes
from helpers.display.pictures import escaped, tag
from tests.helpers.display.test_scenes import frame  # noqa: F401

EVIL = """"'><script>alert(1)</script><img src=x onerror='alert(1)'>&\x1b[31m\u202e\x00 $\\frac$"""
ROWS = [{"name": EVIL, EVIL: 1.0, "a": 2}]
MESSAGE = dict.fromkeys(("topic", "message", "cause", "cure", "source"), EVIL)
TEXTS = {
    "conversation": lambda: display.conversation(display.bars(ROWS, "name", EVIL), [(EVIL, EVIL)]),
    "cards": lambda: display.cards({EVIL: [EVIL, EVIL]}),
    "diff": lambda: display.diff(f"+{EVIL}\n-{EVIL}\n--- {EVIL}"),
    "messages": lambda: display.messages([MESSAGE]),
    "network_diagram": lambda: display.network_diagram([(EVIL, EVIL, EVIL)], (EVIL, EVIL, EVIL)),
    "progress": lambda: display.tables._bar(EVIL, 1, 2, 0.5),
    "slider": lambda: display.slider(EVIL, {EVIL: (EVIL, display.bars(ROWS, "name", EVIL))}),
    "table": lambda: display.table([{EVIL: EVIL}, {EVIL: 1}], EVIL, {EVIL: lambda value: f"{value}"}),
    "voxels": lambda: display.voxels({EVIL: np.zeros((2, 2, 2), int)}, (EVIL, "free"), 1, 2),
}
PICTURES = {
    "bars": lambda: display.bars(ROWS, "name", [EVIL, "a"], EVIL, EVIL),
    "frontier": lambda: display.frontier(ROWS, "a", EVIL, floor=0.5, title=EVIL),
    "histogram": lambda: display.histogram({EVIL: [1, 2]}, EVIL, EVIL, marks={EVIL: 1.5}),
    "lines": lambda: display.lines({EVIL: [1, 2, 3]}, EVIL, EVIL, EVIL, log=True),
    "matrices": lambda: display.matrices({EVIL: np.eye(2)}, EVIL, EVIL, EVIL),
    "module_tree": lambda: display.module_tree([{"module": EVIL, "depth": 0, "tensors": 1, "bytes": 4}], EVIL),
    "op_chart": lambda: display.op_chart([{"op": EVIL, "count": 1, "domain": EVIL}], title=EVIL),
    "outliers": lambda: display.outliers(([1.0, 9.0], [1.0, 1.0]), ([2.0, 2.0], [2.0, 3.0]), EVIL),
    "parts": lambda: display.parts({EVIL: [EVIL]}, {EVIL: EVIL}, {EVIL: EVIL}, EVIL),
    "requests": lambda: display.requests([display.Request(0, 1, 200)], EVIL),
    "roofline": lambda: display.roofline({EVIL: 1e12}, 1e9, {EVIL: (1.0, 1e9)}, EVIL),
    "schedule": lambda: display.schedule({EVIL: [{EVIL: (0, 1)}, {EVIL: (1, 2)}]}, EVIL),
    "shares": lambda: display.shares(ROWS, "name", [EVIL, "a"], EVIL, EVIL),
    "side_by_side": lambda: display.side_by_side([np.zeros((4, 4))], [EVIL]),
    "stack": lambda: display.stack({EVIL: EVIL}),
    "statuses": lambda: display.statuses({EVIL: {EVIL: "FAIL"}}),
    "tokens": lambda: display.tokens({EVIL: (1.0, [2.0])}, EVIL),
    "timeline": lambda: display.timeline([(EVIL, 0, 1, EVIL)], {EVIL: (0, 1)}, EVIL),
}
OWN = (
    "Request",
    "bev",
    "bev_row",
    "cameras",
    "driving",
    "figure",
    "graph_picture",
    "netron",
    "reading",
)  # below; a reading is a lesson's prose
pytestmark = [pytest.mark.filterwarnings(f"ignore:{words}") for words in ("Glyph", "constrained_layout")]


class Seen(HTMLParser):
    """The tags of a page, the names of their attributes, and all that a reader sees or hears."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.text += "".join(value or "" for name, value in attrs if name in ("alt", "aria-label", "data-page"))

    def handle_data(self, data):
        self.text += data


def harmless(page):
    """Whether `page` shows EVIL as it is spelled, and obeys nothing of it."""
    seen = Seen(page)
    orders = re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)
    told = "alert(1)</script>" in seen.text and r"\x1b[31m\u202e\x00" in seen.text
    return told and not orders and "script" not in seen.tags and "onerror" not in seen.attributes


def test_every_function_is_tried():
    assert sorted([*TEXTS, *PICTURES, *OWN]) == sorted(display.__all__)


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_shown_as_text(name):
    assert harmless(TEXTS[name]().data)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_drawn_and_its_words_are_text(name):
    picture = PICTURES[name]()
    assert picture.data[1:4] == b"PNG" and harmless(tag(picture)) and "\x1b" not in repr(picture)


def test_a_graph_and_its_viewer(model, tmp_path):
    model.graph.name = EVIL
    model.graph.node[0].name, model.graph.node[2].op_type = EVIL, EVIL
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = EVIL
    assert harmless(tag(display.graph_picture(model)))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert harmless(tag(display.netron(tmp_path / "m.onnx")))


def driven(boxes):
    """What `display.driving` draws, with these boxes and nothing else."""
    cells = np.zeros((4, 4), bool)
    return types.SimpleNamespace(boxes=boxes, ids=np.array([1]), paths=np.zeros((1, 6, 12, 2)),
                                 chances=np.eye(6)[:1], plan=np.ones((6, 2)),
                                 lanes=np.stack([cells] * 3), drivable=cells, owner=np.stack([cells] * 5),
                                 low=(-9.0, -9.0), high=(9.0, 9.0), reach=9.0)  # fmt: skip


def test_scenes_and_figures(frame):  # noqa: F811
    frame.scene, frame.future_path, frame.ego2global = EVIL, np.zeros((0, 2)), np.eye(4)
    found = Boxes([(0, 20, 0)], [(2, 4, 1.6)], [0.0], np.zeros((1, 2)), [0], [1.0], "lidar", (EVIL,))
    for picture in (
        display.cameras(frame, found),
        display.cameras(frame, lines={EVIL: [[(5, 0, 0), (9, 0, 0)]]}),
        display.bev(frame, found, path={EVIL: [[(0, 0), (9, 0)]]}),
        display.bev_row(frame, {EVIL: found}, found),
        display.driving(frame, driven(found)),
    ):
        assert harmless(tag(picture))
    from matplotlib import pyplot

    assert harmless(tag(display.figure(pyplot.figure(), EVIL)))


def test_text_of_a_page_is_what_was_given():
    assert escaped("a < b & 'c' — ✓") == "a &lt; b &amp; &#x27;c&#x27; — ✓" and escaped(3) == "3"
