"""The planner as it is deployed: its language model out of a TensorRT-LLM checkpoint, run by an ONNX graph."""

from pathlib import Path
from typing import NamedTuple

from helpers.arguments import typed
from helpers.files import PathLike, as_path
from helpers.llm import folder as hugging_face
from helpers.llm import onnx, tensorrt_llm
from helpers.planner import Planner, load


class Deployed(NamedTuple):
    """planner: what answers. checkpoint: folder in TensorRT-LLM's form. graph: ONNX, what the planner runs."""

    planner: Planner
    checkpoint: Path
    graph: Path


@typed
def deploy(folder: PathLike, work: PathLike, form: str = "fp16", sm: int = 80) -> Deployed:
    """Convert the language model of a planner, read the checkpoint back, and export what was read.

    So the planner computes with the numbers of the checkpoint's files, in FP16 arithmetic: weights of `form`, which
    DequantizeLinear turns to FP16 in the graph, vision tokens through the prompt table, a static cache.

    Args:
        folder: of Hugging Face, with its tokenizer, as for `helpers.planner.load`.
        work: `work`/FORM and `work`/FORM.onnx are written.
        form: "fp16" or "w4a16", as of `helpers.llm.formats.FORMATS`, of those that need no calibration.
        sm: compute capability of the GPU that the checkpoint is for.

    Raises:
        BadInput: what the folder or the form does not allow.
    """
    work = as_path(work)
    quantized = tensorrt_llm.quantize(hugging_face.load(folder), form)
    checkpoint = tensorrt_llm.write(quantized, work / form, form, sm=sm)
    graph = onnx.export(tensorrt_llm.read(checkpoint, sm), work / f"{form}.onnx", inputs="table", dtype="float16")
    return Deployed(load(folder, graph), checkpoint, graph)
