"""`trtllm-build`: its command composed from a description, explained, checked, and run where TensorRT-LLM has it."""

import functools
import importlib.metadata
import re
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from helpers import processes
from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import NOTHING, PathLike, as_path, check_distinct, check_target, found_at, read_json

PARSER = Path(__file__).with_name("trtllm_build.toml")
PROGRAM = "trtllm-build"
MOST_GPUS = 64
CORRECTED = "read it back into a new folder (python -m helpers llm read --out_dir), in which its fields are right"
WHY = {
    "checkpoint_dir": "the folder of config.json and rank0.safetensors; a folder of Hugging Face is not one",
    "output_dir": "where rank0.engine and its config.json go",
    "max_prompt_embedding_table_size": "rows for what no word stands for: pictures enter as ids from vocab_size on, "
    "each of which takes one row; without it the engine has no input for them",
    "max_multimodal_len": "the same option by its other name; of the two the last one counts",
    "max_batch_size": "requests at a time; the default of 2048 plans memory for a server",
    "max_input_len": "the longest prompt in tokens, rows of pictures among them",
    "max_num_tokens": "tokens of a batch in one step, prompts without padding: activations are planned for so many",
    "gemm_plugin": "matrix products by cuBLASLt in this type instead of TensorRT's own choice; fp8 needs the "
    "calibration in the checkpoint",
    "use_fp8_context_fmha": "attention over the prompt in FP8, which needs an FP8 cache",
    "workers": "engines built at a time, one for each GPU",
}
GONE = (
    "TensorRT-LLM 1.3 has no such step: {program}, the converters and ModelRunner were removed with its TensorRT "
    "backend (1.3.0rc21, pull request 15918), and LLM(model=FOLDER) loads a folder of Hugging Face into PyTorch."
)


@dataclass(frozen=True)
class Description:
    """What an engine is for.

    picture_rows: rows that pictures take of a prompt. table: rows of the table as `max_prompt_embedding_table_size`,
    where it is larger than needed, and multimodal_len by the option's other name, which then counts.
    """

    picture_rows: int
    table: int | None = None
    multimodal_len: int | None = None
    max_batch_size: int | None = 1
    max_input_len: int | None = None
    max_num_tokens: int | None = None
    gemm_plugin: str = "auto"
    fp8_attention: bool = False


DESCRIPTIONS = {
    "omnidrive": Description(513, table=1024, multimodal_len=2048, gemm_plugin="float16"),
    "openvla": Description(256, max_input_len=512, max_num_tokens=1024),
    "openvla_fp8": Description(256, max_input_len=512, max_num_tokens=1024, gemm_plugin="fp8", fp8_attention=True),
}


class Option(NamedTuple):
    """One option with its value and what it is for."""

    name: str
    value: str
    why: str


@functools.cache
def parser() -> dict[str, Any]:
    """The recorded parser: `options`, `aliases`, and `last`, the last release that has it."""
    return tomllib.loads(PARSER.read_text())


@typed
def compose(description: Description, checkpoint: PathLike, engine: PathLike, tp: int = 1) -> list[Option]:
    """The options of a build, in the order of the command, each known to the recorded parser.

    Raises:
        BadInput: a path that is no folder's, one folder for both, fewer rows than pictures take, or an option or value
            that the parser does not take.
    """
    check_distinct(engine, checkpoint)
    for path in (checkpoint, engine):
        if (found := found_at(path)) not in ("a folder", NOTHING):
            raise BadInput(path, found, "a folder", "correct the path")
    table = description.table or description.picture_rows
    rows = description.multimodal_len or table
    if rows < description.picture_rows:
        raise BadInput("rows of the table", rows, f"at least {description.picture_rows}", "describe a larger table")
    values = {
        "checkpoint_dir": checkpoint,
        "output_dir": engine,
        "gemm_plugin": description.gemm_plugin,
        "max_input_len": description.max_input_len,
        "max_batch_size": description.max_batch_size,
        "max_num_tokens": description.max_num_tokens,
        "use_fp8_context_fmha": "enable" if description.fp8_attention else None,
        "max_prompt_embedding_table_size": table,
        "max_multimodal_len": description.multimodal_len,
        "workers": tp if tp > 1 else None,
    }
    options = [Option(name, str(value), WHY[name]) for name, value in values.items() if value is not None]
    check([f"--{option.name}={option.value}" for option in options])
    return options


