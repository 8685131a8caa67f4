"""A Llama with a cache in PyTorch: what an ONNX graph of it is held against, and what generates without one."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.layers.llama import Attention, Layer, Llama, rotary, rotate
from helpers.llm.language_model import LanguageModel


class TorchModel(LanguageModel):
    """A plain or quantized `Llama` whose keys and values stay, on the device and in the type of its weights."""

    @typed
    def __init__(self, model: Llama, capacity: int | None = None) -> None:
        """capacity: tokens of the cache, at most the model's own `max_position_embeddings`, which is the default."""
        config = model.config
        capacity = check_capacity(capacity, config.max_position_embeddings)
        super().__init__(config.vocab_size, config.hidden_size, capacity)
        self.model = model.eval()
        self._weight = model.lm_head.weight
        self._rotation = rotary(capacity, config.head_dim, config.rope_theta, self._weight.device)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def _clear(self, batch):
        config = self.model.config
        shape = batch, config.num_key_value_heads, self.capacity, config.head_dim
        self.keys, self.values = (
            [self._weight.new_zeros(shape) for _ in range(config.num_hidden_layers)] for _ in range(2)
        )

    @torch.no_grad()
    def _run(self, ids, counts, table):
        device = self._weight.device
        start, tokens = torch.from_numpy(self.lengths).to(device), torch.from_numpy(ids).to(device)
        positions = start[:, None] + torch.arange(tokens.shape[1], device=device)
        end = int(self.lengths.max()) + tokens.shape[1]
        x = self._embedded(tokens, torch.from_numpy(table).to(self._weight))
        for layer, keys, values in zip(self.model.model.layers, self.keys, self.values, strict=True):
            x = self._layer(layer, x, positions, keys, values, end)  # type: ignore[arg-type]
        last = torch.from_numpy(counts - 1).to(device)
        x = self.model.model.norm(x[torch.arange(len(last), device=device), last])
        return self.model.lm_head(x).float().cpu().numpy()

    def _embedded(self, ids, table):
        """Embeddings [B, S, hidden_size] of ids, of which those from vocab_size on are rows of the table."""
        words = self.model.model.embed_tokens(ids.clamp(max=self.vocab_size - 1))
        if not len(table):
            return words
        return torch.where((ids >= self.vocab_size)[..., None], table[(ids - self.vocab_size).clamp(min=0)], words)

    def _layer(self, layer: Layer, x, positions, keys, values, end):
        x = x + self._attention(layer.self_attn, layer.input_layernorm(x), positions, keys, values, end)
        return x + layer.mlp(layer.post_attention_layernorm(x))

    def _attention(self, attention: Attention, x, positions, keys, values, end):
        """Keys and values go to their positions in the cache; attention is over its first `end` of them."""
        q, k, v = (
            linear(x).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        cos, sin = (angles[positions][:, None] for angles in self._rotation)
        rows = torch.arange(len(x), device=x.device)[:, None]
        keys[rows, :, positions] = attention.cached(rotate(k, cos, sin)).transpose(1, 2)
        values[rows, :, positions] = attention.cached(v).transpose(1, 2)
        seen = torch.arange(end, device=x.device) <= positions[..., None]
        attended = F.scaled_dot_product_attention(
            rotate(q, cos, sin), keys[:, :, :end], values[:, :, :end], seen[:, None], enable_gqa=True
        )
        return attention.o_proj(attended.transpose(1, 2).flatten(2))


@typed
def check_capacity(capacity: int | None, longest: int) -> int:
    """The tokens of a cache; BadInput for none, or more than the positions that the model knows."""
    if capacity is None:
        return longest
    if not 1 <= capacity <= longest:
        raise BadInput("capacity", capacity, f"1 to {longest} tokens, the model's positions", "choose another")
    return capacity


def embeddings(model: Llama) -> np.ndarray:
    """The table of a Llama's token embeddings, [vocab_size, hidden_size] float32."""
    return model.model.embed_tokens.weight.detach().float().cpu().numpy()
