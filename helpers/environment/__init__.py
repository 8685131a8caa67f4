"""The machine a lesson runs on: what is installed, whether it fits, what an error means, and what has to be patched."""

from helpers.environment import doctor, messages, patches
from helpers.environment.messages import explain
from helpers.environment.start import begin, versions
from helpers.environment.work import work_folder

__all__ = ["begin", "doctor", "explain", "messages", "patches", "versions", "work_folder"]
