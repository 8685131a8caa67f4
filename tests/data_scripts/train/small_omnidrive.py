"""A mini OmniDrive that a test can train."""

import dataclasses

from helpers.systems.omnidrive.config import CONFIGS
from tests.helpers.systems.omnidrive.tiny import SIZES

SMALL = dataclasses.replace(
    CONFIGS["mini"],
    name="small",
    **SIZES,
    dims=32,
    decoder_heads=2,
    extra=4,
    tokens=32,
    learned=90,
    lanes=(24, 60),
    depths=8,
)
