"""The machine a lesson runs on: what is installed, whether it fits, what an error means, and what has to be patched."""

from helpers.environment.doctor.machine import Machine
from helpers.environment.messages import explain, search
from helpers.environment.patches import patch, status, unpatch
from helpers.environment.start import PACKAGES, TIERS, begin, versions

__all__ = ["PACKAGES", "TIERS", "Machine", "begin", "explain", "patch", "search", "status", "unpatch", "versions"]
