"""The stages of FB-OCC in words, for a diagram. No torch."""

from helpers.arguments import typed
from helpers.systems.fbocc.config import Config

Stage = tuple[str, str, str]


@typed
def stages(config: Config) -> tuple[list[Stage], tuple[str, str, str]]:
    """What `helpers.display.network_diagram` draws: (name, what it does, what leaves it) in order, and the memory."""
    height, width = config.image_size
    levels, rows, columns = config.volume
    found = [
        ("Pictures", "six cameras", f"6 × 3 × {height} × {width}"),
        ("Backbone", "features of each picture\n(ResNet, FPN)", f"6 × {config.neck_channels}\nfeature maps"),
        ("Depth", "how far away is a pixel?\na distribution", f"context and\n{config.depth_bins} depth bins"),
        ("Voxels", "pixels are lifted, and\ncells ask the cameras", f"{columns} × {rows} × {levels}\nvoxels"),
        ("Fusion", "with the voxels\nof earlier frames", "one volume"),
        ("Head", "a class for each voxel", "200 × 200 × 16\nlabels"),
    ]
    return found, (
        "Fusion",
        "Fusion",
        "memory: the volumes of earlier frames come back on the next one, moved with the vehicle",
    )
