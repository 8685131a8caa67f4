"""TensorRT-Edge-LLM, the road of a language model to DRIVE and Jetson: its commands, and what its export writes."""

from helpers.llm.edge.attention import define
from helpers.llm.edge.commands import PRECISIONS, TARGETS, Step, compose, installed, run
from helpers.llm.edge.reader import Description, compare, describe, recorded, restored
from helpers.llm.edge.runner import EdgeModel

__all__ = [
    "PRECISIONS", "TARGETS", "Description", "EdgeModel", "Step",
    "compare", "compose", "define", "describe", "installed", "recorded", "restored", "run",
]  # fmt: skip
