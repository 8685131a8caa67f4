"""The locks as the tests read them."""

from ci.setup import lock
from helpers.files import ROOT

TIERS = lock.TIERS


def pins(tier):
    """{name: version} of a lock."""
    return dict(pin.split("==") for pin in lock.pins_of(ROOT / f"requirements/{tier}.txt"))


def hashes(name):
    """{"name==version": hashes} of a lock."""
    return lock.hashes_of(ROOT / f"requirements/{name}.txt")
