"""`python -m helpers llm`: a language model out of a checkpoint, into TensorRT-LLM's form or ONNX, read back, run."""

import json
import shlex
import shutil
from argparse import Namespace
from pathlib import Path

from helpers.cli import edge, llm_onnx, numbers
from helpers.cli.parser import Parser
from helpers.files import atomic, check_target, read_json
from helpers.llm import build
from helpers.llm.formats import FORMATS


def main(argv: list[str]) -> int:
    """Returns 0; what trtllm-build returns for `build --run`; raises BadInput."""
    parser = Parser("python -m helpers llm", description=__doc__.partition(": ")[2])
    actions = parser.add_subparsers(dest="action", required=True)
    one = actions.add_parser("save", help="take the language model out, merge it with its base, save it")
    one.add_argument("base", type=Path, metavar="FOLDER", help="of Hugging Face: config.json, weights, tokenizer")
    one.add_argument("--checkpoint", type=Path, metavar="FILE", help="fine-tune, whole detector or LoRA adapter")
    one.add_argument("--prefix", help="of the language model's tensors (default: found)")
    one.add_argument("--alpha", type=numbers.real(0, 1e6), help="of LoRA (default: adapter_config.json's)")
    one.add_argument("--shard", type=numbers.whole(1, 1 << 50), help="bytes of a file at most (5 GiB)")
    one.add_argument("--test-load", action="store_true", help="load the folder again")
    one = actions.add_parser("join", help="put a network and its language model into one file, as published")
    one.add_argument("model", type=Path, metavar="FOLDER", help="of Hugging Face, a plain Llama")
    one.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="the network without it")
    one.add_argument("--prefix", default="lm_head.", help="of the language model's tensors (lm_head.)")
    one.add_argument("--out", type=Path, required=True, metavar="FILE", help=".safetensors to write")
    one = actions.add_parser("convert", help="write a TensorRT-LLM checkpoint")
    one.add_argument("model", type=Path, metavar="FOLDER", help="of Hugging Face, a plain Llama")
    one.add_argument("--format", choices=FORMATS, default="fp16")
    one.add_argument("--dtype", choices=("float16", "bfloat16"), help="of what is not quantized")
    one.add_argument("--tp", type=numbers.whole(1, 64), default=1, help="GPUs that share each layer")
    one = actions.add_parser("read", help="read a TensorRT-LLM checkpoint back, and say what its fields have wrong")
    one.add_argument("checkpoint", type=Path, metavar="FOLDER")
    one.add_argument("--base", type=Path, metavar="FOLDER", help="of Hugging Face, for what the checkpoint lacks")
    one = actions.add_parser("prove", help="write every format, read it back, compare logits")
    one.add_argument("model", type=Path, metavar="FOLDER", help="of Hugging Face, a plain and small Llama")
    llm_onnx.add(actions)
    edge.add(actions)
    for name in ("convert", "prove", "export"):
        text = ".npz with whole numbers `ids` [B, T] (default: random ids: right for sizes, wrong for accuracy)"
        actions.choices[name].add_argument("--calibration", type=Path, metavar="npz", help=text)
    for name in ("convert", "read"):
        text = "compute capability that W8A16 and W4A16 are for"
        actions.choices[name].add_argument("--sm", type=numbers.whole(75, 90), help=f"{text} (80)")
    for name in ("save", "convert", "prove", "read"):
        text = "a new folder with the fields put right" if name == "read" else "folder to write"
        actions.choices[name].add_argument("--out_dir", type=Path, required=name != "read", metavar="FOLDER", help=text)
    one = actions.add_parser("build", help="the command of trtllm-build, explained; run where it is installed")
    one.add_argument("description", choices=build.DESCRIPTIONS, help="the published build whose options are taken")
    one.add_argument("--checkpoint_dir", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--output_dir", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--run", action="store_true", help="build the engine")
    options = parser.parse_args(argv)
    verbs = {"save": _save, "join": _join, "convert": _convert, "read": _read, "prove": _prove, "build": _build}
    return (verbs | llm_onnx.VERBS | edge.VERBS)[options.action](options)


