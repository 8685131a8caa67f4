"""A Llama written as one ONNX graph, for a prompt and for every token after it.

Inputs: `input_ids` [batch, tokens] int64, or `inputs_embeds` [batch, tokens, hidden_size]; `prompt_table` [rows,
hidden_size] with inputs="table"; `position_ids` [batch, tokens] int64; `write_indices` [batch] int64, where a static
cache takes the first new token, or `attention_mask` [batch, total] bool, which slots of a growing one hold a token;
`last` [batch] int64, the token whose logits are wanted; `past_key_values.N.key` and `.value` [batch, heads, slots,
head_dim]. Outputs: `logits` float32, and `present.N.key` and `.value`, the next step's past. With plugins the positions
follow from `write_indices`, so there are no `position_ids`, and where a step is of a single token there is no `last`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from onnx import TensorProto, helper

from helpers import disk, graph
from helpers.arguments import between, typed
from helpers.errors import BadInput, foreign
from helpers.files import PathLike, as_path, atomic
from helpers.graph.checks import LARGEST
from helpers.graph.functions import attach_functions
from helpers.layers.llama import Llama
from helpers.llm.flavors import FLAVORS, INPUTS, check_dtype
from helpers.llm.onnx import blocks, plugins
from helpers.llm.onnx.writer import Writer
from helpers.llm.pytorch import check_capacity
from helpers.llm.tensorrt_llm.quantized import E4M3, QuantizedLinear

ABOUT = "onramp.llm"  # the entry of a graph that says what its runner has to know
ROOM = 64 << 20  # bytes of a file for what is no weight
SMALL = 1024  # bytes: shapes and axes stay in the graph, where inference reads them


class About(NamedTuple):
    """What a runner has to know of a graph: the arguments of `export`, and the sizes of its model."""

    flavor: str
    inputs: str
    capacity: int
    vocab_size: int
    hidden_size: int
    every: bool


def read_about(entries: Mapping[str, str], where: object) -> About:
    """What `export` wrote into a graph's metadata; BadInput if it did not write this one."""
    expected, fix = "a graph of python -m helpers llm export", "export the model"
    with foreign(where, expected, fix):
        table = json.loads(entries[ABOUT])
        about = About(**table)
        sizes = (about.capacity, about.vocab_size, about.hidden_size)
        if about.flavor in FLAVORS and about.inputs in INPUTS and all(type(size) is int and size > 0 for size in sizes):
            return about
    raise BadInput(where, f"metadata {table}", expected, fix)


@typed
def export(model: Llama, path: PathLike, flavor: str = "scatter", inputs: str = "ids", capacity: int | None = None,
           dtype: str = "float32", every: bool = False) -> Path:  # fmt: skip
    """Write `model`, plain or quantized, as one ONNX file, with its weights in `PATH.data` if they exceed 2 GiB.

    Args:
        flavor: of `FLAVORS`; `flavor_for` names the one for a runtime.
        inputs: "ids", "embeds", or "table": ids of which those from vocab_size on are rows of a prompt table.
        capacity: tokens of the cache, at most the model's positions, which is the default. It is the length of a static
            cache, and the end of what positions a growing one can have.
        dtype: "float32" or "float16", of weights, cache and arithmetic.
        every: give the logits of every token, [batch, tokens, vocab_size], and take no `last`.

    Raises:
        BadInput: an unknown flavor, form of inputs or dtype, or a capacity that the model has no positions for.
    """
    for name, value, known in (("flavor", flavor, tuple(FLAVORS)), ("inputs", inputs, INPUTS)):
        if value not in known:
            raise BadInput(name, repr(value), f"one of {', '.join(known)}", "choose one of them")
    check_dtype(dtype)
    capacity = check_capacity(capacity, model.config.max_position_embeddings)
    form = FLAVORS[flavor]
    b = Writer(max(form.opset, 0 if form.plugins else _needed(model, dtype)), getattr(torch, dtype))
    entered = blocks.embedded(b, model, inputs)
    if form.plugins:
        plugins.write(b, model, form, entered, capacity, every)
    else:
        blocks.logits(b, model, form, blocks.decoder(b, model, form, entered, capacity), every)
    made = helper.make_graph(b.nodes, "llama", _inputs(b, model, form, inputs, capacity, every),
                             _outputs(b, model, form, capacity, every))  # fmt: skip
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", b.opset)], producer_name="onramp")
    proto.ir_version = 10 if b.opset < 24 else 11
    attach_functions(proto)
    about = About(flavor, inputs, capacity, model.config.vocab_size, model.config.hidden_size, every)
    helper.set_model_props(proto, {ABOUT: json.dumps(about._asdict())})
    return _save(proto, b, as_path(path))


