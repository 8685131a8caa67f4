"""A checkpoint folder of TensorRT-LLM as a plain PyTorch Llama again: order, packing, scales and GPUs undone."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from helpers.arguments import typed
from helpers.errors import BadInput, entry, foreign
from helpers.files import PathLike, as_path, read_json
from helpers.layers.llama import Llama, LlamaConfig
from helpers.llm.formats import EMBEDDING, FORMATS, GROUP, HEAD, KV_SCALE, NORM, NORMS, PLACES, Format
from helpers.llm.tensorrt_llm import mixed_gemm, parallel
from helpers.llm.tensorrt_llm.fields import check_handled, correct, llama_config
from helpers.llm.tensorrt_llm.quantized import E4M3, Parts, QuantizedCache, QuantizedLinear
from helpers.llm.tensorrt_llm.writer import CONFIG, RANK, described
from helpers.models.checkpoints import read_checkpoint, shape_of

FIX = "convert again"


@typed
@torch.no_grad()
def read(folder: PathLike, sm: int = 80, base: dict[str, Any] | None = None) -> Llama:
    """The model of a checkpoint folder, in FP32 arithmetic with the quantization that its tensors say.

    Args:
        sm: compute capability that W8A16 and W4A16 weights were converted for; only folders of `write` tell.
        base: config.json of the Hugging Face model, for what the folder lacks (`correct`).

    Raises:
        BadInput: no such folder, damaged files, tensors that are missing, unexpected, of another shape or not finite,
            files of `write` in each other's place or packed for another `sm`, and, by name, what cannot be read: other
            quantizations, pipeline parallelism, biases, scaled RoPE.
    """
    folder = as_path(folder)
    table = read_json(
        folder / CONFIG, "config.json of a TensorRT-LLM checkpoint", "give the folder of rank0.safetensors"
    )
    if not isinstance(table, dict) or "architecture" not in table:
        expected = "a TensorRT-LLM checkpoint, whose config.json has `architecture`"
        raise BadInput(folder / CONFIG, "no architecture", expected, "write one with python -m helpers llm convert")
    tp = check_handled(table, folder / CONFIG)
    ranks = [_Tensors(folder / RANK.format(rank)) for rank in range(tp)]
    table, _ = correct(table, ranks[0].left, base)
    config = llama_config(table, folder / CONFIG)
    settings = entry(table, "quantization", {}, folder / CONFIG, FIX)
    form = next(f for f in FORMATS.values() if f.algo == settings.get("quant_algo"))
    for number, rank in enumerate(ranks):
        _check_place(rank.path, described(form, number, tp, sm))
    model = _assembled(config, ranks, form, settings.get("kv_cache_quant_algo"), table, sm)
    for rank in ranks:
        rank.check_empty()
    return model.eval()


def _check_place(path, expected):
    """BadInput for a file that says itself to be another GPU's, or packed in another order."""
    with foreign(path, "a file of safetensors", FIX), safe_open(path, "pt") as stream:
        said = stream.metadata() or {}
    if other := [name for name, value in expected.items() if said.get(name, value) != value]:
        found, wanted = (", ".join(f"{name} {each[name]}" for name in other) for each in (said, expected))
        fix = "give every file its own name again, and the sm that the folder was converted for"
        raise BadInput(path, found, wanted, fix)


