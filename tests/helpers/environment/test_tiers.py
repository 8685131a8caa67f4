"""The tier that fits a machine, and its lock."""

import re

from helpers.environment import tiers
from helpers.environment.doctor import packages
from helpers.environment.doctor.report import FAIL
from tests.helpers.environment.doctor.builders import install, machine, only, tool


def test_the_gpu_tier_that_fits(site, tools):
    def named(driver=None, version=None):
        here = only(site, environ={"PATH": str(tools)})
        if driver:
            tool(tools, "nvidia-smi", f"echo {driver}.10.5")
        if version:
            here.paths = (str(site.parent / version),)
            (site.parent / version).mkdir()
            install(site.parent / version, "tensorrt-cu12", version)
        return re.match(r"make gpu TIER=(\w+)   # then: (\S+)/bin/python", tiers.setup(here, "gpu")).groups()

    assert tiers.setup(only(site), "cpu") == "make setup"
    assert named() == named(570) == named(470) == ("trt10", ".venv-gpu")
    assert named(580) == named(600) == ("trt11", ".venv-gpu")
    assert named(580, "10.3.0") == ("trt10", ".venv-gpu") and named(580, "8.6.0") == ("edge", ".venv-edge")
    assert named(570, "11.0.0") == ("trt10", ".venv-gpu")
    assert [tiers.of_cuda(major) for major in (11, 12, 13)] == [None, "trt10", "trt11"]
    assert [tiers.of_tensorrt(major) for major in (7, 8, "10.3.0", 11)] == [None, "edge", "trt10", "trt11"]
    install(site, "tensorrt-llm", "1.2.1")
    stub = next(c for c in packages.flavors(only(site), "gpu", {}) if c.topic == "tensorrt-llm")
    assert stub.status == FAIL and stub.cure.startswith("make gpu TIER=trtllm   # then: .venv-trtllm/bin/python")


def test_the_lock_of_the_gpu_tier_follows_tensorrt(root, site):
    for name in ("trt10", "trt11"):
        (root / f"requirements/{name}.txt").write_text("six==1\n")
    install(site, "tensorrt-cu13", "11.0.0")
    assert tiers.lock_file(machine(root, [site]), "gpu").name == "trt11.txt"
    assert tiers.lock_file(machine(root), "gpu").name == "trt10.txt"
