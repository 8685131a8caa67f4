"""Pictures of graphs, and their layered drawing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from helpers import display
from helpers.display import graphs
from helpers.display.drawing import COLORS
from helpers.display.layout import _spread, layered
from helpers.errors import BadInput
from tests.builders.graphs import captures
from tests.helpers.display.pictures import near


class TestGraphs:
    def test_colors_tell_the_kinds_and_the_words_name_the_operators(self, model):
        image = display.graph_picture(model)
        assert "4 of 4 operators: Conv, Relu, Own, Add" in image.alt
        for family in ("custom operator", "convolution", "normalization, activation"):
            assert near(image, COLORS[family], 3).sum() > 2000

    def test_a_part_of_it_around_a_node(self, model):
        image = display.graph_picture(model, nodes=["/net/conv/Conv"], max_nodes=2)
        assert "2 of 4 operators: Conv, Relu" in image.alt

    def test_a_tensor_that_everything_reads_does_not_crowd_the_picture(self):
        readers = [helper.make_node("Abs", ["hub"], [f"r{k}"], name=f"r{k}") for k in range(5)]
        chain = [helper.make_node("Neg", [f"c{k}" if k else "hub"], [f"c{k + 1}"], name=f"c{k}") for k in range(6)]
        nodes = [helper.make_node("Exp", ["image"], ["hub"], name="hub"), *readers, *chain]
        makers = {tensor: i for i, node in enumerate(nodes) for tensor in node.output}
        chosen = graphs._neighborhood(nodes, makers, graphs._start(nodes, ["c1"]), 7)
        assert [nodes[i].name for i in chosen] == ["hub", "c0", "c1", "c2", "c3", "c4", "c5"]

    def test_items_are_inputs_operators_outputs_without_weights(self, model):
        items, edges = graphs._items(model.graph, list(model.graph.node), [1, 2])
        assert [text.partition("\n")[0] for text, _ in items] == ["…", "Relu", "Own", "…", "…"]
        assert edges == {(0, 1): "a", (1, 2): "b", (1, 3): "b", (2, 4): "c"}

    def test_a_branch_is_joined_to_what_it_captures(self):
        branches = captures()
        items, edges = graphs._items(branches.graph, list(branches.graph.node), [0, 2])
        place = {text.partition("\n")[0]: index for index, (text, _) in enumerate(items)}
        assert edges[place["Add"], place["If"]] == "doubled"

    def test_unknown_nodes_and_damaged_files_are_refused(self, model, tmp_path):
        with pytest.raises(BadInput, match="nowhere"):
            display.graph_picture(model, nodes=["nowhere"])
        damaged = tmp_path / "damaged.onnx"
        damaged.write_bytes(model.SerializeToString()[:-7])
        with pytest.raises(BadInput, match=r"damaged\.onnx"):
            display.graph_picture(damaged)

    def test_names_with_dollars_are_no_formulas(self, model):
        model.graph.name, model.graph.node[0].name = r"$\net$", r"$\block$"
        assert r"$\net$" in display.graph_picture(model).alt


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 14).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_layers_point_down_and_keep_their_distance(case):
    count, pairs = case
    edges = [(a, b) for a, b in pairs if a < b]
    x, layer, routes = layered([2.0] * count, edges)
    for a, b in edges:
        assert layer[a] < layer[b]
        assert routes[a, b][0] == (x[a], layer[a]) and routes[a, b][-1] == (x[b], layer[b])
        assert [step for _, step in routes[a, b]] == list(range(layer[a], layer[b] + 1))
    for i in range(count):
        for j in range(i):
            assert layer[i] != layer[j] or abs(x[i] - x[j]) >= 2.0 - 1e-6


def test_items_that_want_one_place_share_it_about_the_middle():
    assert _spread([5.0, 5.0, 5.0], [2.0, 2.0, 2.0]) == pytest.approx([3.0, 5.0, 7.0])
    assert _spread([0.0, 9.0], [2.0, 2.0]) == pytest.approx([0.0, 9.0])
    assert _spread([1.0, 1.0], [2.0, 1.0]) == pytest.approx([0.25, 1.75])
