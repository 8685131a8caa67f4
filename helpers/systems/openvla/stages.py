"""The stages of OpenVLA in words, for a diagram. No torch."""

from helpers.arguments import typed
from helpers.systems.openvla.config import Config

Stage = tuple[str, str, str]


@typed
def stages(config: Config) -> tuple[list[Stage], tuple[str, str, str]]:
    """What `helpers.display.network_diagram` draws: (name, what it does, what leaves it) in order, and the loop."""
    height, width = config.image_size
    features = sum(tower.width for tower in config.towers)
    found = [
        ("Picture", "of one camera", f"{len(config.towers)} × 3 × {height} × {width}"),
        ("Towers", "DINOv2 and SigLIP" if len(config.towers) == 2 else "SigLIP", f"{config.patches} × {features}"),
        ("Projector", "features become\nembeddings", f"{config.patches} × {config.language['hidden_size']}"),
        ("Llama", "reads picture and\ninstruction", "one token\nafter another"),
        ("Action", f"{config.bins} tokens are\nvalues of −1 … 1", "7 numbers"),
    ]
    return found, ("Llama", "Llama", "each token is read before the next one is told")
