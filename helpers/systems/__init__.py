"""One folder per system; no other room knows a system's tensors, classes or node names.

A new system is a folder and a line in `helpers.models.SYSTEMS`, `"NAME": "helpers.systems.NAME:Class"`:

    config   a frozen dataclass under `base.Config`, and CONFIGS, its configurations by name: shapes, states, what stays
             in FP32; no torch. "published" is the public checkpoint's, "mini" the one trained on MiniDrive
    inputs   a frame of the data set to arrays; no torch
    decode   outputs to what the task scores; no torch
    network  `Class(config)` in plain PyTorch under the parameter names of the public checkpoint; it keeps `config`, its
             `forward` takes the inputs by name and returns a tuple in the order of `output_shapes`

`make docs` then brings the help texts up to date. To be measured it gets a class in `benchmarks/systems` as well.

`tests/helpers/systems/toy` is a small one, which `test_second_system.py` beside it drives through every verb.
"""
