"""Training on a map that stays: pictures and what makes the map of them do not learn, so a frame's map is made once.

As published, where the backbone learns nothing in the first stage and the encoder of the map nothing in the second.
"""

import hashlib

import numpy as np
import torch
from torch import nn

from data_scripts.train.bevformer.gathered_attention import gather_visible
from data_scripts.train.uniad.trainer import encoded, feeds_of

HEAD = "pts_bbox_head."
PARTS = (
    "img_backbone.",
    "img_neck.",
    f"{HEAD}positional_encoding.",
    f"{HEAD}bev_embedding.",
    f"{HEAD}transformer.level_embeds",
    f"{HEAD}transformer.cams_embeds",
    f"{HEAD}transformer.can_bus_mlp.",
    f"{HEAD}transformer.encoder.",
)

Arrays = dict[str, np.ndarray]


def digest(network: nn.Module) -> str:
    """Of what makes the map, 12 characters; the same for weights that were stored as float16."""
    found = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        if name.startswith(PARTS):
            found.update(name.encode() + tensor.half().numpy().tobytes())
    return found.hexdigest()[:12]


@torch.inference_mode()
def with_maps(arrays: Arrays, network: nn.Module) -> Arrays:
    """The arrays of a scene (`samples.scene`), bev float16 [frames, cells, C] in the place of the pictures.

    The map of a frame is made with that of the frame before, as in a drive.
    """
    gather_visible(network)
    rows = {name: torch.from_numpy(array) for name, array in arrays.items()}
    config, maps = network.config, []
    bev = torch.from_numpy(config.initial_states()["prev_bev"])
    for frame in range(len(rows["picture"])):
        feeds = feeds_of({name: array[frame] for name, array in rows.items()}, frame == 0, config)
        bev = encoded(network, feeds, bev)[0].transpose(0, 1)
        maps.append(bev[:, 0].half().numpy())
    return {name: array for name, array in arrays.items() if name != "picture"} | {"bev": np.stack(maps)}
