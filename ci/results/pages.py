"""The pages and the picture that are made from the records: docs/results.md, a table of the README, docs/pictures."""

import functools
import re
from pathlib import Path

from ci.results.figures import quoted
from ci.results.forms import PREFIX
from ci.results.picture import road
from ci.results.recorded import CPU, NO_BREAK, Recorded, markdown, rounded
from ci.results.tables import MINI, PTQ, PUBLISHED, TABLES
from helpers.errors import BadInput
from helpers.files import ROOT

TEMPLATE = Path(__file__).with_name("template.md")
NOTE = "<!-- Made by `make docs` from results/ and ci/results/template.md: edit the template. -->\n\n"
BEGIN, END = "<!-- results: made by `make docs` -->\n", "<!-- end of results -->"


def pages(root=ROOT):
    """dict of path to the text that should stand there."""
    results, readme = Recorded(root / "results"), root / "README.md"
    return {
        root / "docs/results.md": results_page(results, TEMPLATE.read_text(encoding="utf-8")),
        root / "docs/pictures/road.svg": road(results),
        readme: filled(readme.read_text(encoding="utf-8"), chosen(results), readme),
    }


def results_page(results, template):
    """The template with its tables and figures; BadInput names a field that nobody fills."""
    fields = {f"table_{table.__name__}": table(results) for table in TABLES} | quoted(results)
    fields["link_divergence"] = results.link(results.latest("divergence-tensorrt"), "divergence-tensorrt")
    try:
        return NOTE + template.format_map(fields)
    except (KeyError, ValueError, IndexError) as error:
        raise BadInput(TEMPLATE, f"a field that cannot be filled: {error}", f"some of {', '.join(sorted(fields))}",
                       "correct the template") from error  # fmt: skip


def filled(text, content, where):
    """`text` with `content` between the two comments; BadInput if they are not there once each."""
    parts = re.split(f"({re.escape(BEGIN)}|{re.escape(END)})", text)
    if parts[1::2] != [BEGIN, END]:
        raise BadInput(where, "no place for the results", f"{BEGIN.strip()} and {END}, once each", "put them back")
    return f"{parts[0]}{BEGIN}{content}\n{END}{parts[4]}"


def chosen(results):
    """The README's table: times of every system, an accuracy and the control, each beside what it is compared with."""
    latest, on_cpu = results.latest, lambda name: results.latest(PTQ + name, CPU)
    whole = latest(PREFIX + "tensorrt-qdq-plugin-end-to-end-nvimgcodec")
    of = lambda metric: functools.partial(_ms, metric=metric)  # noqa: E731
    rows = [
        ("BEVFormer-tiny, TensorRT FP16", latest(PUBLISHED + "tensorrt-fp16-plugin"),
         "PyTorch eager FP16", latest(PUBLISHED + "pytorch-fp16"), _ms),
        ("BEVFormer-tiny, TensorRT INT8 and TF32", latest(PUBLISHED + "tensorrt-qdq-tf32-plugin"),
         "TensorRT TF32", latest(PUBLISHED + "tensorrt-tf32-plugin"), _ms),
        ("BEVFormer-tiny from six JPEG files to boxes, INT8 and FP16, nvImageCodec", whole,
         "the host decodes and prepares the pictures", whole, of("after_ms_p50"), of("before_ms_p50")),
        ("FB-OCC, TensorRT FP16", latest("fbocc-published-tensorrt-fp16-plugin"),
         "torch.compile FP16", latest("fbocc-published-pytorch-compile-fp16"), _ms),
        ("OmniDrive's vision part, TensorRT, backbone FP16", latest("omnidrive-published-tensorrt-pair"),
         "torch.compile, backbone FP16", latest("omnidrive-published-pytorch-compile-fp16"), _ms),
        ("UniAD-tiny, TensorRT TF32, CUDA graph", latest("uniad-published-tensorrt-tf32-plugin"),
         "PyTorch TF32, CUDA graph", latest("uniad-published-pytorch-tf32"),
         of("graph_gpu_ms_p50")),
        ("a token of OpenVLA's Llama-2-7B, TensorRT with our kernels, FP16",
         latest("language-llama2-tensorrt-fp16-plugins"), "torch.compile, static cache",
         latest("language-llama2-pytorch-compile"), of("tpot_ms_p50")),
        ("mini BEVFormer, TensorRT INT8 and TF32", latest(MINI + "tensorrt-qdq-tf32-plugin"),
         "PyTorch FP32", latest(MINI + "pytorch-fp32"), _nds),
        ("mini BEVFormer, INT8 calibrated on noise: must fail", on_cpu("int8-faint-noise"),
         "ONNX Runtime FP32", on_cpu("fp32"), _nds),
    ]  # fmt: skip
    return markdown([
        {"": what, "result": texts[0](record), "compared with": f"{texts[-1](base)}, {label}",
         "record": results.link(record, up="results")}
        for what, record, label, base, *texts in rows
    ])  # fmt: skip


def _ms(record, metric="gpu_ms_p50"):
    return f"{rounded(record.metrics[metric], 2)}{NO_BREAK}ms"


def _nds(record):
    return f"NDS{NO_BREAK}{rounded(record.metrics['NDS'], 3)}"
