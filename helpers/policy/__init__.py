"""A vision-language-action policy: made of a folder, it turns a picture and an instruction into an action."""

from helpers.policy.backbone import load_backbone, save_backbone
from helpers.policy.folder import load, load_network, read_config, save
from helpers.policy.graphs import load_graphs
from helpers.policy.policy import Policy, Prediction

__all__ = ["Policy", "Prediction", "load", "load_backbone", "load_graphs", "load_network", "read_config", "save",
           "save_backbone"]  # fmt: skip
