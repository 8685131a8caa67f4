"""The stages of BEVFormer in words, for a diagram. No torch."""

from helpers.arguments import typed
from helpers.systems.bevformer.config import Config

Stage = tuple[str, str, str]


@typed
def stages(config: Config) -> tuple[list[Stage], tuple[str, str, str]]:
    """What `helpers.display.network_diagram` draws: (name, what it does, what leaves it) in order, and the memory."""
    height, width = config.image_size
    rows = [
        ("Pictures", "six cameras", f"6 × 3 × {height} × {width}"),
        ("Backbone", "features of each picture\n(ResNet, FPN)", f"6 × {config.embed_dims}\nfeature maps"),
        ("Encoder", "grid cells ask the cameras\nand the remembered grid", f"grid {config.bev_h} × {config.bev_w}"),
        ("Decoder", f"{config.num_query} object queries\nask the grid", f"{config.num_query} queries"),
        ("Heads", "a class and a box\nfor each query", "boxes"),
    ]
    return rows, (
        "Encoder",
        "Encoder",
        "memory: the grid comes back on the next frame, turned and shifted with the vehicle",
    )