@typed
def profile(model: onnx.ModelProto, batch: int, tokens: int, rows: int = 1) -> dict[str, list[list[int]]]:
    """{input: [min, opt, max]} of a graph for TensorRT: a token at a time up to a prompt of `tokens`, the cache filled
    from nothing up to its end, `rows` of the prompt table at most."""
    return _profile(model, batch, (1, 1, tokens), rows)


@typed
def profiles(model: onnx.ModelProto, batch: int, tokens: int, rows: int = 1) -> list[dict[str, list[list[int]]]]:
    """[decode, prefill]: the same range in two, kernels of the one chosen for a token, of the other for `tokens`.

    A run takes the first that its shapes fit: a token is decoded, whatever is longer is a prompt.

    Raises:
        BadInput: a prompt of one token, which decode is for, or no rows.
    """
    between("batch", batch, 1, 1 << 20)
    between("rows", rows, 1, 1 << 24)
    between("tokens", tokens, 2, 1 << 24)
    return [_profile(model, batch, (1, 1, 1), rows), _profile(model, batch, (2, tokens, tokens), rows)]


def _profile(model, batch, tokens, rows):
    about = read_about({entry.key: entry.value for entry in model.metadata_props}, "the model")
    past = about.capacity - 1
    sizes = {"batch": (1, 1, batch), "tokens": tokens, "rows": (1, 1, rows), "past": (0, past // 2, past),
             "total": (1, past // 2 + 1, about.capacity)}  # fmt: skip
    found = {}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if any(dim.dim_param for dim in dims):
            found[value.name] = [
                [sizes[d.dim_param][k] if d.dim_param else d.dim_value for d in dims] for k in range(3)
            ]
    return found


def _needed(model, dtype):
    """The opset that quantized weights need: scales in FP16 and FP8 came with 19, INT4 and blocks with 21."""
    layers = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    if not layers:
        return 0
    parts = layers[0].parts
    if parts.bits == 4:
        return 21
    return 19 if parts.codes.dtype == E4M3 or dtype == "float16" else 13


def _inputs(b, model, form, inputs, capacity, every) -> list[Any]:
    width, tokens = model.config.hidden_size, ("batch", 1 if form.single else "tokens")
    values = [
        b.value("inputs_embeds", b.kind, *tokens, width)
        if inputs == "embeds"
        else b.value("input_ids", TensorProto.INT64, *tokens)
    ]
    if inputs == "table":
        values.append(b.value("prompt_table", b.kind, "rows", width))
    if not form.plugins:
        values.append(b.value("position_ids", TensorProto.INT64, *tokens))
    if form.static:
        values.append(b.value("write_indices", TensorProto.INT64, "batch"))
    else:
        values.append(b.value("attention_mask", TensorProto.BOOL, "batch", "total"))
    if not every and not form.single:
        values.append(b.value("last", TensorProto.INT64, "batch"))
    return values + _cache(b, model, 0, capacity if form.static else "past")


def _outputs(b, model, form, capacity, every):
    shape = ("batch", 1 if form.single else "tokens") if every else ("batch",)
    logits = b.value("logits", TensorProto.FLOAT, *shape, model.config.vocab_size)
    return [logits, *_cache(b, model, 1, capacity if form.static else "total")]


def _cache(b, model, which, slots):
    config = model.config
    shape = "batch", config.num_key_value_heads, slots, config.head_dim
    names = [blocks.CACHE[which].format(n, part) for n in range(config.num_hidden_layers) for part in ("key", "value")]
    return [b.value(name, b.kind, *shape) for name in names]


def _save(proto, b: Writer, path: Path) -> Path:
    if b.size() + ROOM < LARGEST:
        proto.graph.initializer.extend(b.tensor(name) for name in b.weights)
        return graph.save(proto, path)
    return _save_apart(proto, b, path)


def _save_apart(proto, b: Writer, path: Path) -> Path:
    """The weights in a file beside the graph, one after the other; both are whole before either is there."""
    beside = path.with_name(f"{path.name}.data")
    disk.require(beside, b.size())
    with atomic(path) as part, atomic(beside) as data:
        with open(data, "wb") as file:
            for name in b.weights:
                content = b.bytes(name)
                place = {"location": beside.name, "offset": file.tell(), "length": len(content)}
                apart = len(content) > SMALL
                made = b.tensor(name, data=not apart)
                if apart:
                    made.data_location = TensorProto.EXTERNAL
                    for key, value in place.items():
                        made.external_data.add(key=key, value=str(value))
                    file.write(content)
                proto.graph.initializer.append(made)
        onnx.save(proto, part)
    return path
