"""The tree of modules: counts by module, as rows, as text and as a picture."""

import pytest

from helpers import display
from helpers.errors import BadInput
from helpers.models import tree
from helpers.models.layered import Entry


def entry(*shape, dtype="float16"):
    return Entry("", shape, dtype, "")


ENTRIES = {"net.a.0.weight": entry(2, 3), "head.weight": entry(5, dtype="float32"), "net.b.bias": entry(4),
           "net.a.1.weight": entry(1), "alone": entry()}  # fmt: skip
TEXT = """\
(all)                                         5             17              44
├─ net                                        3             11              22
│  ├─ a                                       2              7              14
│  └─ b                                       1              4               8
└─ head                                       1              5              20"""


def test_modules_are_counted_and_stand_before_what_is_in_them():
    rows = tree.modules(ENTRIES, 2)
    assert [row["module"] for row in rows] == ["(all)", "net", "net.a", "net.b", "head"]
    assert rows[1] == {"module": "net", "depth": 1, "tensors": 3, "numbers": 11, "bytes": 22}
    assert tree.text(rows).partition("\n")[2] == TEXT


def test_depth_bounds_the_rows():
    assert [len(tree.modules(ENTRIES, depth)) for depth in (0, 1, 2, 3, 50)] == [1, 3, 5, 7, 7]
    with pytest.raises(BadInput, match="depth"):
        tree.modules(ENTRIES, -1)


def test_the_picture_tells_the_counts():
    alt = display.module_tree(tree.modules(ENTRIES, 1), "Weights").alt
    assert alt == ("Weights. Tree of modules to depth 1: (all): 5 tensors, 44 B; net: 3 tensors, 22 B; "
                   "head: 1 tensor, 20 B")  # fmt: skip
