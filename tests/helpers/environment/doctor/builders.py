"""Machines to examine: packages, tools and libraries that are really made, in folders of the test."""

import os
import subprocess
import sys
from pathlib import Path

from helpers.environment.machine import Machine
from helpers.files import ROOT
from tests.builders.waiting import HANG

H100 = {"cuda": 13000, "code": 0, "gpus": [{"name": "NVIDIA H100", "sm": "9.0", "memory": 80 * 2**30}]}
NONE = {"absent": "libcuda.so.1: cannot open shared object file"}


def install(site, name, version, module=None, code=""):
    """A distribution and, unless `module` is None, its module."""
    (site / f"{name.replace('-', '_')}-{version}.dist-info").mkdir()
    if module:
        (site / module).mkdir(exist_ok=True)
        (site / module / "__init__.py").write_text(f"__version__ = {version!r}\n{code}")


def tool(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def compiled(path, source="int unused(void) { return 1; }", *options):
    """A shared library made by gcc; "{path}" in the options stands for its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-x", "none", "-o", str(path), *options]
    subprocess.run(command, input=source, text=True, check=True)
    return path


def needing(path, soname, source="int unused(void) { return 1; }"):
    """A library linked against `soname`, which is then taken away."""
    other = compiled(path.parent / soname, "int other(void) { return 1; }", f"-Wl,-soname,{soname}")
    compiled(path, source, "-Wl,--no-as-needed", str(other))
    other.unlink()
    return path


def kernels(*architectures, kind=2):
    """C source of a section like those that nvcc writes: one fat binary with an entry for each architecture."""
    entry = ["{k} | (1 << 16)", "64", "8", "0", "0", "0", "0", "{a}", *["0"] * 8, "0", "0"]
    words = [word.format(k=kind, a=a) for a in architectures for word in entry]
    size = 72 * len(architectures)
    header = ["0xBA55ED50", f"1 | ({16} << 16)", str(size), "0"]
    body = ", ".join(header + words)
    return f'__attribute__((section(".nv_fatbin"), used)) static const unsigned fatbin[] = {{{body}}};'


def machine(root=ROOT, packages=(), **changes):
    """A Machine that finds `packages` first, then what is installed here; its disk, memory and time know no limit."""
    environ = dict(os.environ) | changes.pop("environ", {})
    paths = (*map(str, packages), *(path for path in sys.path if path))
    usual = {"paths": paths, "disk_free": lambda path: 2**40, "cgroup": "/absent", "timeout": HANG}
    return Machine(root=Path(root), environ=environ, **usual | changes)


def only(site, **changes):
    """A Machine that finds nothing but the packages in `site`."""
    return machine(paths=(str(site),), **changes)


FAKE_CUDA = """
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
int cuInit(unsigned flags) {{ {init} }}
int cuDriverGetVersion(int* v) {{ *v = {version}; return 0; }}
int cuDeviceGetCount(int* n) {{ *n = {count}; return 0; }}
int cuDeviceGet(int* d, int k) {{ *d = k; return 0; }}
int cuDeviceGetName(char* s, int n, int d) {{ strcpy(s, "NVIDIA L4"); return 0; }}
int cuDeviceGetAttribute(int* v, int a, int d) {{ *v = a == 75 ? 8 : 9; return 0; }}
int cuDeviceTotalMem_v2(size_t* m, int d) {{ *m = 24ul << 30; return 0; }}
"""


def with_driver(tmp_path, init="return 0;", version=12080, count=1, smi=None, **changes):
    """A Machine whose driver is a library made here."""
    compiled(tmp_path / "driver/libcuda.so.1", FAKE_CUDA.format(init=init, version=version, count=count))
    folder = tmp_path / "smi"
    folder.mkdir()
    if smi:
        tool(folder, "nvidia-smi", smi)
    path = f"{folder}:{os.environ['PATH']}"
    return machine(environ={"LD_LIBRARY_PATH": str(tmp_path / "driver"), "PATH": path}, **changes)
