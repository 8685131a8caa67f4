"""What the doctor looks at: packages, tools, libraries, memory, disk. A test, or a lesson, may hand it another one."""

import contextlib
import dataclasses
import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers import disk
from helpers.files import ROOT, PathLike

PROBES = Path(__file__).with_name("probes.py")
LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/tensorrt/lib",
                   "/opt/tensorrt/lib", "/usr/local/cuda/lib64")  # fmt: skip


def normalized(name: str) -> str:
    """A distribution's name as PEP 503 writes it: lower case, single hyphens."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclasses.dataclass
class Machine:
    """A machine as the doctor sees it.

    Attributes:
        root: the repository.
        python: interpreter that runs the probes.
        paths: folders in which packages are looked for, first ones first.
        environ: environment of probes and tools; PATH and LD_LIBRARY_PATH are taken from it.
        meminfo, cgroup: files that tell the memory and its limit.
        library_folders: where libraries are looked for besides LD_LIBRARY_PATH and the loader's cache.
        temporary: folder for temporary files.
        disk_free: tells the free bytes on the disk that holds a path.
        timeout: seconds that a tool or a probe may take.
        deadline: when (time.monotonic) all of them have to be done; None for no limit.
    """

    root: Path = ROOT
    python: str = sys.executable
    paths: tuple[str, ...] = dataclasses.field(default_factory=lambda: tuple(path for path in sys.path if path))
    environ: dict[str, str] = dataclasses.field(default_factory=lambda: dict(os.environ))
    meminfo: str = "/proc/meminfo"
    cgroup: str = "/sys/fs/cgroup/memory.max"
    library_folders: tuple[str, ...] = LIBRARY_FOLDERS
    temporary: str | None = None
    disk_free: Callable[[PathLike], int] = disk.free
    timeout: float = 8.0
    deadline: float | None = None

    @classmethod
    def of_environment(cls, folder: PathLike, **fields: Any) -> "Machine":
        """The machine as a virtual environment in `folder` sees it, nothing of the one at work included."""
        folder = Path(folder).absolute()
        paths = tuple(map(str, sorted(folder.glob("lib/python3*/site-packages"))))
        return cls(python=str(folder / "bin/python"), paths=paths, **fields)

    @functools.cached_property
    def python_version(self) -> str:
        """Version of the interpreter, such as "3.11.7"; "unknown" if it does not run."""
        if self.python == sys.executable:
            return platform.python_version()
        return self.run(self.python, "-c", "import platform; print(platform.python_version())")[1].strip() or "unknown"

    @functools.cached_property
    def distributions(self) -> dict[str, tuple[str, str]]:
        """Installed distributions: dict of normalized name -> (version, folder), told by the names of folders."""
        found = {}
        for path in self.paths:
            with contextlib.suppress(OSError):
                for entry in sorted(os.listdir(path)):
                    if match := re.fullmatch(r"(.+?)-(\d[^-]*)(?:-py[\d.]+)?\.(?:dist|egg)-info", entry):
                        found.setdefault(normalized(match[1]), (match[2], path))
        return found

    def version(self, *names: str) -> str | None:
        """Version of the first of these distributions that is installed, or None."""
        return next((self.distributions[name][0] for name in names if name in self.distributions), None)

    def module(self, name: str) -> Path | None:
        """Folder or file of a top-level module in `paths`, or None; nothing is imported."""
        for path in self.paths:
            for candidate in (Path(path, name), Path(path, f"{name}.py")):
                if candidate.is_file() or (candidate / "__init__.py").is_file():
                    return candidate
        return None

    @property
    def pip(self) -> str:
        """How to call pip for this interpreter."""
        python = Path(self.python)
        if python.is_relative_to(self.root):
            return f"{python.relative_to(self.root)} -m pip"
        return f"{'python' if self.python == sys.executable else python} -m pip"

    def which(self, tool: str) -> str | None:
        """Path of a tool on PATH, or None."""
        return shutil.which(tool, path=self.environ.get("PATH", os.defpath))

    @functools.cached_property
    def nvidia_smi(self) -> tuple[int, str, str]:
        """What nvidia-smi says of the driver's version: (exit code, output, errors)."""
        return self.run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")

    @property
    def driver(self) -> int | None:
        """Branch of the NVIDIA driver, such as 580, as nvidia-smi tells it; None where it does not."""
        code, output, _ = self.nvidia_smi
        found = re.match(r"(\d+)\.", output.strip())
        return int(found[1]) if code == 0 and found else None

    def run(self, *command: str) -> tuple[int, str, str]:
        """Run a tool: (exit code, output, errors); 127 if it is not there, 124 if it takes too long."""
        program, seconds = self.which(command[0]) or command[0], self.timeout
        if self.deadline is not None:
            seconds = min(seconds, max(self.deadline - time.monotonic(), 0.1))
        try:
            done = subprocess.run([program, *command[1:]], env=self.environ, capture_output=True, text=True,
                                  errors="replace", stdin=subprocess.DEVNULL, timeout=seconds)  # fmt: skip
        except subprocess.TimeoutExpired:
            return 124, "", f"no answer after {seconds:.1f} s"
        except OSError as error:
            return 127, "", str(error)
        return done.returncode, done.stdout, done.stderr

    def probe(self, name: str, *arguments: object) -> dict[str, Any]:
        """Run one function of probes.py in a process of its own.

        Returns:
            dict: what it prints; with the key "error" if it failed or died, and "slow" if it gave no answer in time.
        """
        extra = [path for path in self.paths if path not in sys.path]
        before = [path for path in self.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        changes = {"PYTHONPATH": os.pathsep.join(extra + before), "PYTHONSAFEPATH": "1"}
        machine = dataclasses.replace(self, environ=self.environ | changes)
        code, output, errors = machine.run(self.python, str(PROBES), name, *map(str, arguments))
        with contextlib.suppress(ValueError, IndexError):
            return json.loads(output.splitlines()[-1])
        if code < 0:
            errors = f"{errors}\nthe process died of signal {-code}"
        if code == 124:
            return {"error": errors, "slow": True}
        return {"error": errors.strip().rsplit("\n", 1)[-1] or f"exit code {code}", "log": errors.strip()}

    def libraries(self, stem: str) -> dict[str, int]:
        """Libraries `stem`.so.N that the loader may find: dict of path -> N (major version)."""
        folders = [*self.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep), *self.library_folders]
        paths = [path for folder in folders if folder for path in sorted(Path(folder).glob(f"{stem}.so.*"))]
        cached = [line.rsplit("=> ", 1)[-1].strip() for line in self._loader_cache() if f"{stem}.so." in line]
        found = {}
        for path in [*map(str, paths), *cached]:
            if match := re.search(re.escape(stem) + r"\.so\.(\d+)", path):
                found.setdefault(os.path.realpath(path), int(match[1]))
        return found

    def _loader_cache(self):
        program = self.which("ldconfig") or "/sbin/ldconfig"
        return self.run(program, "-p")[1].splitlines()

    def memory(self) -> tuple[float, float] | None:
        """(total, available) memory in GiB, the limit of a container included; None where it cannot be told."""
        try:
            lines = dict(
                line.split(":", 1)
                for line in Path(self.meminfo).read_text(encoding="utf-8").splitlines()
                if ":" in line
            )
            total, free = (int(lines[key].split()[0]) / 2**20 for key in ("MemTotal", "MemAvailable"))
        except (OSError, KeyError, ValueError):
            return None
        with contextlib.suppress(OSError, ValueError):
            limit = int(Path(self.cgroup).read_text(encoding="utf-8")) / 2**30
            total, free = min(total, limit), min(free, limit)
        return total, free

    def temporary_folder(self) -> str:
        """The folder for temporary files; FileNotFoundError if none can be written."""
        if self.temporary is None:
            return tempfile.gettempdir()
        with tempfile.TemporaryFile(dir=self.temporary):
            return self.temporary

    @property
    def architecture(self) -> str:
        """Such as "x86_64"."""
        return platform.machine()
