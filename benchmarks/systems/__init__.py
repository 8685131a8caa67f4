"""The systems that can be measured, and what a measurement has to know of each besides its configuration."""

from benchmarks.systems.base import System
from benchmarks.systems.bevformer import BEVFormer
from benchmarks.systems.fbocc import FBOCC
from benchmarks.systems.omnidrive import OmniDrive
from benchmarks.systems.uniad import UniAD

SYSTEMS: dict[str, System] = {system.name: system for system in (BEVFormer(), FBOCC(), OmniDrive(), UniAD())}
