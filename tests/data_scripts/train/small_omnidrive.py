"""A mini OmniDrive that a test can train."""

import dataclasses

from helpers.systems.omnidrive.config import CONFIGS

SMALL = dataclasses.replace(
    CONFIGS["mini"],
    name="small",
    image_scale=0.04,
    image_size=(64, 64),
    image_crop=(32, 64),
    width=32,
    depth=2,
    heads=2,
    global_blocks=(1,),
    window=3,
    dims=32,
    decoder_layers=2,
    decoder_heads=2,
    ffn_dims=64,
    extra=4,
    tokens=32,
    learned=90,
    propagated=8,
    lanes=(24, 60),
    depths=8,
)
