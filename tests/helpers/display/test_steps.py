"""Cards and the slider: everything shown is escaped, one page is visible, every picture has its text."""

import re

import pytest
from IPython.display import Image

from helpers import display

PIXEL = b"\x89PNG\r\n\x1a\n"


def page(sentence, alt="a dot"):
    return sentence, Image(data=PIXEL, format="png", alt=alt)


def test_cards_stand_in_order_with_arrows_between():
    found = display.cards({"ONNX": "one <graph>", "Engine": ("built", "run")}).data
    assert found.index("ONNX") < found.index("➜") < found.index("Engine")
    assert found.count("➜") == 1
    assert "one &lt;graph&gt;" in found
    assert "built<br>run" in found


def test_slider_shows_the_page_it_starts_with():
    found = display.slider("threshold", {0.1: page("many"), 0.3: page("<few>"), 0.5: page("none")}, start=0.3).data
    assert re.findall(r'data-page="([\d.]+)" style="([^"]*)"', found) == [
        ("0.1", "display:none"),
        ("0.3", ""),
        ("0.5", "display:none"),
    ]
    assert 'min="0" max="2" value="1"' in found
    assert found.count('alt="a dot"') == 3
    assert "&lt;few&gt;" in found


def test_two_sliders_have_labels_of_their_own():
    one, two = (display.slider("x", {1: page("a")}).data for _ in range(2))
    ids = [re.search(r'id="([^"]+)"', text)[1] for text in (one, two)]
    assert ids[0] != ids[1]
    assert f'for="{ids[1]}"' in two


def test_a_start_that_is_no_page_is_refused():
    with pytest.raises(ValueError, match=r"0.4 is none of the slider's values: \[0.1\]"):
        display.slider("threshold", {0.1: page("many")}, start=0.4)
    with pytest.raises(ValueError, match="none of"):
        display.slider("threshold", {}, start=0.4)


def test_a_page_may_hold_html():
    asked = display.conversation(page("", "a road")[1], [("Where <to>?", "Ahead.")])
    found = display.slider("frame", {1: ("a", asked), 2: page("b")}).data
    assert found.count("Where &lt;to&gt;?") == 1 and asked.data in found and found.count("<img") == 2


def test_a_conversation_stands_beside_its_picture():
    found = display.conversation(
        page("", "a road")[1], [("Where?", "Ahead."), ("Why?", "It is green.")], wide=True
    ).data
    places = [found.index(text) for text in ('alt="a road"', "Where?", "Ahead.", "Why?", "It is green.")]
    assert places == sorted(places) and "flex:2 1" in found and found.count(">question<") == 2


def test_pages_may_hold_several_pictures_and_be_turned_by_dragging():
    pages = {n: ("both", [page("", "left")[1], page("", "right")[1]]) for n in (0, 1)}
    still, turning = (display.slider("turn", pages, turns=turns).data for turns in (False, True))
    assert re.findall(r'alt="(\w+)"', still) == 2 * ["left", "right"]
    assert "flex-wrap:wrap" in still and "onpointermove" not in still
    assert turning.count("onpointermove") == 1 and "touch-action:pan-y" in turning
    assert turning.index("onpointermove") < turning.index("data-page=")


def test_a_slider_that_plays_has_a_button_and_others_have_none():
    pages = {1: page("a"), 2: page("b")}
    assert display.slider("frame", pages).data.count("<button") == 0
    found = display.slider("frame", pages, plays=True).data
    assert re.findall(r'<button type="button" onclick="[^"]+">▶ play</button>', found)
    assert "setInterval" in found and "isConnected" in found, "a film ends with its page"
