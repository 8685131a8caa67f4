import io
import json
import logging
import types
import urllib.request

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from PIL import Image

from helpers import display
from helpers.boxes import Boxes
from helpers.dataset import CAMERAS, CLASSES
from helpers.display import graphs, mosaic, plots, tables
from helpers.display.layout import _spread, layered
from helpers.display.style import CLASS_COLORS, PALETTE, class_color, ink_on
from helpers.errors import BadInput

AZIMUTHS = {"FRONT": 90, "FRONT_RIGHT": 35, "FRONT_LEFT": 145, "BACK": -90, "BACK_LEFT": 200, "BACK_RIGHT": -20}


def pixels(image):
    return np.asarray(Image.open(io.BytesIO(image.data)).convert("RGB")).astype(int)


def near(image, color, tolerance=30):
    """Mask of the pixels of about this colour."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(pixels(image) - rgb).max(axis=2) <= tolerance


def boxes(*centers, label="car", score=1.0, size=(2.0, 4.0, 1.6), yaw=0.0, frame="lidar", classes=CLASSES):
    n = len(centers)
    each = np.ones(n)
    return Boxes(
        centers,
        np.outer(each, size),
        yaw * each,
        np.zeros((n, 2)),
        [classes.index(label)] * n,
        score * each,
        frame,
        classes,
    )


@pytest.fixture
def frame():
    """Six pinhole cameras at the lidar's origin (x right, y forward), grey pictures."""

    def lidar2img(azimuth):
        sin, cos = np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))
        view, intrinsics = np.eye(4), np.eye(4)
        view[:3, :3] = [[sin, -cos, 0], [0, 0, -1], [cos, sin, 0]]
        intrinsics[:3, :3] = [[1266, 0, 800], [0, 1266, 450], [0, 0, 1]]
        return intrinsics @ view

    lidar2ego = np.eye(4)
    lidar2ego[:2] = [[0, 1, 0, 0.9], [-1, 0, 0, 0]]
    return types.SimpleNamespace(
        image_paths=dict.fromkeys(CAMERAS),
        images=lambda reduce=1: np.full((6, 900 // reduce, 1600 // reduce, 3), 90, np.uint8),
        lidar2img=np.stack([lidar2img(AZIMUTHS[name.removeprefix("CAM_")]) for name in CAMERAS]),
        lidar2ego=lidar2ego,
        scene="scene-0103",
        index=3,
    )


class TestTable:
    def test_numbers_right_booleans_marked_text_escaped(self):
        page = display.table(
            [{"name": "<b>", "NDS": 0.41234, "kept": True}, {"name": "x", "NDS": 2, "kept": False}]
        ).data
        assert "&lt;b&gt;" in page and "<b>" not in page
        assert 'text-align:right;">0.4123</td>' in page
        assert "✓" in page and "✗" in page and "True" not in page
        assert 'text-align:left;">x</td>' in page

    def test_missing_values_shapes_formats_and_numpy_scalars(self):
        rows = [{"a": (1, 6, 3), "n": np.float32(0.5)}, {"b": np.bool_(True), "n": np.int64(33521157)}]
        page = display.table(rows, caption="A & B", formats={"a": str}).data
        assert "A &amp; B" in page and "–" in page and "33,521,157" in page and "(1, 6, 3)" in page and "✓" in page
        assert "1×6×3" in display.table(rows).data
        assert "0.500" in display.table(rows, formats={"n": ".3f"}).data

    def test_a_dict_is_a_table_of_names_and_an_empty_one_says_so(self):
        assert "mAP" in display.table({"mAP": 0.3}).data
        assert "nothing to list" in display.table([]).data

    @pytest.mark.parametrize(
        ("value", "text"),
        [(0, "0"), (0.0, "0"), (1234.5, "1,234"), (0.35123, "0.3512"), (1.23e-5, "1.2e-05"), (float("nan"), "nan")],
    )
    def test_number(self, value, text):
        assert tables.number(value) == text


class TestProgress:
    def test_passes_everything_through_and_stays_quiet_in_a_log(self, capsys):
        assert list(display.progress(range(5), "counting")) == [0, 1, 2, 3, 4]
        assert capsys.readouterr() == ("", "")

    def test_the_bar_counts_and_foretells(self):
        assert "30/40 · 3 s, 1 s to go" in tables._bar("x", 30, 40, 3.0).data
        assert "7 · 1.0 s" in tables._bar("x", 7, None, 1.0).data


class TestPlots:
    rows = ({"name": "FP32", "NDS": 0.41, "ratio": 1.0}, {"name": "INT8", "NDS": 0.40, "ratio": 0.5})

    def test_a_bar_is_as_high_as_its_value(self):
        image = display.bars(self.rows, "name", ["NDS", "ratio"], title="Two")
        below_legend = slice(60, None)
        high, low = (near(image, color, 3)[below_legend].sum(axis=0).max() for color in (PALETTE[1], PALETTE[0]))
        assert high / low == pytest.approx(1.0 / 0.41, rel=0.03)
        assert "Two" in image.alt

    def test_a_version_below_the_floor_is_hollow(self):
        kept, lost = (
            near(display.frontier(self.rows, "ratio", "NDS", floor=f), PALETTE[1]).sum() for f in (0.39, 0.405)
        )
        assert lost < 0.7 * kept

    def test_labels_of_close_points_take_different_sides(self):
        taken = []
        sides = [plots.free_side((100, 100 + k), 60, taken) for k in range(4)]
        assert sides == [((8, 6), "left"), ((8, -13), "left"), ((-8, 6), "right"), ((-8, -13), "right")]
        assert taken[2] == (32, 108, 92, 118)
        assert plots.free_side((300, 100), 60, taken) == ((8, 6), "left")

    def test_histogram_marks_and_refuses_nan(self):
        image = display.histogram({"a": [1, 2, 3], "b": [2.0, 5.0]}, marks={"max": 5.0})
        assert near(image, PALETTE[2], 10).any()
        with pytest.raises(BadInput, match="1 values not finite"):
            display.histogram([1.0, np.nan])
        with pytest.raises(BadInput, match="no values"):
            display.histogram({"empty": []})

    def test_op_chart_sets_custom_operators_apart(self):
        rows = [{"op": "Conv", "domain": "", "count": 5}, {"op": "RotateTRT2", "domain": "trt.plugins", "count": 1}]
        assert near(display.op_chart(rows), PALETTE[3], 3).any()
        assert near(display.op_chart(rows, top=1), PALETTE[3], 3).any()
        assert pixels(display.op_chart(rows, top=1)).shape == pixels(display.op_chart(rows)).shape
        assert not near(display.op_chart(rows[:1]), PALETTE[3], 3).any()

    def test_lines_and_a_column_that_is_not_there(self):
        assert near(display.lines({"loss": [3, 2, 1]}, log=True), PALETTE[0], 3).any()
        with pytest.raises(BadInput, match="'mAP'"):
            display.bars(self.rows, "name", "mAP")
        with pytest.raises(BadInput, match="no rows"):
            display.op_chart([])

    @pytest.mark.parametrize("color", [*PALETTE, *CLASS_COLORS.values()])
    def test_ink_contrasts(self, color):
        assert ink_on(color) == ("#FFFFFF" if color in ("#0072B2", "#AA4499") else "#000000")


class TestScenes:
    def test_a_box_ahead_is_in_the_front_tile_only(self, frame):
        image = display.cameras(frame, boxes((0, 20, 0)))
        hit = np.argwhere(near(image, CLASS_COLORS["car"])[:600])
        assert pixels(image).shape == (632, 1600, 3)
        assert hit[:, 1].min() > 534 + 200 and hit[:, 1].max() < 534 + 330
        assert hit[:, 0].max() < 300 and hit[:, 0].max() == pytest.approx(150 + 0.8 * 1266 / 3 / 19, abs=4)

    def test_a_box_through_the_camera_plane_is_cut_and_not_mirrored(self, frame):
        image = near(display.cameras(frame, boxes((-3, 1, -1), yaw=np.pi / 2, size=(1, 8, 1))), CLASS_COLORS["car"])
        front = image[:300, 534:1066]
        assert front[:, :266].any() and not front[40:, 266:].any()

    def test_detections_below_the_threshold_are_left_out(self, frame):
        faint, clear = boxes((0, 20, 0), score=0.2), boxes((0, 20, 0), score=0.7)
        assert not near(display.cameras(frame, detections=faint), CLASS_COLORS["car"]).any()
        assert near(display.cameras(frame, detections=clear), CLASS_COLORS["car"]).any()

    def test_from_above_right_is_right_and_ahead_is_up(self, frame):
        image = display.bev(frame, detections=boxes((30, 20, 0), label="bus", size=(4, 4, 2)))
        mask = near(image, CLASS_COLORS["bus"], 5)
        height, width = mask.shape
        mask[:, int(width * 0.78) :] = False
        row, column = np.argwhere(mask).mean(axis=0)
        assert column / width == pytest.approx(0.08 + 0.70 * (30 + 51.2) / 102.4, abs=0.01)
        assert 1 - row / height == pytest.approx(0.08 + 0.88 * (20 + 51.2) / 102.4, abs=0.01)

    @pytest.mark.parametrize(("yaw", "wide"), [(0.0, True), (np.pi / 2, False)])
    def test_a_box_lies_along_its_heading(self, frame, yaw, wide):
        image = display.bev(frame, detections=boxes((20, 20, 0), label="bus", size=(2, 12, 3), yaw=yaw))
        mask = near(image, CLASS_COLORS["bus"], 5)
        mask[:, int(mask.shape[1] * 0.78) :] = False
        rows, columns = np.ptp(np.argwhere(mask), axis=0)
        assert columns > 3 * rows if wide else rows > 3 * columns

    def test_the_path_of_the_ego_frame_runs_ahead(self, frame):
        image = display.bev(frame, path=[[0.0, 0.0], [30.0, 0.0], [40.0, 10.0]])
        mask = near(image, PALETTE[3], 10)
        mask[:, int(mask.shape[1] * 0.78) :] = False
        end = np.argwhere(mask)[0]  # topmost: 40 m ahead, 10 m to the left
        assert 1 - end[0] / mask.shape[0] == pytest.approx(0.08 + 0.88 * (39.1 + 51.2) / 102.4, abs=0.02)
        assert end[1] / mask.shape[1] == pytest.approx(0.08 + 0.70 * (-10 + 51.2) / 102.4, abs=0.02)

    def test_ground_truth_and_empty_detections(self, frame):
        truth = boxes((10, 10, 0), label="pedestrian")
        assert near(display.bev(frame, truth), CLASS_COLORS["pedestrian"], 5).any()
        assert "1 true, 0 detected" in display.bev(frame, truth, Boxes.empty()).alt
        assert len(display.cameras(frame, truth, Boxes.empty()).data) < 500_000

    def test_other_classes_take_the_palette_in_their_order(self, frame):
        kinds = tuple(f"kind {k}" for k in range(17))
        image = display.bev(frame, detections=boxes((20, 20, 0), label="kind 2", size=(4, 4, 2), classes=kinds))
        mask = near(image, PALETTE[2], 3)
        assert mask[:, : int(mask.shape[1] * 0.78)].any() and mask[:, int(mask.shape[1] * 0.78) :].any()  # and its key
        assert class_color("kind 9", kinds) == PALETTE[9 - len(PALETTE)]
        assert class_color("car", ("tram", "car")) == CLASS_COLORS["car"]

    def test_cameras_are_the_frames_own(self, frame):
        """Four cameras of other names: in their own order, the place of the missing ones white."""
        frame.image_paths = dict.fromkeys(["left", "CAM_FRONT", "right", "rear"])
        frame.images = lambda reduce=1: np.full((4, 900 // reduce, 1600 // reduce, 3), 90, np.uint8)
        frame.lidar2img = frame.lidar2img[[2, 0, 1, 3]]
        drawn = display.cameras(frame, boxes((0, 20, 0)))
        hit = np.argwhere(near(drawn, CLASS_COLORS["car"])[:600])
        assert hit[:, 1].max() < 532 and hit[:, 0].max() < 300  # CAM_FRONT leads, by the layout of nuScenes
        grey = pixels(drawn)[450, ::200]
        assert (grey[:2] < 120).all() and (grey[6:] > 250).all() and "4 cameras" in drawn.alt

    def test_boxes_of_another_frame_are_refused(self, frame):
        for draw in (display.bev, display.cameras):
            with pytest.raises(BadInput, match="global frame"):
                draw(frame, boxes((0, 0, 0), frame="global"))

    def test_clip_keeps_what_is_in_front(self):
        a, b = np.array([1.0, 1.0, -1.0]), np.array([3.0, 3.0, 2.0])
        kept = mosaic._clip(a, b)
        np.testing.assert_allclose(kept, [[2.0, 2.0, 0.5], b])
        np.testing.assert_allclose(mosaic._clip(b, a), kept[::-1])
        assert mosaic._clip(a, a) is None

    def test_side_by_side(self):
        image = display.side_by_side([np.zeros((20, 40, 3), np.uint8), np.eye(20)], ["one", "two"])
        assert "one, two" in image.alt
        with pytest.raises(BadInput, match="2 images, 1 titles"):
            display.side_by_side([np.eye(2), np.eye(2)], ["one"])


@pytest.fixture
def model():
    """image -> Conv -> Relu -> Own (custom) -> Add with the Relu -> out."""
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [3, 3, 1, 1], [0.5] * 9)
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["a"], name="/net/conv/Conv"),
        helper.make_node("Relu", ["a"], ["b"], name="/net/relu"),
        helper.make_node("Own", ["b"], ["c"], name="own", domain="trt.plugins"),
        helper.make_node("Add", ["b", "c"], ["out"], name="sum"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("image", "out")]
    return helper.make_model(helper.make_graph(nodes, "net", ends[:1], ends[1:], [weight]))


class TestGraphs:
    def test_colours_tell_the_kinds_and_the_words_name_the_operators(self, model):
        image = display.graph_picture(model)
        assert "4 of 4 operators: Conv, Relu, Own, Add" in image.alt
        for family in ("custom operator", "convolution", "normalization, activation"):
            assert near(image, graphs.COLORS[family], 3).sum() > 2000

    def test_a_part_of_it_around_a_node(self, model):
        image = display.graph_picture(model, nodes=["/net/conv/Conv"], max_nodes=2)
        assert "2 of 4 operators: Conv, Relu" in image.alt

    def test_a_tensor_that_everything_reads_does_not_crowd_the_picture(self):
        readers = [helper.make_node("Abs", ["hub"], [f"r{k}"], name=f"r{k}") for k in range(5)]
        chain = [helper.make_node("Neg", [f"c{k}" if k else "hub"], [f"c{k + 1}"], name=f"c{k}") for k in range(6)]
        nodes = [helper.make_node("Exp", ["image"], ["hub"], name="hub"), *readers, *chain]
        makers = {tensor: i for i, node in enumerate(nodes) for tensor in node.output}
        chosen = graphs._neighbourhood(nodes, makers, graphs._start(nodes, ["c1"]), 7)
        assert [nodes[i].name for i in chosen] == ["hub", "c0", "c1", "c2", "c3", "c4", "c5"]

    def test_items_are_inputs_operators_outputs_without_weights(self, model):
        items, edges = graphs._items(model.graph, list(model.graph.node), [1, 2])
        assert [text.partition("\n")[0] for text, _ in items] == ["…", "Relu", "Own", "…", "…"]
        assert edges == {(0, 1): "a", (1, 2): "b", (1, 3): "b", (2, 4): "c"}

    def test_unknown_nodes_and_damaged_files_are_refused(self, model, tmp_path):
        with pytest.raises(BadInput, match="nowhere"):
            display.graph_picture(model, nodes=["nowhere"])
        damaged = tmp_path / "damaged.onnx"
        damaged.write_bytes(model.SerializeToString()[:-7])
        with pytest.raises(BadInput, match=r"damaged\.onnx"):
            display.graph_picture(damaged)
        with pytest.raises(BadInput, match="no such file"):
            display.netron(tmp_path / "absent.onnx")

    def test_netron_serves_the_file_on_loopback_and_leaves_logging_alone(self, model, tmp_path, monkeypatch):
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        path = tmp_path / "net.onnx"
        onnx.save(model, path)
        before = logging.getLogger().level, list(logging.getLogger().handlers)
        first, page = display.netron(path, live=True), display.netron(path, live=True)
        try:
            assert page.src.startswith("http://127.0.0.1:")
            assert b"Netron" in urllib.request.urlopen(page.src, timeout=10).read()
            assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before
            if first.src != page.src:
                with pytest.raises(OSError):
                    urllib.request.urlopen(first.src, timeout=10)
        finally:
            graphs.stop_netron()
        with pytest.raises(OSError):
            urllib.request.urlopen(page.src, timeout=10)

    def test_netron_is_a_picture_unless_a_jupyter_server_runs_the_kernel(self, model, tmp_path, monkeypatch):
        path = tmp_path / "net.onnx"
        onnx.save(model, path)
        monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
        assert display.netron(path).format == "png"
        monkeypatch.setenv("JPY_SESSION_NAME", "lesson.ipynb")
        monkeypatch.setattr(graphs, "_serve", lambda path: ("127.0.0.1", 1))
        assert display.netron(path).src == "http://127.0.0.1:1"


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


def test_pictures_tables_and_progress_stay_in_an_executed_notebook(tmp_path):
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    cells = [
        "from helpers import display, environment\nenvironment.begin()",
        "display.lines({'a': [1, 2, 3]}, title='Three')",
        "total = sum(display.progress(range(5), 'adding'))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    assert [len(shown) for shown in outputs] == [1, 1, 1], json.dumps(outputs)[:2000]
    assert "onnxruntime" in outputs[0][0].data["text/html"]
    assert len(outputs[1][0].data["image/png"]) > 1000
    assert "adding" in outputs[2][0].data["text/html"] and "5/5" in outputs[2][0].data["text/html"]
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert outputs[1][0].metadata["image/png"]["alt"] == "Three"
    assert "data:image/png;base64" in page and "5/5" in page
