"""A network to a file by the command, and fields of its configuration by their names."""

import pytest

from helpers import __main__ as cli
from helpers import graph, models
from helpers.cli.export import changed
from helpers.errors import BadInput
from helpers.systems.uniad.config import CONFIGS
from tests.helpers.systems.toy.config import CONFIGS as TOYS


@pytest.fixture(autouse=True)
def table(monkeypatch):
    monkeypatch.setitem(models.SYSTEMS, "toy", "tests.helpers.systems.toy:Toy")


def called(*words):
    return cli.main(["export", *map(str, words)])


def test_fields_are_read_as_what_they_are():
    config = changed(CONFIGS["mini"], [("temporal_shift", "both"), ("carried", "7"), ("sliced", "false")])
    assert (config.temporal_shift, config.carried, config.sliced, config.name) == ("both", 7, False, "mini")
    assert changed(CONFIGS["mini"], [("alive_score", "0.2")]).alive_score == 0.2
    assert changed(CONFIGS["mini"], []) == CONFIGS["mini"]


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("shift", "both", "one of image_scale"),
        ("name", "other", "no such single value"),
        ("pc_range", "1", "no such single value"),
        ("temporal_shift", "none", "both or history"),
        ("carried", "many", "a whole number"),
        ("alive_score", "high", "a number"),
        ("sliced", "yes", "true or false"),
    ],
)
def test_what_is_no_such_field_or_value_is_named(field, text, said):
    with pytest.raises(BadInput, match=said):
        changed(CONFIGS["mini"], [(field, text)])


def test_the_command_writes_a_graph(tmp_path, capsys):
    out = tmp_path / "toy.onnx"
    assert called("toy", "--config=small", f"--out={out}", "--set=channels=8") == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out) and "seed 0" in said.err
    shapes = {value.name: graph.tensor_types(graph.load(out))[value.name][1] for value in graph.load(out).graph.input}
    assert shapes["prev_map"] == [1, 8, *TOYS["small"].grid[1:]]


def test_what_the_command_refuses(tmp_path, capsys):
    out = f"--out={tmp_path / 'toy.onnx'}"
    for words, said in (
        ((out, "--rows"), "rows that may be empty"),
        ((out, "--opset=9"), "opset"),
        ((out, "--weights=absent.pth"), "absent.pth"),
        (("--out=/",), "error"),
    ):
        assert called("toy", "--config=small", *words) == 2 and said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        called("toy", out, "--set=channels")
    assert "is not FIELD=VALUE" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
