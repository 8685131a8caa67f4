"""A detector's weights as the beginning of UniAD: what BEVFormer's mini has learned of pictures, map and boxes."""

from torch import Tensor, nn

from helpers.errors import BadInput
from helpers.files import PathLike
from helpers.models.checkpoints import read_checkpoint

HEAD = "pts_bbox_head."
MOVED = {  # name of the detector: name of UniAD
    f"{HEAD}query_embedding.weight": "query_embedding.weight",
    f"{HEAD}transformer.reference_points.weight": "reference_points.weight",
    f"{HEAD}transformer.reference_points.bias": "reference_points.bias",
}
CHANGES = "linear_pos2", "linear_feat2"  # of the query of a track, from frame to frame
PARTIAL = ("query_embedding.weight", f"{HEAD}transformer.level_embeds")  # those of UniAD have rows behind


def transplant(network: nn.Module, path: PathLike) -> tuple[list[str], list[str]]:
    """Take every tensor of a BEVFormer checkpoint that has a place in a UniAD: (names taken, names left), of the file.

    A tensor fits where name and shape are those of the network. Object queries and their reference points stand under
    names of their own; of queries and embeddings of levels, the network's own further rows stay as they are. A track's
    query begins as one that does not change: what is added to it is zero, and the norm behind that changes little.

    Raises:
        BadInput: the file is no checkpoint, or nothing of it fits.
    """
    own, taken, left = network.state_dict(), [], []
    for name, tensor in read_checkpoint(path).items():
        place = MOVED.get(name, name)
        if place not in own or not _fits(tensor, own[place], place in PARTIAL):
            left.append(name)
            continue
        own[place][: len(tensor)].copy_(tensor) if tensor.dim() else own[place].copy_(tensor)
        taken.append(name)
    if not taken:
        raise BadInput(path, f"{len(left)} tensors, none of which fits", "a checkpoint of BEVFormer's mini",
                       "give checkpoints/bevformer_mini.safetensors")  # fmt: skip
    for name in CHANGES:
        for kind in ("weight", "bias"):
            own[f"query_interact.{name}.{kind}"].zero_()
    return taken, left


def _fits(tensor: Tensor, place: Tensor, partial: bool) -> bool:
    if partial:
        return tensor.shape[1:] == place.shape[1:] and len(tensor) <= len(place)
    return tensor.shape == place.shape and tensor.is_floating_point() == place.is_floating_point()
