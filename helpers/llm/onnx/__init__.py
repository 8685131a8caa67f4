"""A Llama as one ONNX graph for prefill and decode, its cache explicit, and what runs it."""

from helpers.llm.flavors import FLAVORS, INPUTS, flavor_for
from helpers.llm.onnx.graph import export, profile, profiles
from helpers.llm.onnx.greedy import greedy
from helpers.llm.onnx.runner import OnnxModel

__all__ = ["FLAVORS", "INPUTS", "OnnxModel", "export", "flavor_for", "greedy", "profile", "profiles"]
