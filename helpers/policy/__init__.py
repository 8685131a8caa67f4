"""A vision-language-action policy: made of a folder, it turns a picture and an instruction into an action."""

from helpers.policy.folder import load, read_config, save
from helpers.policy.policy import Policy, Prediction

__all__ = ["Policy", "Prediction", "load", "read_config", "save"]
