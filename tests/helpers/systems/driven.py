"""What a network gives on a drive."""

from helpers.models.runner import runner
from helpers.sequence import rollout


def driven(model, steps):
    """Outputs of every step, in PyTorch on the CPU, the states carried on."""
    config, run = model.config, runner(model, "cpu")
    return [outputs for _, _, outputs in rollout(run, steps, config.states, config.initial_states())]
