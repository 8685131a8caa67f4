"""Layered weights: a checkpoint as a tree of folders, one for each module, one file for each tensor, and an index.

    c-model/index.json                            name -> file, shape, dtype, SHA-256 of every tensor
    c-model/backbone/layer1/0/conv1/weight.bin

A file holds a tensor's elements as they lie in memory, row by row, little-endian, and nothing else: `np.fromfile`, a
network definition of TensorRT and a compare of two folders read it alike. What is no plain name of a file is written
as %XX, byte by byte; a name too long for a path goes to `%long/`. Nothing of an index is ever taken for a path.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.arguments import typed
from helpers.errors import BadInput, foreign
from helpers.files import PathLike, as_path, atomic, found_at, open_file, read_json, stays_inside

if TYPE_CHECKING:
    from torch import Tensor

INDEX, FORMAT, SUFFIX = "index.json", "layered weights 1", ".bin"
LONGEST_PART, LONGEST_PATH = 200, 900  # bytes of a name in a folder, and of a path within the tree
UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
DTYPES = {
    **dict.fromkeys(("bool", "uint8", "int8", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
                     "float8_e8m0fnu"), 1),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 2),
    **dict.fromkeys(("int32", "uint32", "float32", "complex32"), 4),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 8),
    "complex128": 16,
}  # fmt: skip  # bytes of an element
FIX = "split the checkpoint again"


@dataclass(frozen=True)
class Entry:
    """A tensor of the index: `file` within the tree, `shape`, `dtype` as torch names it, and the file's SHA-256."""

    file: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str

    @property
    def elements(self) -> int:
        """Numbers in the tensor."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its file."""
        return self.elements * DTYPES[self.dtype]


@typed
def is_layered(folder: PathLike) -> bool:
    """Whether there is a folder with an index."""
    return (as_path(folder) / INDEX).is_file()


def file_of(name: str) -> str:
    """The file of a tensor within the tree, different for different names: "a/b/weight.bin" for "a.b.weight"."""
    path = "/".join(map(_part, name.split("."))) + SUFFIX
    if len(path) > LONGEST_PATH or any(len(part) > LONGEST_PART for part in path.split("/")):
        return f"%long/{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}{SUFFIX}"
    return path


def _part(text):
    coded = UNSAFE.sub(lambda found: "".join(f"%{b:02X}" for b in found[0].encode("utf-8", "surrogatepass")), text)
    return coded or "%"


