"""The commands of TensorRT-Edge-LLM from a checkpoint to an answer: composed for a target, explained, and run.

Names and values of the two Python programs are those of the release `VERSION` as it was installed here; those of the
two C++ programs its quick start (docs, user_guide/getting_started/quick-start-guide), which was not tried: they are
compiled on the target, and need its GPU.
"""

import importlib.metadata
import shutil
from typing import NamedTuple

from helpers import processes
from helpers.arguments import between, typed
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, check_distinct, check_target, found_at, read_json

VERSION = "0.11.0"
PACKAGE, QUANTIZE, EXPORT = "tensorrt-edgellm", "tensorrt-edgellm-quantize", "tensorrt-edgellm-export"
PRECISIONS = ("fp16", "int8_sq", "int4_awq", "fp8", "nvfp4")
INTEGERS = PRECISIONS[:3]
SETUP = "docs/edge.md says how, in an environment of its own"
PAGE = 128  # tokens
WHY = {
    "quantize": "ModelOpt calibrates and writes a quantized folder of Hugging Face; --device=cpu where there is no GPU",
    "export": "the graph, its embeddings, its sizes and its texts in onnx/llm; needs no GPU",
    "cmake": "in a clone of TensorRT-Edge-LLM: its programs and plugins, then cmake --build build",
    "build": "the engine, strongly typed, with two profiles: a prompt of up to {tokens} tokens, and one token; "
    f"its cache is a pool of {{pages}} pages of {PAGE} tokens",
    "run": "answers to the requests of a file, without Python",
}


class Target(NamedTuple):
    """name: of the board. precisions: that its documentation lists. cmake: what the C++ programs are compiled with."""

    name: str
    precisions: tuple[str, ...]
    cmake: tuple[str, ...]


class Step(NamedTuple):
    """One command, where it runs ("host" or "target"), and what it is for."""

    where: str
    words: tuple[str, ...]
    why: str


_CMAKE = ("-DTRT_PACKAGE_DIR=/usr", "-DCMAKE_TOOLCHAIN_FILE=cmake/aarch64_linux_toolchain.cmake")
TARGETS = {
    "jetson-thor": Target("Jetson Thor, JetPack 7", PRECISIONS, (*_CMAKE, "-DEMBEDDED_TARGET=jetson-thor")),
    "jetson-orin": Target("Jetson Orin, JetPack 7.2", INTEGERS, (*_CMAKE, "-DEMBEDDED_TARGET=jetson-orin")),
    "drive-thor": Target("DRIVE AGX Thor, DriveOS 7", PRECISIONS, ()),
}


@typed
def compose(target: str, precision: str, model: PathLike, out: PathLike, batch: int = 1, tokens: int = 1024,
            capacity: int = 2048) -> list[Step]:  # fmt: skip
    """The steps from a folder of Hugging Face to an answer on a target.

    Args:
        target: of `TARGETS`. precision: of `PRECISIONS`, those that the target has.
        out: a folder for what each step writes. tokens: of the longest prompt. capacity: tokens of the cache.

    Raises:
        BadInput: an unknown target, a precision that it does not have, sizes that do not fit each other, or one folder
            for two purposes.
    """
    if target not in TARGETS:
        raise BadInput("target", repr(target), f"one of {', '.join(TARGETS)}", "choose one of them")
    board = TARGETS[target]
    if precision not in board.precisions:
        raise BadInput(
            f"precision for {board.name}", repr(precision), f"one of {', '.join(board.precisions)}", "choose one"
        )
    between("batch", batch, 1, 1 << 16)
    between("tokens", tokens, 1, 1 << 24)
    between("capacity", capacity, tokens, 1 << 24)
    check_distinct(out, model)
    out, source, steps = as_path(out), as_path(model), []
    if precision != "fp16":
        source = out / "quantized"
        words = (QUANTIZE, "llm", f"--model_dir={model}", f"--output_dir={source}", f"--quantization={precision}")
        steps.append(Step("host", words, WHY["quantize"]))
    steps.append(Step("host", (EXPORT, str(source), str(out / "onnx")), WHY["export"]))
    if board.cmake:
        steps.append(Step("target", ("cmake", "-S", ".", "-B", "build", *board.cmake), WHY["cmake"]))
    folders = (f"--onnxDir={out / 'onnx/llm'}", f"--engineDir={out / 'engine'}")
    sizes = (f"--maxBatchSize={batch}", f"--maxInputLen={tokens}", f"--maxKVCacheCapacity={capacity}")
    pages = -(-capacity // PAGE) * batch
    steps.append(Step("target", ("llm_build", *folders, *sizes), WHY["build"].format(tokens=tokens, pages=pages)))
    files = (f"--inputFile={out / 'requests.json'}", f"--outputFile={out / 'answers.json'}")
    steps.append(Step("target", ("llm_inference", f"--engineDir={out / 'engine'}", *files), WHY["run"]))
    return steps


@typed
def check_folder(model: PathLike) -> None:
    """BadInput if the export would end only after its work: it asks for a chat template last."""
    path = as_path(model)
    config = read_json(path / "config.json", "config.json of Hugging Face", "name a folder of Hugging Face")
    if not isinstance(config, dict) or "model_type" not in config:
        raise BadInput(path / "config.json", "no model_type", "that of a plain Llama", "name a folder of Hugging Face")
    files = ("chat_template.json", "processor_config.json", "tokenizer_config.json")
    tables = [read_json(path / name, "a table", "correct it") for name in files if (path / name).is_file()]
    if not (path / "chat_template.jinja").is_file() and not any("chat_template" in table for table in tables):
        fix = "write a Jinja template of the prompt into chat_template.jinja"
        raise BadInput(path, "no chat template", "chat_template.jinja, or one in tokenizer_config.json", fix)


def installed() -> tuple[bool, str]:
    """(whether the export can run here, a sentence why or why not)."""
    try:
        version = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return False, f"TensorRT-Edge-LLM is not installed here; {SETUP}."
    if shutil.which(EXPORT) is None:
        return False, f"TensorRT-Edge-LLM {version} is installed, but {EXPORT} is not on the PATH."
    return True, f"TensorRT-Edge-LLM {version} is installed."


@typed
def run(steps: list, model: PathLike) -> int:
    """Run the steps for the host; the exit code of the first that fails, or 0.

    Raises:
        BadInput: TensorRT-Edge-LLM is not here, or the folder lacks what the export asks for last.
    """
    possible, sentence = installed()
    if not possible:
        raise BadInput(EXPORT, sentence, f"TensorRT-Edge-LLM {VERSION}", SETUP)
    check_folder(model)
    host = [step for step in steps if step.where == "host"]
    for step in host:
        out = as_path(step.words[-1] if step.words[0] == EXPORT else step.words[3].partition("=")[2])
        if found_at(out) != "a folder":
            check_target(out, folder=True)
    return next((code for code in (processes.run(list(step.words)) for step in host) if code), 0)