def _save(options: Namespace) -> int:
    from helpers.llm import folder, merge

    out = merge.save_language_model(
        options.base, options.out_dir, options.checkpoint, options.prefix, options.alpha, options.shard or folder.SHARD
    )
    if options.test_load:
        count = sum(tensor.numel() for tensor in folder.load(out).state_dict().values())
        print(f"loaded again: {count:,} parameters")
    print(out)
    return 0


def _join(options: Namespace) -> int:
    from helpers.llm.whole import save_whole

    print(save_whole(options.checkpoint, options.model, options.out, options.prefix))
    return 0


def _convert(options: Namespace) -> int:
    llm_onnx.check_format(options)

    from helpers.llm import folder
    from helpers.llm.tensorrt_llm import quantize, write

    folder.check_out(options.out_dir, options.model, options.calibration)
    check_target(options.out_dir, folder=True)
    model = folder.load(options.model)
    quantized = quantize(
        model, options.format, llm_onnx.calibration(options.calibration, model.config.vocab_size), options.dtype
    )
    print(write(quantized, options.out_dir, options.format, options.tp, options.sm or 80, options.dtype))
    return 0


def _read(options: Namespace) -> int:
    from helpers.llm import folder
    from helpers.llm.tensorrt_llm import correct, read
    from helpers.models.checkpoints import read_checkpoint

    base = folder.read_config(options.base)[1] if options.base else None
    if options.out_dir is not None:
        folder.check_out(options.out_dir, options.checkpoint, options.base)
    model = read(options.checkpoint, options.sm or 80, base)
    table = read_json(options.checkpoint / "config.json", "a table", "convert again")
    corrected, found = correct(table, read_checkpoint(options.checkpoint / "rank0.safetensors"), base)
    settings = corrected.get("quantization") or {}
    print(f"{model.config}\nquant_algo {settings.get('quant_algo')}, cache {settings.get('kv_cache_quant_algo')}")
    for field, was, now, why in found:
        print(f"{field}: {json.dumps(was)} should be {json.dumps(now)}: {why}")
    if not found:
        print("every field is right")
    if options.out_dir is not None:
        with atomic(options.out_dir, folder=True) as part:
            for path in options.checkpoint.glob("rank*.safetensors"):
                shutil.copyfile(path, part / path.name)
            (part / "config.json").write_text(json.dumps(corrected, indent=4) + "\n")
        print(options.out_dir)
    return 0


def _prove(options: Namespace) -> int:
    from helpers.llm import folder
    from helpers.llm.tensorrt_llm import prove

    folder.check_out(options.out_dir, options.model, options.calibration)
    model = folder.load(options.model)
    print(f"{'format':<8}{'GPUs':>5}{'SM':>4}{'error':>10}{'argmax':>8}{'noise':>10}{'bytes':>14}")
    with atomic(options.out_dir, folder=True) as part:
        for row in prove(model, llm_onnx.calibration(options.calibration, model.config.vocab_size), part):
            print(f"{row.format:<8}{row.tp:>5}{row.sm:>4}{row.error:>10.1e}{row.agreement:>8.3f}{row.noise:>10.1e}"
                  f"{row.bytes:>14,}")  # fmt: skip
    return 0


def _build(options: Namespace) -> int:
    description = build.DESCRIPTIONS[options.description]
    there = options.checkpoint_dir.is_dir()
    tp = build.check_checkpoint(description, options.checkpoint_dir) if there or options.run else 1
    composed = build.compose(description, options.checkpoint_dir, options.output_dir, tp)
    print(shlex.join(build.command(composed)) + "\n")
    for name, value, why in composed:
        print(f"--{name} {value}\n    {why}")
    print(f"\n{build.installed()[1]}")
    return build.run(composed) if options.run else 0