@typed
def save(state: Mapping, out: PathLike, replace: bool = False) -> Path:
    """Write tensors by name as a tree, whole or not at all; returns the folder.

    Args:
        state: name -> tensor of any type, layout in memory and device.
        replace: an existing tree gives way; without it nothing that exists does, and other folders never do.

    Raises:
        BadInput: something is there already, no tensor, or one that is quantized, sparse, nested or on the device meta.
    """
    out = as_path(out)
    _check_free(out, replace)
    if not state:
        raise BadInput(out, "no tensor", "a state dict with one at least", "look at the checkpoint")
    entries = {}
    with atomic(out, folder=True, new=not replace) as part:
        for name, tensor in state.items():
            data = _bytes_of(name, tensor)
            path = part / file_of(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            dtype = str(tensor.dtype).removeprefix("torch.")
            entries[name] = Entry(file_of(name), tuple(tensor.shape), dtype, hashlib.sha256(data).hexdigest())
        tensors = {name: asdict(entry) for name, entry in entries.items()}
        table = {"format": FORMAT, "sha256": _digest(tensors), "tensors": tensors}
        (part / INDEX).write_text(json.dumps(table, indent=1) + "\n")
        _check_free(out, replace)  # whatever came meanwhile
    return out


def _check_free(out, replace):
    fix = "give another name" + "" if replace else "give another name, or replace it (--replace)"
    if (found := found_at(out)) not in ("a folder", "no such file") or (out.is_dir() and not replace):
        raise BadInput(out, f"{found} is there already", "a name that is free", fix)
    strange = (name for name in _held(out) if not name.endswith(SUFFIX) and name != INDEX)
    if out.is_dir() and (other := next(strange, None)):
        expected = "a tree of layered weights, which alone is replaced"
        raise BadInput(out, f"a folder with {other!r}", expected, "give another name")


def _held(root):
    """Yield the names within `root` of all that is no folder, links counting as files."""
    with foreign(root, "a folder whose content can be listed", "give another name"):
        for path in root.rglob("*"):
            if path.is_symlink() or not path.is_dir():
                yield path.relative_to(root).as_posix()


def _bytes_of(name, tensor):
    """The elements of a tensor as bytes, row by row."""
    import torch

    fix = "leave it out, or dequantize it and make it dense"
    if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
        raise BadInput(f"tensor {name!r}", f"a {type(tensor).__name__}", "a tensor under a text", "pass a state dict")
    kind = str(tensor.dtype).removeprefix("torch.")
    plain = not (tensor.is_nested or tensor.is_quantized or tensor.is_meta) and tensor.layout == torch.strided
    if not plain or kind not in DTYPES:
        found = f"{kind}, {tensor.layout}, on {tensor.device}, nested {tensor.is_nested}"
        raise BadInput(f"tensor {name!r}", found, "a dense tensor of plain numbers", fix)
    with foreign(f"tensor {name!r}", "a tensor that fits into memory", fix):
        dense = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        return dense.reshape(-1).view(torch.uint8).numpy().data


@typed
def index(folder: PathLike) -> dict[str, Entry]:
    """The entries of a tree by the tensors' names, in the checkpoint's order; torch is not needed.

    Raises:
        BadInput: no index, one that was changed, or a file that is absent, of another size or not in the index.
    """
    folder = as_path(folder)
    path = folder / INDEX
    table = read_json(path, "the index of layered weights", "give the folder that `weights split` wrote")
    tensors = table.get("tensors") if isinstance(table, dict) and table.get("format") == FORMAT else None
    if not isinstance(tensors, dict) or not tensors:
        raise BadInput(path, "no table of tensors", f"a table with format {FORMAT!r} and `tensors`", FIX)
    entries = {name: _entry(path, name, row) for name, row in tensors.items()}
    if table.get("sha256") != _digest({name: asdict(entry) for name, entry in entries.items()}):
        raise BadInput(path, "entries that are not those it was written with", f"SHA-256 {table.get('sha256')}", FIX)
    _check_files(folder, entries)
    return entries


def _digest(tensors):
    return hashlib.sha256(json.dumps(tensors).encode()).hexdigest()


def _entry(path, name, row):
    """The entry of a row of the index, every field as it can only be."""
    row = row if isinstance(row, dict) else {}
    shape = row.get("shape")
    sizes = isinstance(shape, list) and all(type(size) is int and 0 <= size < 1 << 48 for size in shape)
    wrong = {
        "file": row.get("file") != file_of(name),
        "shape": not sizes or len(shape) > 64,
        "dtype": not isinstance(row.get("dtype"), str) or row["dtype"] not in DTYPES,
        "sha256": not isinstance(row.get("sha256"), str),
    }
    if fields := [field for field, is_wrong in wrong.items() if is_wrong]:
        found = ", ".join(f"{field} {row.get(field)!r:.80}" for field in fields)
        raise BadInput(path, f"{name!r:.80}: {found}", f"file {file_of(name)!r}, a shape, a dtype, a digest", FIX)
    return Entry(row["file"], tuple(shape), row["dtype"], row["sha256"])


def _check_files(folder, entries):
    held = set(_held(folder)) - {INDEX}
    if extra := sorted(held - {entry.file for entry in entries.values()}):
        raise BadInput(folder / extra[0], f"{len(extra)} files that the index does not list", "those alone",
                       "remove them, or split the checkpoint again")  # fmt: skip
    for name, entry in entries.items():
        path = folder / entry.file
        if entry.file not in held or not stays_inside(entry.file, folder) or not path.is_file():
            found = found_at(path) if not path.is_symlink() else "a link that leads to no file of the folder"
            raise BadInput(path, found, f"the file of {name!r:.80}", FIX)
        if (size := path.stat().st_size) != entry.nbytes:
            expected = f"{entry.nbytes:,} bytes: {entry.dtype} {list(entry.shape)}"
            raise BadInput(path, f"{size:,} bytes", expected, FIX)


@typed
def read(folder: PathLike, module: str = "") -> dict[str, Tensor]:
    """The tensors of a tree by name, bit by bit those that were saved, in their order.

    Args:
        module: "backbone.layer1" for what is in it alone; the rest is then not read.

    Raises:
        BadInput: as `index`, a file with another content, or no such module.
    """
    folder = as_path(folder)
    entries = index(folder)
    chosen = {name: entry for name, entry in entries.items() if not module or f"{name}.".startswith(f"{module}.")}
    if not chosen:
        modules = ", ".join(dict.fromkeys(name.partition(".")[0] for name in entries))
        raise BadInput("module", repr(module), f"a module of {folder}, such as {modules:.200}", "correct the name")
    return {name: _tensor(folder, name, entry) for name, entry in chosen.items()}


def _tensor(folder: Path, name: str, entry: Entry) -> Tensor:
    import torch

    data = data_of(folder, name, entry)
    flat = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
    return flat.view(getattr(torch, entry.dtype)).reshape(entry.shape)


def data_of(folder: Path, name: str, entry: Entry) -> bytearray:
    """The bytes of a tensor's file, which are those that were written."""
    path = folder / entry.file
    expected = f"the {entry.nbytes:,} bytes of {name!r:.80}"
    with foreign(path, expected, FIX), open_file(path) as stream:
        data = bytearray(stream.read(entry.nbytes))
        if len(data) != entry.nbytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise BadInput(path, "content of another SHA-256", f"{entry.sha256} of {name!r:.80}", FIX)
        return data
