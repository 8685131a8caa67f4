"""The door of checkpoints: safetensors files and what torch.save writes."""

import io
import json
import pickle
import warnings
from pathlib import Path
from random import Random

from ci.fuzz import mutate
from ci.fuzz.door import Door, Silent
from helpers.models import load_checkpoint

FILES = ("weights.safetensors", "weights.pth")


def _network():
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Embedding(2, 3))


def _prepare(common):
    import torch
    from safetensors.torch import save_file

    state = _network().state_dict()
    save_file(state, common / FILES[0])
    torch.save({"state_dict": state}, common / FILES[1])
    torch.save(state, common / "old.pth", _use_new_zipfile_serialization=False)
    for name in FILES:
        (folder := common / name[-3:]).mkdir()
        (folder / name).write_bytes((common / name).read_bytes())
        _enter(folder)


def _make(random: Random, common: Path, folder: Path) -> None:
    if random.random() < 0.5:
        data = (common / FILES[0]).read_bytes()
        data = mutate.octets(data, random) if random.random() < 0.4 else with_header(data, random)
        (folder / FILES[0]).write_bytes(data)
    elif random.random() < 0.4:
        source = common / random.choice((FILES[1], "old.pth"))
        (folder / FILES[1]).write_bytes(mutate.octets(source.read_bytes(), random))
    else:
        (folder / FILES[1]).write_bytes(_saved(random))


def with_header(data: bytes, random: Random) -> bytes:
    """A safetensors file with another header: types, shapes, offsets."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(mutate.tree(json.loads(data[8 : 8 + size]), random)).encode()
    claimed = len(header) if random.random() < 0.9 else random.choice(mutate.NUMBERS) % 2**64
    return claimed.to_bytes(8, "little") + header + data[8 + size :]


def _saved(random):
    """A torch.save file of a state dict in which one or two entries are something else."""
    import torch

    warnings.simplefilter("ignore")  # of PyTorch about types of tensors that are to go
    whole = _network().state_dict()
    state = dict(whole)
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice(list(whole))
        tensor = whole[name]
        if random.random() < 0.1:
            state.pop(name, None)
        name = random.choice((name, name, name, f"module.{name}", 5, None, b"x", ("a",), *mutate.TEXTS))
        state[name] = random.choice(_others(torch, tensor, random))
    made = random.choice((state, {"state_dict": state}, {"state_dict": [state]}, {"model": state}, list(state), None))
    stream = io.BytesIO()
    if random.random() < 0.1:
        pickle.dump(made, stream)
    else:
        torch.save(made, stream, _use_new_zipfile_serialization=random.random() < 0.7)
    return stream.getvalue()


def _others(torch, tensor, random):
    """What may stand where a tensor should."""
    bad = tensor.clone().double()
    bad.view(-1)[0] = random.choice((*mutate.REALS, 1e300))
    flat = tensor.float().reshape(-1)
    return (
        bad, bad.float(), bad.half(), tensor.double(), tensor.half(), tensor.bfloat16(), tensor.to(torch.int64),
        tensor.bool(), tensor.to(torch.complex64), tensor.float().to(torch.float8_e4m3fn), tensor.to("meta"),
        tensor[..., None], flat, flat[:0], flat.to_sparse(), torch.quantize_per_tensor(flat, 0.1, 0, torch.qint8),
        tensor.reshape(-1)[:1].expand(2**40), torch.nested.nested_tensor([flat, flat]), tensor.tolist(), None, 1.0,
        "text", {"a": tensor}, torch.nn.Parameter(tensor) if tensor.is_floating_point() else tensor,
    )  # fmt: skip


def _enter(folder):
    import torch

    path = next(folder / name for name in FILES if (folder / name).exists())
    network = load_checkpoint(_network(), path)
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise Silent(f"{name} is not finite")


DOORS = {"checkpoints": Door(_prepare, _make, _enter, FILES)}
