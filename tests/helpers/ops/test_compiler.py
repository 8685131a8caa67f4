"""What a compiler's report and listing say of kernels."""

import pytest

from helpers.errors import BadInput
from helpers.ops import compiler

REPORT = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4slowPf' for 'sm_87'
ptxas info    : Function properties for _Z4slowPf
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 38 registers, used 0 barriers, 452 bytes cmem[0]
ptxas info    : Compiling entry function '_Z4fastPf' for 'sm_87'
ptxas info    : Function properties for _Z4fastPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 53 registers, used 1 barriers, 5120 bytes smem, 456 bytes cmem[0]
"""
LISTING = """\t.section\t.text._Z4fastPf,"ax",@progbits
.text._Z4fastPf:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/              @!P0 LDG.E.128.CONSTANT R4, [R2.64] ;
        /*0020*/             @!UP1 HFMA2 R5, R4, R6, R5 ;
        /*0030*/              @!P0 LDG.E.128.CONSTANT R8, [R2.64+0x10] ;
        /*0038*/                   STG.E.128 [R2.64], R8 ;
.L_x_0:
        /*0040*/                   BRA `(.L_x_0);
\t.section\t.text._Z4slowPf,"ax",@progbits
.text._Z4slowPf:
        /*0000*/                   LDG.E.U16 R4, [R2.64] ;
"""
SOURCE = """extern "C" __global__ void twice(const float* x, float* y) {
  __shared__ float kept[4];
  kept[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = 2.0f * kept[3 - threadIdx.x];
}"""


def test_registers_spills_shared_memory_and_instructions_are_read():
    found = compiler.parse(REPORT, LISTING)
    slow, fast = found["_Z4slowPf"], found["_Z4fastPf"]
    assert (slow.registers, slow.spilled, slow.shared) == (38, 8, 0)
    assert (fast.registers, fast.spilled, fast.shared) == (53, 0, 5120)
    assert slow.instructions == {"LDG.E.U16": 1}
    assert fast.instructions == {"MOV": 1, "LDG.E.128.CONSTANT": 2, "HFMA2": 1, "STG.E.128": 1, "BRA": 1}


def test_a_program_is_that_of_cuda_home_then_of_the_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "MACHINE", str(tmp_path / "machine"))
    folders = {"asked": "asked", "machine": "machine", "packages": f"packages/{compiler.WHEELS}"}
    paths = {name: tmp_path / folder / "bin/nvcc" for name, folder in folders.items()}
    asked, packages = {"CUDA_HOME": str(tmp_path / "asked")}, ["", str(tmp_path / "packages")]
    assert compiler.program("nvcc", asked, packages) is None
    for name, environ in (("packages", asked), ("machine", {}), ("asked", asked)):
        paths[name].parent.mkdir(parents=True)
        paths[name].touch()
        assert compiler.program("nvcc", environ, packages) == paths[name]


def test_without_a_compiler_the_fix_is_the_set_up(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "program", lambda name: None)
    with pytest.raises(BadInput, match=r"no nvcc(.|\n)*make setup"):
        compiler.kernels(tmp_path / "kernel.cu")


def test_the_compiler_of_the_cpu_tier(tmp_path):
    """nvcc and nvdisasm are packages of the CPU tier; other tiers take what the machine has."""
    if compiler.program("nvcc") and compiler.program("nvdisasm"):
        (tmp_path / "kernel.cu").write_text(SOURCE)
        [(name, kernel)] = compiler.kernels(tmp_path / "kernel.cu").items()
        assert name == "twice" and kernel.shared == 16 and kernel.instructions["LDG.E"] == 1 and not kernel.spilled
        (tmp_path / "kernel.cu").write_text("int main( {")
        with pytest.raises(BadInput, match=r"kernel\.cu"):
            compiler.kernels(tmp_path / "kernel.cu")


def test_facts_of_the_only_kernel_and_none_without_a_compiler(tmp_path, monkeypatch):
    if compiler.program("nvcc") and compiler.program("nvdisasm"):
        facts = compiler.facts('#include "kernels/launch.h"\n' + SOURCE, tmp_path)
        assert facts["shared bytes a block"] == 16 and facts["loads of 32: LDG.E"] == 1
        with pytest.raises(BadInput, match=r"kernel\.cu"):
            compiler.facts("int main( {", tmp_path)
    monkeypatch.setattr(compiler, "program", lambda name: None)
    assert compiler.facts(SOURCE, tmp_path) == {}


def test_the_same_source_as_host_code(tmp_path):
    source = '#include "launch.h"\n#include "kernels/bev_pool_v2.h"\nONRAMP_EXPORT int twice(int x) { return 2 * x; }'
    assert compiler.host(source, tmp_path).twice(21) == 42
    assert compiler.host(source.replace("2 * x", "3 * x"), tmp_path).twice(21) == 63
    with pytest.raises(BadInput, match=r"y.? was not declared.*, in the line `ONRAMP_EXPORT int twice.*return y; \}`"):
        compiler.host(source.replace("2 * x", "y"), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_facts_count_accesses_by_their_width():
    facts = compiler.parse(REPORT, LISTING)["_Z4fastPf"].facts()
    assert facts["loads of 128: LDG.E.128"] == 2 and facts["stores of 128: STG.E.128"] == 1
    assert facts["sums in pairs of halves: HFMA2"] == 1
    assert facts["registers a thread"] == 53 and facts["shared bytes a block"] == 5120 and not facts["bytes spilled"]
