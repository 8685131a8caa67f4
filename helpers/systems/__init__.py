"""One folder per system; no other room knows a system's tensors, classes or node names.

A new system is a folder and a line in `helpers.models.SYSTEMS`:

    config   a `base.Config` per configuration, in CONFIGS: shapes, states, what stays in FP32; no torch
    inputs   a frame of the data set to arrays; no torch
    decode   outputs to what the task scores; no torch
    network  the network in plain PyTorch under the parameter names of the public checkpoint

`tests/helpers/systems/toy` is a small one, which `test_second_system.py` beside it drives through every verb.
"""
