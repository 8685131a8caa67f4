"""OpenVLA so small that it runs in milliseconds, in both published forms."""

from helpers.systems.openvla.config import HALF, IMAGENET, LLAMA, Config, Tower

LANGUAGE = LLAMA | {
    "vocab_size": 704,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 320,
}
DINO = Tower(width=16, depth=2, heads=2, hidden=24, registers=2, layer_scale=True, mean=IMAGENET[0], std=IMAGENET[1])
SIGLIP = Tower(width=24, depth=2, heads=2, hidden=24, pool=True, mean=HALF[0], std=HALF[1])
FUSED = Config(name="tiny", towers=(DINO, SIGLIP), language=LANGUAGE, image_size=(28, 28))
SINGLE = Config(
    name="single", towers=(SIGLIP,), language=LANGUAGE, image_size=(28, 28), resize="letterbox", prompt="vicuna",
    reasoning=True,
)  # fmt: skip
STATISTICS = {
    "action": {
        "q01": [-0.1, -0.2, -0.3, -1, -1, -1, 0],
        "q99": [0.1, 0.2, 0.3, 1, 1, 1, 1],
        "mask": [True] * 6 + [False],
    }
}