def check(words: Sequence[str]) -> dict[str, str]:
    """{option: value} of a command's words, aliases resolved, as the recorded parser takes them; the last one counts.

    Raises:
        BadInput: an option that is not known, without a value, or with one that is not taken.
    """
    options, aliases, found = parser()["options"], parser()["aliases"], {}
    rest = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while rest:
        given = rest.pop(0)
        name = given.removeprefix("--")
        name = aliases.get(name, name)
        kind = options.get(name) if given.startswith("--") else None
        if kind is None:
            fix = f"see {PROGRAM} --help; some options of older releases are gone"
            raise BadInput(PROGRAM, given, f"an option of {parser()['last']}", fix)
        value = "" if kind == "flag" else rest.pop(0) if rest and not rest[0].startswith("--") else None
        whole = value is not None and re.fullmatch(r"-?[0-9]{1,18}", value)
        if value is None or (kind == "whole" and not whole) or (isinstance(kind, list) and value not in kind):
            expected = {"whole": "a whole number", "text": "a value"}.get(
                kind if isinstance(kind, str) else "", f"{kind}"
            )
            raise BadInput(f"{PROGRAM} {given}", repr(value), expected, "correct the value")
        found[name] = value
    return found


def command(options: Sequence[Option]) -> list[str]:
    """The words of the command."""
    return [PROGRAM, *(word for option in options for word in (f"--{option.name}", option.value))]


@typed
def check_checkpoint(description: Description, checkpoint: PathLike) -> int:
    """The GPUs that a checkpoint is for; BadInput if an engine of that description cannot be built from it."""
    path = as_path(checkpoint) / "config.json"
    fix = "write one with python -m helpers llm convert"
    table = read_json(path, "config.json of a TensorRT-LLM checkpoint", fix)
    if not isinstance(table, dict) or table.get("architecture") != "LlamaForCausalLM":
        found = f"architecture {table.get('architecture')!r}" if isinstance(table, dict) else "no table"
        expected = "architecture 'LlamaForCausalLM', a name in TensorRT-LLM's table of models"
        plain = isinstance(table, dict) and "architectures" in table  # of Hugging Face
        raise BadInput(path, found, expected, fix if plain else CORRECTED)
    settings, mapping = ({} if table.get(key) is None else table[key] for key in ("quantization", "mapping"))
    if not isinstance(settings, dict) or not isinstance(mapping, dict):
        raise BadInput(path, "quantization or mapping that is no table", "tables", fix)
    needs = {"quant_algo": description.gemm_plugin == "fp8", "kv_cache_quant_algo": description.fp8_attention}
    if lacking := [key for key, needed in needs.items() if needed and settings.get(key) != "FP8"]:
        found = f"{lacking[0]} {settings.get(lacking[0])!r}"
        raise BadInput(
            path, found, "'FP8', which this build asks for", "convert in the format fp8, or build without it"
        )
    longest, tp = table.get("max_position_embeddings", description.max_input_len), mapping.get("tp_size", 1)
    if description.max_input_len and (type(longest) is not int or description.max_input_len > longest):
        shorter = "take the published model's checkpoint; for a smaller one describe a shorter prompt in Python"
        raise BadInput(path, f"{longest!r} positions", f"{description.max_input_len} for the prompt", shorter)
    if type(tp) is not int or not 1 <= tp <= MOST_GPUS:
        raise BadInput(path, f"tp_size {tp!r}", f"1 to {MOST_GPUS} GPUs", fix)
    return tp


def installed() -> tuple[bool, str]:
    """(whether `trtllm-build` can run here, a sentence why or why not)."""
    try:
        version = importlib.metadata.version("tensorrt-llm")
    except importlib.metadata.PackageNotFoundError:
        last = parser()["last"]
        return False, f"TensorRT-LLM is not installed here; up to {last} has this step (make gpu TIER=trtllm)."
    numbers = [int(number) for number in re.findall(r"\d+", version)[:3]]
    if numbers > [int(number) for number in parser()["last"].split(".")]:
        return False, f"TensorRT-LLM {version} is installed. " + GONE.format(program=PROGRAM)
    if shutil.which(PROGRAM) is None:
        return False, f"TensorRT-LLM {version} is installed, but {PROGRAM} is not on the PATH."
    return True, f"TensorRT-LLM {version} is installed."


def run(options: Sequence[Option]) -> int:
    """Build the engine; the exit code of trtllm-build.

    Raises:
        BadInput: TensorRT-LLM is not here or has no such step.
    """
    values = {option.name: option.value for option in options}
    possible, sentence = installed()
    if not possible:
        fix = "make gpu TIER=trtllm"
        raise BadInput(PROGRAM, sentence, f"TensorRT-LLM up to {parser()['last']}", fix)
    if found_at(values["output_dir"]) != "a folder":
        check_target(values["output_dir"], folder=True)
    return processes.run(command(options))
