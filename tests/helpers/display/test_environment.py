"""Pictures of an environment: each says in words what it shows, and what comes from outside is escaped."""

import re

from helpers import display

ROW = {"topic": "loader", "message": "<lib> not found", "cause": "a & b", "cure": "look"}
ROW |= {"source": "https://github.com/owner/name/issues/12"}


def test_stack_names_each_floor_from_the_top():
    found = display.stack({"packages": "one drifted", "driver": "too old"})
    assert found.data.startswith(b"\x89PNG")
    assert found.alt.index("packages: one drifted") < found.alt.index("driver: too old")


def test_statuses_say_what_is_not_ok():
    found = display.statuses({"healthy": {"lock": "OK"}, "broken": {"lock": "WARN", "tools": "FAIL"}})
    assert found.data.startswith(b"\x89PNG")
    assert "healthy: all OK; broken: WARN in lock, FAIL in tools" in found.alt


def test_diff_marks_lines_and_not_the_names_of_the_files():
    found = display.diff("--- a/x.h\n+++ b/x.h\n-int32_t <n>;\n+int64_t <n>;\n same").data
    assert re.findall(r'role="(\w+)"[^>]*>([^<]*)<', found) == [
        ("deletion", "-int32_t &lt;n&gt;;"),
        ("insertion", "+int64_t &lt;n&gt;;"),
    ]


def test_messages_are_folded_by_topic_and_can_be_filtered():
    found = display.messages([ROW, ROW | {"topic": "memory", "source": "https://docs.example.org/a/"}]).data
    assert re.findall(r"<b>(\w+)</b> \((\d)\)", found) == [("loader", "1"), ("memory", "1")]
    assert found.count("<tr data-row>") == 2
    assert "&lt;lib&gt; not found" in found and "a &amp; b" in found
    assert ">owner/name #12</a>" in found and ">docs.example.org/a</a>" in found
    assert 'oninput="const words' in found
