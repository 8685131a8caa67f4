"""The doors of JSON files: result records, and the metadata beside an engine."""

import json
import shutil
from pathlib import Path
from random import Random

from onnx import parser

from ci.fuzz import mutate
from ci.fuzz.door import Door, Silent, command
from helpers import graph, records

FILE, ENGINE = "record.json", "model.onnx"
RECORD = {
    "name": "one", "kind": "measured", "device": "CPU, 2 cores", "versions": {"python": "3.11.7"}, "command": "run",
    "commit": "0123456789ab", "date": "2026-01-31T12:00:00+00:00", "metrics": {"NDS": 0.25, "n": 3, "note": "x"},
    "artifacts": {"model.onnx": "0123456789abcdef" * 4},
}  # fmt: skip
SOURCE = '<ir_version: 9, opset_import: ["": 18]> small (float[2] x) => (float[2] y) { y = Relu (x) }'


def _written(value, random):
    """The JSON of `value` with something wrong in it, as bytes."""
    whole = random.random() < 0.2
    text = json.dumps(value if whole else mutate.tree(value, random), ensure_ascii=random.random() < 0.5)
    data = text.encode("utf-8", "surrogatepass")
    if whole or random.random() < 0.1:
        data = mutate.octets(data, random)
    kinds = (b"\xef\xbb\xbf" + data, text.encode("utf-16", "surrogatepass"), b"[" * 100_000, b"", data * 2)
    return random.choice(kinds) if random.random() < 0.05 else data


def _prepare_record(common):
    (common / FILE).write_text(json.dumps(RECORD))
    _enter_record(common)


def _make_record(random: Random, common: Path, folder: Path) -> None:
    (folder / FILE).write_bytes(_written(RECORD, random))


def _enter_record(folder):
    """Read it, list it, print it whole; Silent if it does not come back as it was."""
    record = records.read(folder / FILE)
    command("records", "--folder", str(folder))
    command("records", "--folder", str(folder), record.name)
    said = json.loads(command("records", "--folder", str(folder), "--json"), parse_constant=_refused)
    held = json.loads((folder / FILE).read_text(), parse_constant=_refused)
    if said != [{"artifacts": {}, **held}]:
        raise Silent(f"{said} is not what the file holds")
    records.compare(record, record)


def _refused(name):
    raise Silent(f"{name} among the metrics")


def _prepare_engine(common):
    graph.save(parser.parse_model(SOURCE), common / ENGINE)
    command("engine", "build", f"--onnx={common / ENGINE}", f"--cache={common}", f"--saveEngine={common / 'made.onnx'}")
    (common / "made.onnx").replace(common / ENGINE)
    (common / "made.onnx.json").replace(common / f"{ENGINE}.json")
    meta = json.loads((common / f"{ENGINE}.json").read_text())
    (common / f"{ENGINE}.json").write_text(json.dumps(meta))
    command("engine", "inspect", f"--loadEngine={common / ENGINE}")


def _make_engine(random: Random, common: Path, folder: Path) -> None:
    shutil.copyfile(common / ENGINE, folder / ENGINE)
    meta = json.loads((common / f"{ENGINE}.json").read_text())
    (folder / f"{ENGINE}.json").write_bytes(_written(meta, random))


def _enter_engine(folder):
    path = f"--loadEngine={folder / ENGINE}"
    command("engine", "inspect", path)
    command("engine", "run", path)


DOORS = {
    "records": Door(_prepare_record, _make_record, _enter_record, (FILE,)),
    "metadata": Door(_prepare_engine, _make_engine, _enter_engine, (ENGINE,)),
}
