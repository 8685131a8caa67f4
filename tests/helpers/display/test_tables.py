"""Tables and progress."""

import numpy as np
import pytest

from helpers import display
from helpers.display import tables


class TestTable:
    def test_numbers_right_booleans_marked_text_escaped(self):
        page = display.table(
            [{"name": "<b>", "NDS": 0.41234, "kept": True}, {"name": "x", "NDS": 2, "kept": False}]
        ).data
        assert "&lt;b&gt;" in page and "<b>" not in page
        assert 'white-space:nowrap;text-align:right;">0.4123</td>' in page
        assert "✓" in page and "✗" in page and "True" not in page
        assert 'text-align:left;">x</td>' in page

    def test_missing_values_shapes_formats_and_numpy_scalars(self):
        rows = [{"a": (1, 6, 3), "n": np.float32(0.5)}, {"b": np.bool_(True), "n": np.int64(33521157)}]
        page = display.table(rows, caption="A & B", formats={"a": str}).data
        assert "A &amp; B" in page and "–" in page and "33,521,157" in page and "(1, 6, 3)" in page and "✓" in page
        assert "1×6×3" in display.table(rows).data
        assert "0.500" in display.table(rows, formats={"n": ".3f"}).data

    def test_a_long_text_keeps_room_for_words_on_a_narrow_screen(self):
        page = display.table(
            [{"a": 1, "short": "x" * 40, "why": "y" * 20}, {"a": 2, "short": "", "why": "y" * 41}]
        ).data
        heads = page.partition("</thead>")[0].split("<th")[2:]
        assert ["min-width:10em" in head for head in heads] == [False, False, True]

    def test_a_short_word_does_not_break_at_its_hyphen(self):
        page = display.table([{"a": "scene-0061"}, {"a": "scene 0061"}, {"a": "a-longer-name"}]).data
        cells = page.partition("<tbody>")[2].split("<td")[1:]
        assert ["nowrap" in cell for cell in cells] == [True, False, False]

    def test_a_dict_is_a_table_of_names_and_an_empty_one_says_so(self):
        assert "mAP" in display.table({"mAP": 0.3}).data
        assert "nothing to list" in display.table([]).data

    @pytest.mark.parametrize(
        ("value", "text"),
        [(0, "0"), (0.0, "0"), (1234.5, "1,234"), (0.35123, "0.3512"), (1.23e-5, "1.2e-05"), (float("nan"), "nan")],
    )
    def test_number(self, value, text):
        assert tables.number(value) == text


class TestProgress:
    def test_passes_everything_through_and_stays_quiet_in_a_log(self, capsys):
        assert list(display.progress(range(5), "counting")) == [0, 1, 2, 3, 4]
        assert capsys.readouterr() == ("", "")

    def test_the_bar_counts_and_foretells(self):
        assert "30/40 · 3 s, 1 s to go" in tables._bar("x", 30, 40, 3.0).data
        assert "7 · 1.0 s" in tables._bar("x", 7, None, 1.0).data
        assert "30/40 · 3.0 s<" in tables._bar("x", 30, 40, 3.0, ended=True).data
