"""The stages of OmniDrive in words, for a diagram. No torch."""

from helpers.arguments import typed
from helpers.systems.omnidrive.config import Config

Stage = tuple[str, str, str]


@typed
def stages(config: Config) -> tuple[list[Stage], tuple[str, str, str]]:
    """What `helpers.display.network_diagram` draws: (name, what it does, what leaves it) in order, and the memory."""
    height, width = config.image_size
    rows, columns = config.feature_size
    lanes, _ = config.lanes
    tokens = f"{config.vision_tokens} × {config.tokens}"
    found = [
        ("Pictures", "six cameras", f"6 × 3 × {height} × {width}"),
        ("Backbone", "patches look at each other\n(EVA-02)", f"6 × {rows} × {columns} patches\nof {config.width}"),
        ("Rays", "where does each\npatch look?", f"{config.depths} points\nof each ray"),
        ("Boxes", f"{config.queries} object queries\nask the patches", f"{config.queries} boxes"),
        ("Lanes", f"{lanes} lane queries\nask the patches", f"{lanes} lines of\n{config.points} points"),
        ("Tokens", f"{2 * config.extra} extra queries saw all,\none token tells the motion", tokens),
        ("Llama", "reads tokens and question", "a path in words"),
    ]  # fmt: skip
    return found, (
        "Boxes",
        "Lanes",
        "memory: the best queries come back on the next frame, moved with the vehicle",
    )
