"""The stages of UniAD in words, for a diagram. No torch."""

from helpers.arguments import typed
from helpers.systems.uniad.config import Config

Stage = tuple[str, str, str]


@typed
def stages(config: Config) -> tuple[list[Stage], tuple[str, str, str]]:
    """What `helpers.display.network_diagram` draws: (name, what it does, what leaves it) in order, and the memory."""
    height, width = config.image_size
    seconds = config.motion_steps / 2
    rows = [
        ("Pictures", "six cameras", f"6 × 3 × {height} × {width}"),
        ("Encoder", "grid cells ask the cameras\nand the remembered grid", f"grid {config.bev_h} × {config.bev_w}"),
        ("Tracks", f"{config.num_query} new queries and those of\nknown objects ask the grid", "boxes, identities"),
        ("Map", f"{config.map_queries} lane queries\nask the grid", "masks of lanes,\nwhat may be driven on"),
        ("Motion", f"{config.modes} futures of each object ask\nobjects, lanes, the grid", f"paths of {seconds:g} s"),
        ("Occupancy", "vehicles claim the cells\nof a grid of their own", f"{config.occupancy_steps} times\nin 2 s"),
        ("Plan", "the vehicle's own future,\nwith its command", f"{config.plan_steps} points"),
    ]  # fmt: skip
    return rows, (
        "Tracks",
        "Encoder",
        "memory: the grid, and a query of every object, come back on the next frame, moved with the vehicle",
    )
