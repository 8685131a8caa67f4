"""Checkpoints in the form of TensorRT-LLM up to 1.2.1, config.json and rank{r}.safetensors, written and read back.

The form is the published one; neither TensorRT-LLM nor ModelOpt is needed, and what ModelOpt exports is read as well.
`write` and `read` work on a plain Llama, or on one whose linear layers `quantize` has replaced; `prove` holds what is
read against what was written.
"""

from helpers.llm.formats import FORMATS
from helpers.llm.tensorrt_llm.proof import Proof, prove
from helpers.llm.tensorrt_llm.quantized import quantize
from helpers.llm.tensorrt_llm.reader import correct, read
from helpers.llm.tensorrt_llm.writer import write

__all__ = ["FORMATS", "Proof", "correct", "prove", "quantize", "read", "write"]
