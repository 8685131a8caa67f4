"""The diagram of a network: its words say what its picture shows."""

import re

import pytest

from helpers import display, models
from helpers.systems.bevformer.stages import stages
from helpers.systems.fbocc.stages import stages as fbocc_stages

STAGES = [("A", "reads", "2 x 3"), ("B", "writes", "boxes")]


def words(memory=None):
    return " ".join(re.sub(r"<[^>]*>", " ", display.network_diagram(STAGES, memory).data).split())


def test_words_follow_the_stages_and_the_memory():
    assert words() == "A reads gives 2 x 3 ➜ B writes gives boxes"
    assert words(("B", "A", "the map")) == f"{words()} ↻ B ➜ A : the map"
    assert words(("B", "B", "the map")) == f"{words()} ↻ B : the map"


def test_stages_stand_below_each_other_where_it_is_narrow():
    assert "flex-wrap:wrap" in display.network_diagram(STAGES).data


def test_memory_of_a_stage_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="none of the stages"):
        display.network_diagram(STAGES, ("B", "C", "the map"))


def test_bevformers_stages_have_the_shapes_of_the_configuration():
    for name in ("mini", "published"):
        config = models.config("bevformer", name)
        rows, memory = stages(config)
        leaves = " ".join(row[2] for row in rows)
        for number in (*config.image_size, config.embed_dims, config.bev_h, config.num_query):
            assert str(number) in leaves
        assert {memory[0], memory[1]} <= {row[0] for row in rows}


def test_fboccs_stages_have_the_shapes_of_the_configuration():
    for name in ("mini", "published"):
        config = models.config("fbocc", name)
        rows, memory = fbocc_stages(config)
        leaves = " ".join(row[2] for row in rows)
        for number in (*config.image_size, config.neck_channels, config.depth_bins, *config.volume):
            assert str(number) in leaves
        assert {memory[0], memory[1]} <= {row[0] for row in rows}