class _Tensors:
    """The tensors of one file, each taken once."""

    def __init__(self, path: Path) -> None:
        self.path, self.left = path, read_checkpoint(path)

    def take(self, name: str, shape: tuple[int, ...], *dtypes: torch.dtype) -> Tensor:
        """A tensor of that shape; in whole numbers or FP8 as `dtypes` say, else floating point and finite."""
        tensor = self.left.pop(name, None)
        if tensor is None:
            raise BadInput(self.path, f"no {name}", f"a tensor of {list(shape)}", FIX)
        right = tensor.dtype in dtypes if dtypes else tensor.dtype in (torch.float16, torch.bfloat16, torch.float32)
        if tuple(tensor.shape) != shape or not right:
            kinds = " or ".join(map(str, dtypes)) or "floating point"
            raise BadInput(self.path, f"{name} {shape_of(tensor)} {tensor.dtype}", f"{list(shape)} {kinds}", FIX)
        if not tensor.float().isfinite().all():
            raise BadInput(self.path, f"{name}: not finite", "finite numbers", FIX)
        if name.endswith(("_scale", "_factor")) and (tensor < 0).any():
            raise BadInput(self.path, f"{name}: below zero", "scales, which are above it", FIX)
        return tensor

    def take_if(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        """A tensor that may be absent."""
        return self.take(name, shape) if name in self.left else None

    def check_empty(self) -> None:
        """BadInput if something is left, which the model would then lack."""
        if self.left:
            found = f"{len(self.left)} tensors that are not handled, such as {min(self.left)}"
            raise BadInput(self.path, found, "the tensors of a Llama", "convert it again in a format of FORMATS")


def _assembled(config: LlamaConfig, ranks, form: Format, kv, table, sm) -> Llama:
    with torch.device("meta"):
        model = Llama(config)
    width, tp = config.hidden_size, len(ranks)
    _put(model.model.embed_tokens, _embedding(config, ranks, table))
    _put(model.model.norm, _shared(ranks, NORM, (width,)))
    rows = -(-config.vocab_size // tp)
    head = torch.cat([rank.take(HEAD, (rows, width)) for rank in ranks])
    _put(model.lm_head, head[: config.vocab_size].float())
    for number, layer in enumerate(model.model.layers):
        prefix = f"transformer.layers.{number}."
        for ours, theirs in NORMS.items():
            _put(layer.get_submodule(theirs), _shared(ranks, f"{prefix}{ours}.weight", (width,)))
        for target, place in PLACES.items():
            block = layer.get_submodule(place.block)
            shapes = [tuple(getattr(block, name).weight.shape) for name in place.layers]
            pieces = [_pieces(rank, prefix + target, shapes, place.axis, tp, form, sm) for rank in ranks]
            for name, parts in zip(place.layers, zip(*pieces, strict=True), strict=True):
                whole = parallel.stack(parts, place.axis, prefix + target)
                if form.algo is None:
                    _put(getattr(block, name), whole.codes.float())
                else:
                    setattr(block, name, QuantizedLinear(whole))
        if kv:
            layer.self_attn.cached = QuantizedCache(_cache_scale(ranks, prefix))
    return model


def _put(module, tensor):
    """Give a module of the device meta its weight: what a file has not is never made."""
    module.weight = nn.Parameter(tensor)


def _shared(ranks, name, shape):
    """A tensor that every GPU holds whole."""
    tensors = [rank.take(name, shape) for rank in ranks]
    if differing := [
        rank.path for rank, tensor in zip(ranks, tensors, strict=True) if not torch.equal(tensor, tensors[0])
    ]:
        raise BadInput(differing[0], f"{name} differs from that of rank 0", "the same on every GPU", FIX)
    return tensors[0].float()


def _cache_scale(ranks, prefix):
    """The scale of a layer's FP8 cache; ModelOpt adds those of keys and values, the larger of which it is."""
    scale = _shared(ranks, prefix + KV_SCALE, (1,))
    for rank in ranks:
        parts = [rank.take_if(prefix + KV_SCALE.replace("kv", letter), (1,)) for letter in "kv"]
        found = [part for part in parts if part is not None]
        if found and not torch.equal(torch.stack(found).float().amax(0), scale):
            raise BadInput(rank.path, f"{prefix}{KV_SCALE} {scale.item():g}", "the larger of k's and v's", FIX)
    return scale


def _embedding(config, ranks, table):
    """The table of embeddings, which lies whole on every GPU, or in parts of its rows or columns."""
    rows, width = config.vocab_size, config.hidden_size
    if not entry(table, "use_parallel_embedding", False, ranks[0].path.with_name(CONFIG), FIX) or len(ranks) == 1:
        return _shared(ranks, EMBEDDING, (rows, width))
    axis = table.get("embedding_sharding_dim", 0)
    shape = (-(-rows // len(ranks)), width) if axis == 0 else (rows, width // len(ranks))
    return torch.cat([rank.take(EMBEDDING, shape) for rank in ranks], axis)[:rows].float()


def _pieces(tensors: _Tensors, name: str, shapes, axis, tp, form: Format, sm) -> list[Parts]:
    """The weights that one GPU holds under one name, apart."""
    outs = [out // tp if axis == 0 else out for out, _ in shapes]
    inputs = shapes[0][1] // tp if axis else shapes[0][1]
    return parallel.rows(_decoded(tensors, name, sum(outs), inputs, form, sm), outs)


def _decoded(tensors: _Tensors, name: str, out: int, inputs: int, form: Format, sm: int) -> Parts:
    """The parts of one linear layer from its tensors."""
    weight = f"{name}.weight"
    if form.algo is None:
        return Parts(tensors.take(weight, (out, inputs)), torch.ones(1, 1))
    if form.preprocessed:
        packed = tensors.take(weight, (inputs, out * form.bits // 8), torch.int8)
        scale = tensors.take(f"{name}.per_channel_scale", (out,))
        return Parts(mixed_gemm.unpack(packed, form.bits, sm).T, scale[:, None], bits=form.bits)
    prequant = tensors.take_if(f"{name}.prequant_scaling_factor", (inputs,))
    scaling = f"{name}.weights_scaling_factor"
    if form.bits == 4:
        packed = tensors.take(weight, (out // 2, inputs), torch.int8, torch.uint8)
        scale = tensors.take(scaling, (out, inputs // GROUP))
        return Parts(mixed_gemm.split_nibbles(packed.T.contiguous()).T, scale, prequant, None, GROUP, 4)
    activation = tensors.take(f"{name}.activation_scaling_factor", (1,))
    if form.algo == "FP8":
        codes = tensors.take(weight, (out, inputs), E4M3, torch.int8, torch.uint8).view(E4M3)
        return Parts(codes, tensors.take(scaling, (1,)).view(1, 1), prequant, activation)
    codes = tensors.take(weight, (out, inputs), torch.int8)
    return Parts(codes, tensors.take(scaling, (out,))[:, None], prequant, activation)
