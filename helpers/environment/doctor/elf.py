"""What a shared library says of itself: processor, libraries it needs, functions it exports, GPUs of its kernels.

Formats: ELF-64 (System V ABI); the CUDA "fat binary" container, whose layout was read from files that nvcc 13.0 made.
"""

import dataclasses
import struct
from pathlib import Path

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike

MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64"}
SHT_DYNAMIC, SHT_DYNSYM, DT_NEEDED = 6, 11, 1
VISIBLE = (1, 2)  # symbols bound globally or weakly
FATBIN_MAGIC = 0xBA55ED50
PTX, CUBIN = 1, 2
FATBINS = (".nv_fatbin", "__nv_relfatbin")  # whole programs, and relocatable device code


@dataclasses.dataclass(frozen=True)
class Library:
    """One shared library.

    Attributes:
        machine: processor, such as "x86_64".
        needed: names of the libraries it is linked against, such as "libnvinfer.so.10".
        exported: names of the functions and data that others find in it.
        cubins: compute capabilities it holds machine code for, such as {"8.6", "8.9"}.
        ptx: compute capabilities it holds PTX for, which later GPUs can compile.
    """

    machine: str
    needed: tuple[str, ...]
    exported: frozenset[str]
    cubins: frozenset[str]
    ptx: frozenset[str]


@typed
def read(path: PathLike) -> Library:
    """The Library in a file; BadInput if it is not an ELF-64 shared library or is cut short."""
    data = Path(path).read_bytes()
    if data[:4] != b"\x7fELF":
        raise BadInput(path, f"a file that begins with {data[:16]!r}", "a shared library (ELF)", "build it again")
    if len(data) < 64 or data[4] != 2 or data[5] != 1:
        raise BadInput(path, "not a whole 64-bit little-endian ELF file", "one", "build it again for this machine")
    machine = MACHINES.get(struct.unpack_from("<H", data, 18)[0], "another processor")
    try:
        sections = _sections(data)
        needed, exported = _dynamic(data, sections), _exported(data, sections)
        cubins, ptx = _kernels(data, sections)
    except (struct.error, IndexError, ValueError) as error:
        raise BadInput(
            path, f"a library cut short ({len(data)} bytes)", "a whole file", "copy or build it again"
        ) from error
    return Library(machine, tuple(needed), frozenset(exported), frozenset(cubins), frozenset(ptx))


def _sections(data):
    """dict of section name -> (type, offset, size, index of the linked section), and the same by index under None."""
    table, entry, count, names = *struct.unpack_from("<Q", data, 40), *struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQII", data, table + k * entry) for k in range(count)]
    start = headers[names][4] if headers else 0
    rows = [(kind, offset, size, link) for _, kind, _, _, offset, size, link, _ in headers]
    named = {_string(data, start + header[0]): row for header, row in zip(headers, rows, strict=True)}
    return named | {None: rows}


def _dynamic(data, sections):
    needed = []
    for kind, offset, size, link in sections[None]:
        if kind != SHT_DYNAMIC:
            continue
        strings = sections[None][link][1]
        for position in range(offset, offset + size, 16):
            tag, value = struct.unpack_from("<qQ", data, position)
            if tag == DT_NEEDED:
                needed.append(_string(data, strings + value))
    return needed


def _exported(data, sections):
    names = set()
    for kind, offset, size, link in sections[None]:
        for position in range(offset, offset + size, 24) if kind == SHT_DYNSYM else ():
            name, about, _, section = struct.unpack_from("<IBBH", data, position)
            if section and about >> 4 in VISIBLE:
                names.add(_string(data, sections[None][link][1] + name))
    return names


def _kernels(data, sections):
    """(cubins, ptx): the compute capabilities named in the fat binaries."""
    cubins, ptx = set(), set()
    for name in FATBINS:
        _, position, size, _ = sections.get(name, (0, 0, 0, 0))
        _read_fatbins(data, position, position + size, cubins, ptx)
    return cubins, ptx


def _read_fatbins(data, position, end, cubins, ptx):
    while position + 16 <= end:
        magic, _, header, length = struct.unpack_from("<IHHQ", data, position)
        if magic != FATBIN_MAGIC:
            position += 8
            continue
        entry, position = position + header, position + header + length
        while entry + 32 <= position:
            kind, _, entry_header, payload = struct.unpack_from("<HHIQ", data, entry)
            architecture = struct.unpack_from("<I", data, entry + 28)[0]
            if kind in (PTX, CUBIN):
                (cubins if kind == CUBIN else ptx).add(f"{architecture // 10}.{architecture % 10}")
            entry += entry_header + payload


def _string(data, offset):
    return data[offset : data.index(b"\0", offset)].decode(errors="replace") if offset < len(data) else ""
