"""The verbs of `python -m helpers llm` that write a model as ONNX and let one generate."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from helpers import engine
from helpers.cli import numbers
from helpers.cli.parser import check_used
from helpers.errors import BadInput
from helpers.llm.flavors import DTYPES, FLAVORS, INPUTS, flavor_for
from helpers.llm.formats import FORMATS

TOKENS = (4, 64)  # of random calibration


def add(actions: Any) -> None:
    """Add the verbs to a command's own."""
    one = actions.add_parser("export", help="write one ONNX graph for prefill and decode")
    one.add_argument("model", type=Path, metavar="FOLDER", help="of Hugging Face, a plain Llama")
    one.add_argument("--out", type=Path, required=True, metavar="onnx", help="file to write")
    one.add_argument("--flavor", choices=FLAVORS, help="of the graph (default: what --runtime builds and runs)")
    one.add_argument("--runtime", choices=engine.RUNTIMES, default="onnxruntime")
    one.add_argument("--version", metavar="X.Y", help="of the runtime (default: the installed one)")
    one.add_argument("--inputs", choices=INPUTS, default="ids", help="table: ids beyond the vocabulary are pictures")
    one.add_argument("--capacity", type=numbers.whole(1, 1 << 24), help="tokens of the cache (the model's positions)")
    one.add_argument("--dtype", choices=DTYPES, default="float32")
    one.add_argument("--format", choices=FORMATS, help="quantize the linear layers")
    one = actions.add_parser("generate", help="go on with a prompt, token by token")
    one.add_argument("model", type=Path, metavar="MODEL", help="a folder of Hugging Face, or a graph of export")
    one.add_argument("--ids", type=numbers.whole(0, 1 << 31), nargs="+", required=True, metavar="ID", help="the prompt")
    one.add_argument("--table", type=Path, metavar="npz", help="`table` [rows, hidden]: ids beyond the vocabulary")
    one.add_argument("--embeddings", type=Path, metavar="FOLDER", help="of Hugging Face, for a graph of embeddings")
    one.add_argument("--tokens", type=numbers.whole(1, 1 << 24), default=32, help="at most (32)")
    one.add_argument("--stop", type=numbers.whole(0, 1 << 31), nargs="*", default=[], metavar="ID")
    one.add_argument("--temperature", type=numbers.real(0, 100), default=0.0, help="0: the most probable token (0)")
    one.add_argument("--top-k", type=numbers.whole(1, 1 << 31))
    one.add_argument("--top-p", type=numbers.real(1e-9, 1))
    one.add_argument("--seed", type=numbers.whole(0, 1 << 62), default=0)


def calibration(path: Path | None, vocabulary: int) -> Any:
    """Token ids [B, T] int64 of an .npz, or random ones."""
    import torch

    if path is None:
        return torch.randint(vocabulary, TOKENS, generator=torch.Generator().manual_seed(0))
    ids = _array(path, "ids", ("B", "T"))
    if ids.dtype.kind not in "iu" or not ids.size or ids.min() < 0 or ids.max() >= vocabulary:
        expected = f"whole numbers from 0 to {vocabulary - 1}"
        raise BadInput(path, f"{ids.dtype}{list(ids.shape)}", expected, "tokenize with its tokenizer")
    return torch.from_numpy(ids.astype("int64"))


def check_format(options: Namespace) -> None:
    """BadInput for options that the --format does not ask for."""
    chosen = FORMATS.get(options.format)
    measured = [name for name, form in FORMATS.items() if form.measured]
    check_used(options.calibration, "--calibration", chosen and chosen.measured, f"--format of {', '.join(measured)}")
    if "sm" in options:
        kinds = [name for name, form in FORMATS.items() if form.preprocessed]
        check_used(options.sm, "--sm", chosen and chosen.preprocessed, f"--format of {', '.join(kinds)}")


def _array(path, name, shape):
    """The array of this name in an .npz."""
    from helpers.cli import arrays

    found = arrays.load(path, {name: shape})
    if name not in found:
        raise BadInput(path, "no arrays", f"{name} [{', '.join(map(str, shape))}]", f"np.savez(path, {name}=...)")
    return found[name]


def export(options: Namespace) -> int:
    """Returns 0; raises BadInput."""
    from helpers.files import check_distinct, check_target
    from helpers.llm import folder
    from helpers.llm.onnx import export as write
    from helpers.llm.tensorrt_llm import quantize

    check_format(options)
    for flag, given in (("--version", options.version), ("--runtime", options.runtime != "onnxruntime")):
        check_used(given, flag, not options.flavor, "the choice of a flavor, without --flavor")
    check_distinct(options.out, options.calibration)
    folder.check_file(options.out, options.model)
    check_target(options.out)
    version = options.version or (options.flavor or engine.usable(options.runtime)[1])
    flavor = options.flavor or flavor_for(options.runtime, version, options.dtype)
    model = folder.load(options.model)
    if options.format:
        model = quantize(model, options.format, calibration(options.calibration, model.config.vocab_size))
    print(f"flavor {flavor}\n{write(model, options.out, flavor, options.inputs, options.capacity, options.dtype)}")
    return 0


def generate(options: Namespace) -> int:
    """Print tokens as they come, then the times; returns 0; raises BadInput."""
    check_used(options.seed, "--seed", options.temperature, "--temperature above 0")

    from helpers.llm import folder
    from helpers.llm.generate import Sampling, paced, stream
    from helpers.llm.onnx import OnnxModel
    from helpers.llm.pytorch import TorchModel, embeddings

    if options.model.is_dir():
        if options.embeddings:
            raise BadInput("option --embeddings", options.embeddings, "a graph, which lacks them", "leave it out")
        model: Any = TorchModel(folder.load(options.model))
    else:
        words = embeddings(folder.load(options.embeddings)) if options.embeddings else None
        model = OnnxModel(options.model, words)
    table = _array(options.table, "table", ("rows", model.hidden_size)) if options.table else None
    sampling = Sampling(options.temperature, options.top_k, options.top_p, options.seed)
    steps = stream(model, [options.ids], options.tokens, set(options.stop), sampling, table)
    result = paced(_shown(step) for step in steps)
    later = f", then {sum(result.steps) / len(result.steps):.2f} ms a token" if result.steps else ""
    print(f"\nfirst token after {result.first:.2f} ms{later}")
    return 0


def _shown(step):
    print(step[0], end=" ", flush=True)
    return step


VERBS = {"export": export, "generate": generate}
