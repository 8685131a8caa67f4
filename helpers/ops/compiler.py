"""What compilers make of a kernel, without a GPU: registers, spills and instructions by nvcc, and host code by g++.

Read from the report of `ptxas -v` and from the listing of nvdisasm; both formats as CUDA 13.0 to 13.2 write them.
"""

import collections
import ctypes
import dataclasses
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import ROOT, PathLike, atomic

MACHINE = "/usr/local/cuda"
WHEELS = "nvidia/cu13"  # in site-packages: where NVIDIA's packages put what belongs to CUDA 13
FIX = "make setup"
ENTRY = re.compile(r"Compiling entry function '(\w+)'")
SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
SECTION = re.compile(r"^\.text\.(\w+):")
COUNTED = {
    "loads of 16 bits: LDG.E.U16": "LDG.E.U16",
    "loads of 32: LDG.E": "LDG.E",
    "loads of 64: LDG.E.64": "LDG.E.64",
    "loads of 128: LDG.E.128": "LDG.E.128",
    "stores of 128: STG.E.128": "STG.E.128",
    "sums in pairs of halves: HFMA2": "HFMA2",
}
HEADERS = (ROOT / "plugins", ROOT / "plugins/kernels")
FACTS = ("registers a thread", "bytes spilled", "shared bytes a block", *COUNTED)
ERROR = re.compile(r"^(?:<stdin>:(\d+):)?.*?error: (.*)", re.MULTILINE)  # of g++, which reads the source from a pipe
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One kernel as compiled for one GPU.

    Attributes:
        registers: per thread.
        spilled: bytes per thread that did not fit into registers and are stored to memory and read again.
        shared: bytes of shared memory per block.
        instructions: name with its modifiers, such as "LDG.E.128" -> how often it stands in the code.
    """

    registers: int
    spilled: int
    shared: int
    instructions: collections.Counter[str]

    def facts(self) -> dict[str, int]:
        """{one of FACTS: number}, for a table."""
        counted = [self.instructions[name] + self.instructions[f"{name}.CONSTANT"] for name in COUNTED.values()]
        return dict(zip(FACTS, (self.registers, self.spilled, self.shared, *counted), strict=True))


def program(name: str, environ: Mapping[str, str] = os.environ, paths: Iterable[str] = sys.path) -> Path | None:
    """A program of CUDA such as "nvcc", or None: that of CUDA_HOME, of the machine, or of the packages in `paths`."""
    homes = [environ.get("CUDA_HOME") or MACHINE, *(f"{folder}/{WHEELS}" for folder in paths if folder)]
    found = (Path(home, "bin", name) for home in homes)
    return next((path for path in found if path.is_file()), None)


@typed
def kernels(source: PathLike, arch: str = "sm_87", include: Iterable[PathLike] = ()) -> dict[str, Kernel]:
    """Compile a CUDA source for one GPU: {name of a kernel, as the linker knows it: Kernel}.

    Args:
        arch: such as "sm_87" (Orin).
        include: folders of headers.

    Raises:
        BadInput: no nvcc or no nvdisasm, or what the compiler said of the source.
    """
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernels.cubin"
        options = ["-cubin", f"-arch={arch}", "-std=c++17", "-O3", "-Xptxas", "-v", *(f"-I{path}" for path in include)]
        report = _run(source, "nvcc", *options, source, "-o", cubin)
        return parse(report, _run(source, "nvdisasm", "-c", cubin))


@typed
def facts(source: str, folder: PathLike, arch: str = "sm_87") -> dict[str, int]:
    """`Kernel.facts` of the only kernel in a CUDA source of plugins/, which is written into `folder`; {} without nvcc.

    Raises:
        BadInput: what the compiler said of the source.
    """
    if not (program("nvcc") and program("nvdisasm")):
        return {}
    path = Path(folder) / "kernel.cu"
    with atomic(path) as part:
        part.write_text(source)
    [kernel] = kernels(path, arch, HEADERS).values()
    return kernel.facts()


@typed
def host(source: str, folder: PathLike) -> ctypes.CDLL:
    """A CUDA source of plugins/ compiled as host code into `folder` and loaded.

    Raises:
        BadInput: no g++, or its first error, with the line that it is in.
    """
    path = Path(folder) / f"lib{hashlib.sha256(source.encode()).hexdigest()[:16]}.so"
    headers = [f"-I{each}" for each in HEADERS]
    command = ["g++", "-O1", "-std=c++17", "-ffp-contract=off", "-shared", "-fPIC", *headers, "-x", "c++", "-"]
    with atomic(path) as part:
        try:
            made = subprocess.run([*command, "-o", str(part)], input=source, text=True, capture_output=True)
        except FileNotFoundError as error:
            raise BadInput(path, "no g++ on this machine", "a C++ compiler", "install g++") from error
        if made.returncode:
            raise BadInput(path, _first_error(made.stderr, source), "C++ that compiles", "mend the first error")
    return ctypes.CDLL(str(path))


def parse(report: str, listing: str) -> dict[str, Kernel]:
    """The kernels in a report of ptxas and a listing of nvdisasm."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    name = ""
    for line in listing.splitlines():
        if section := SECTION.match(line):
            name = section[1]
        elif instruction := INSTRUCTION.match(line):
            counts[name][instruction[1]] += 1
    _, *parts = ENTRY.split(report)
    return {
        entry: Kernel(_number(USED, text), _number(SPILLS, text, 2), _number(SHARED, text), counts[entry])
        for entry, text in zip(parts[::2], parts[1::2], strict=True)
    }


def _first_error(said, source):
    found = ERROR.search(said)
    if not found:
        return said
    return found[2] + (f", in the line `{source.splitlines()[int(found[1]) - 1].strip()}`" if found[1] else "")


def _number(pattern, text, group=1):
    found = pattern.search(text)
    return int(found[group]) if found else 0


def _run(source, name, *arguments):
    path = program(name)
    if path is None:
        raise BadInput(source, f"no {name} on this machine", "nvcc and nvdisasm", FIX)
    done = subprocess.run([str(path), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise BadInput(source, (done.stderr or done.stdout).strip()[-2000:], f"a source that {name} takes",
                       "mend the first error above")  # fmt: skip
    return done.stdout + done.stderr
