"""Makes helpers/llm/edge/llama_mini.json: what TensorRT-Edge-LLM exports of the mini Llama, with no GPU.

python -m tests.helpers.llm.edge.record --program=.venv-edgellm/bin/tensorrt-edgellm-export
"""

import argparse
import datetime
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from onnx import numpy_helper, printer

from helpers import graph
from helpers.files import atomic
from helpers.graph.walk import copy
from helpers.llm import folder
from helpers.llm.edge import reader

MODEL = "checkpoints/llama_mini"
TEMPLATE = "{% for message in messages %}{{ message.content }} {% endfor %}"


def exported(program: Path, work: Path) -> Path:
    """The folder llm/ of the export; the mini has no chat template, which the export asks for last, so it gets one."""
    source = Path(shutil.copytree(MODEL, work / "llama_mini"))
    (source / "chat_template.jinja").write_text(TEMPLATE)
    subprocess.run([program, "llama_mini", "onnx"], cwd=work, check=True, stderr=subprocess.DEVNULL)
    return work / "onnx/llm"


def described(path: Path) -> dict:
    """The record of that folder."""
    model, found = graph.parse(path / reader.GRAPH), reader.describe(path)
    sources = reader.compare(model, folder.load(MODEL).state_dict())
    config = json.loads((path / "config.json").read_text())
    bare = copy(model)
    for value in (*bare.graph.input, *bare.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = dim.dim_param.replace(" + 1", "_plus_1")  # a name, so that the text can be read
    constants = [tensor for tensor in bare.graph.initializer if sources[tensor.name] == "a constant"]
    kept = [numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name) for tensor in constants]
    del bare.graph.initializer[:], bare.graph.value_info[:], bare.metadata_props[:]
    bare.graph.initializer.extend(kept)
    for node in bare.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    return {
        "command": "tensorrt-edgellm-export checkpoints/llama_mini onnx, with a chat_template.jinja in the folder",
        "versions": {"tensorrt-edgellm": config["edgellm_version"], model.producer_name: model.producer_version},
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "device": "a CPU, no GPU",
        "files": found.files,
        "config": config,
        "weights": {name: source for name, source in sources.items() if source != "a constant"},
        "graph": readable(printer.to_text(bare)).splitlines(),
    }


def readable(text: str) -> str:
    """The text with a point in each whole number among floats, which ONNX prints without and does not read so."""
    number = re.compile(r"(?<![\w.-])-?\d+(?![\w.])")
    return re.sub(r"(?<=float = )[^,>]+|(?<=floats = )\[.*?\]", lambda found: number.sub(r"\g<0>.0", found[0]), text)


def main() -> None:
    """Export, describe, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--program", type=Path, required=True)
    with tempfile.TemporaryDirectory() as work:
        record = described(exported(parser.parse_args().program.resolve(), Path(work)))
    with atomic(reader.RECORD) as part:
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
