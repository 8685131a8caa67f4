"""What a configuration has to hold, whatever the system."""

import dataclasses

import pytest

from helpers.errors import BadInput
from helpers.systems import base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Small(base.Config):
    """One state on a map of `size` cells."""

    size: int = 4
    states = {"before": "after"}  # noqa: RUF012

    def input_shapes(self):
        return {"image": (1, 3, 2, 2), "before": (1, self.size)}

    def output_shapes(self):
        return {"after": (1, self.size), "other": (1, 1)}


FIELDS = {"name": "small", "image_scale": 1, "image_size": (2, 2), "image_mean": (0, 0, 0), "image_std": (1, 1, 1)}


def test_a_sound_configuration_starts_from_zeros():
    states = Small(**FIELDS).initial_states()
    assert states["before"].shape == (1, 4) and not states["before"].any() and states.keys() == {"before"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"image_std": (1, 0, 1)}, "image_std"),
        ({"image_std": "abc"}, "image_std"),
        ({"image_mean": (1, 2)}, "image_mean"),
        ({"image_mean": (1, 2, float("nan"))}, "image_mean"),
        ({"image_size": (True, True)}, "image_size"),
        ({"size": -2}, "size=-2"),
        ({"size": 0}, "before of config"),
    ],
)
def test_what_no_network_can_use_is_named(fields, said):
    with pytest.raises(BadInput, match=said):
        Small(**FIELDS | fields)


@pytest.mark.parametrize("states", [{"befor": "after"}, {"before": "afterwards"}, {"before": "other"}])
def test_states_that_do_not_fit_are_named(monkeypatch, states):
    monkeypatch.setattr(Small, "states", states)
    with pytest.raises(BadInput, match="states of config 'small'"):
        Small(**FIELDS)
