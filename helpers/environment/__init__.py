"""The machine a lesson runs on: what is installed, whether it fits, what an error means, and what has to be patched."""

from helpers.environment.checkup import doctor
from helpers.environment.machine import Machine
from helpers.environment.message_table import explain, messages, search
from helpers.environment.patching import patch, status, unpatch
from helpers.environment.start import PACKAGES, TIERS, begin, versions

__all__ = [
    "PACKAGES",
    "TIERS",
    "Machine",
    "begin",
    "doctor",
    "explain",
    "messages",
    "patch",
    "search",
    "status",
    "unpatch",
    "versions",
]
