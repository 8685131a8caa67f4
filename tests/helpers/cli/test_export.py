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


@pytest.mark.parametrize(
    ("words", "ends"),
    [
        (["--pictures", "--boxes"], {"pictures": (900, 1600), "boxes": True, "rows": False}),
        (["--pictures=450x800"], {"pictures": (450, 800), "boxes": False, "rows": False}),
        (["--boxes"], {"pictures": None, "boxes": True, "rows": False}),
    ],
)
def test_ends_are_put_on_in_one_go(tmp_path, monkeypatch, words, ends):
    from helpers import export
    from helpers.graph import ends as room

    made, out = {}, tmp_path / "b.onnx"
    monkeypatch.setattr(export, "cached", lambda model, path, *rest: path.write_bytes(b"whole"))
    noted = lambda source, target, config, pictures, boxes, rows: made.update(  # noqa: E731
        whole=source.read_bytes(), target=target, pictures=pictures, boxes=boxes, rows=rows
    )
    monkeypatch.setattr(room, "add_ends", noted)
    assert called("bevformer", "--config=mini", f"--out={out}", *words) == 0
    assert made == {"whole": b"whole", "target": out} | ends and room.SOURCE == (900, 1600)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["toy", "--pictures"], "network takes what a Preparation makes"), (["toy", "--boxes"], "outputs are boxes"),
        (["bevformer", "--pictures=900"], "HEIGHTxWIDTH"), (["bevformer", "--pictures=0x5"], "HEIGHTxWIDTH"),
        (["bevformer", "--rows"], "rows that may be empty"), (["bevformer", "--pictures=4000x4000"], "fits"),
    ],
)  # fmt: skip
def test_ends_that_a_system_has_not_are_refused_before_the_export(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.setattr(models, "create", None)
    try:
        code = called(*words, f"--out={tmp_path / 'x.onnx'}")
    except SystemExit as ended:
        code = ended.code
    assert code and said in capsys.readouterr().err and not list(tmp_path.iterdir())
