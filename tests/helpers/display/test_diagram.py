"""The diagram of a network: its words say what its picture shows."""

import pytest

from helpers import display, models
from helpers.systems.bevformer.stages import stages
from helpers.systems.fbocc.stages import stages as fbocc_stages

STAGES = [("A", "reads", "2 x 3"), ("B", "writes", "boxes")]


def test_words_follow_the_stages_and_the_memory():
    found = display.network_diagram(STAGES, ("B", "A", "the map"))
    assert found.alt.endswith(
        "A (reads) gives 2 x 3; B (writes) gives boxes. the map: from B back to A on the next frame."
    )
    assert found.data[:4] == b"\x89PNG"
    assert "next frame" not in display.network_diagram(STAGES).alt


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
