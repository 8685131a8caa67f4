"""The formats by name, what config.json calls them, and where each tensor of a layer goes."""

from dataclasses import dataclass
from typing import NamedTuple

from helpers.errors import BadInput

GROUP = 128  # inputs that share a scale in AWQ
SMOOTHING = 0.5  # alpha of SmoothQuant: how much of the outliers the weights take over


@dataclass(frozen=True)
class Format:
    """algo, kv: `quant_algo` and `kv_cache_quant_algo` of config.json. bits: of a weight; prequant: inputs scaled."""

    algo: str | None = None
    kv: str | None = None
    dtype: str = "float16"
    bits: int = 16
    prequant: bool = False

    @property
    def measured(self) -> bool:
        """Whether scales are measured on calibration data."""
        return self.prequant or self.kv is not None

    @property
    def preprocessed(self) -> bool:
        """Whether weights lie in the order of a kernel, and so depend on the GPU they were converted for."""
        return self.algo in ("W8A16", "W4A16")


FORMATS = {
    "fp16": Format(),
    "bf16": Format(dtype="bfloat16"),
    "w8a16": Format("W8A16", bits=8),
    "w4a16": Format("W4A16", bits=4),
    "awq": Format("W4A16_AWQ", bits=4, prequant=True),
    "fp8": Format("FP8", "FP8", bits=8),
    "int8_sq": Format("W8A8_SQ_PER_CHANNEL", bits=8, prequant=True),
}


class Place(NamedTuple):
    """Where linear layers of a Llama's layer go. axis: of the weight that tensor parallelism splits (0: rows)."""

    block: str
    layers: tuple[str, ...]
    axis: int


# fc is the gate and gate is what goes up: TensorRT-LLM computes proj(silu(fc(x)) * gate(x)).
PLACES = {
    "attention.qkv": Place("self_attn", ("q_proj", "k_proj", "v_proj"), 0),
    "attention.dense": Place("self_attn", ("o_proj",), 1),
    "mlp.fc": Place("mlp", ("gate_proj",), 0),
    "mlp.gate": Place("mlp", ("up_proj",), 0),
    "mlp.proj": Place("mlp", ("down_proj",), 1),
}
SHARING = (PLACES["attention.qkv"], PLACES["attention.dense"], Place("mlp", ("gate_proj", "up_proj"), 0),
           PLACES["mlp.proj"])  # fmt: skip
NORMS = {"input_layernorm": "input_layernorm", "post_layernorm": "post_attention_layernorm"}
EMBEDDING, NORM, HEAD = "transformer.vocab_embedding.weight", "transformer.ln_f.weight", "lm_head.weight"
KV_SCALE = "attention.kv_cache_scaling_factor"


def chosen(name: str) -> Format:
    """The format of a name; BadInput for one that is none."""
    if name not in FORMATS:
        raise BadInput("format", repr(name), "one of " + ", ".join(FORMATS), "choose one of them")
    return FORMATS[name]
