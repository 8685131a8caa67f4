"""Tables from JPEG files to boxes, and of engines that may be recorded or not."""

import re

import pytest

from ci.results import endtoend, figures, forms, recorded, tables
from helpers import records
from helpers.errors import BadInput
from helpers.files import ROOT

GPU, CPU = "NVIDIA H200, driver 580.159.04", "Some Processor, 2 cores"


@pytest.fixture
def recorded_as(tmp_path):
    """Function (name, metrics, device, ...) of several -> Recorded of a folder that holds them."""

    def make(*found):
        for name, metrics, device, date in found:
            versions = {"python": "3.11"}
            records.write(
                records.Record(name, "recorded", device, versions, "make", "0123abc", date, metrics), tmp_path
            )
        return recorded.Recorded(tmp_path)

    return make


def rows(table):
    cells = [re.split(r"(?<!\\)\|", line.strip("|")) for line in table.splitlines()]
    lines = [[cell.strip() for cell in line] for line in cells]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_a_rate_is_held_against_what_each_core_needs_for_a_frame(recorded_as):
    """100 ms of one core for a frame: two cores could do 20 frames a second."""
    metrics = {"cores": 2}
    for way in ("before", "after"):
        for cores, vehicles, rate in (
            ("1 core", "1 vehicle", 10.0),
            ("2 cores", "1 vehicle", 15.0),
            ("2 cores", "2 vehicles", 18.0),
        ):
            name = f"{way}, {cores}, {vehicles}"
            metrics |= {f"{name}_frames_per_second": rate, f"{name}_cpu_ms_per_frame": 100.0, f"{name}_busy_cores": 1.5,
                        f"{name}_least_per_second": rate - 1, f"{name}_most_per_second": rate + 1}  # fmt: skip
            metrics |= {
                f"{way}, {cores}_ms_p50": 1234.0,
                f"{way}, {cores}_{'run' if way == 'before' else 'compute'}_ms": 90.0,
            }
    table = rows(endtoend.end_to_end(recorded_as((endtoend.ON_HOST, metrics, CPU, "2026-01-31T12:00:00+00:00"))))
    assert [row["of the cores' limit"] for row in table] == ["100%", "100%", "75%", "75%", "90%", "90%"]
    assert [row["latency, ms"] for row in table] == ["1234"] * 4 + ["", ""] and table[0]["network"] == table[1][
        "network"
    ] == "90.0"
    assert (
        table[0]["lowest to highest"] == "9.00 to 11.00"
        and table[4][""] == "2 cores, 2 vehicles with a core each, stage after stage"
    )


def test_engines_have_a_row_for_each_way_and_decoder_where_they_are_recorded(recorded_as):
    assert endtoend.end_to_end_gpu(recorded_as()) == "Not recorded on a GPU."
    metrics = {
        "before_ms_p50": 8.0,
        "before_run_ms": 5.0,
        "after_ms_p50": 3.0,
        "after_compute_ms": 2.5,
        "after_NDS": 0.66,
    }
    ends = "mini-tensorrt-qdq-plugin-end-to-end", "published-tensorrt-fp16-plugin-end-to-end-nvimgcodec"
    names = [f"bevformer-inputs-{end}" for end in ends]
    found = recorded_as(*((name, metrics, GPU, "2026-01-31T12:00:00+00:00") for name in names))
    table = rows(endtoend.end_to_end_gpu(found))
    assert [row[""] for row in table] == [
        "mini qdq, stage after stage", "mini qdq, bytes in, boxes out", "published fp16 nvimgcodec, stage after stage",
        "published fp16 nvimgcodec, bytes in, boxes out"]  # fmt: skip
    assert [row["network"] for row in table] == ["5.0", "2.5"] * 2 and table[1]["NDS"] == "0.66000"
    assert "the way from JPEG files" not in tables.lacking(found)


def test_a_mini_that_was_scored_alone_has_both_rows_with_its_accuracy(recorded_as):
    scores = {"before_NDS": 0.669, "after_NDS": 0.668}
    name = "bevformer-inputs-mini-tensorrt-fp16-plugin-end-to-end"
    found = recorded_as((name, scores, GPU, "2026-01-31T12:00:00+00:00"))
    table = rows(endtoend.end_to_end_gpu(found))
    assert [(row["NDS"], row["latency, ms"]) for row in table] == [("0.66900", ""), ("0.66800", "")]


def test_what_the_host_projects_is_shown_of_the_run_that_has_the_bases_of_its_ratios(recorded_as):
    """A later run without FP32 and TF32 stands in a table of its own."""
    day, times = "2026-01-31T12:00:00+00:00", {"gpu_ms_p50": 3.0, "graph_gpu_ms_p50": 2.0}
    made = [(name, times | {"gpu_ms_p50": 6.0 if "32" in name else 3.0}, GPU, day) for name in tables.OF_ONE_RUN]
    more = times | {"gpu_ms_p50": 4.5, "graph_gpu_ms_p50": 3.0, "outputs_coords_mean_rel": 0.00123}
    best = more | {"gpu_ms_p50": 3.0, "graph_gpu_ms_p50": 2.5}
    metrics = {name: best if name == "tensorrt-best-plugin" else more for name in forms.FORMS}
    later = [(forms.PREFIX + name, one, GPU, day.replace("2026", "2027")) for name, one in metrics.items()]
    found = recorded_as(*made, *later)
    half = {row[""]: row for row in rows(tables.projected(found))}["FP16"]
    assert (half["GPU, ms"], half["FP32 / this"], half["TF32 / this"]) == ("3.00", "2.00", "2.00")
    first, *_ = table = rows(forms.forms(found))
    assert len(table) == len(forms.FORMS) and (first["this / BEST"], first["as graphs"]) == ("1.50", "1.20")
    assert first["mean error of the boxes"] == "1.2e-03" and table[4]["this / BEST"] == "1"
    assert "single halves" not in tables.lacking(found)


def test_a_decoder_that_ended_its_process_is_a_row_that_says_so(recorded_as):
    """Before anything was measured of it, or after the latency."""
    latency = {"before_ms_p50": 8.0, "after_ms_p50": 3.0}
    made = {"fp16-end-to-end-nvimgcodec": {}, "qdq-end-to-end-nvimgcodec": latency}
    found = recorded_as(*((f"bevformer-inputs-mini-tensorrt-{name}", metrics | {"ended": "by SIGSEGV"}, GPU,
                           "2026-01-31T12:00:00+00:00") for name, metrics in made.items()))  # fmt: skip
    table = rows(endtoend.end_to_end_gpu(found))
    assert [(row[""], row["latency, ms"]) for row in table] == [
        ("mini fp16 nvimgcodec, bytes in, boxes out: ended the process", ""),
        ("mini qdq nvimgcodec, stage after stage", "8.00"),
        ("mini qdq nvimgcodec, bytes in, boxes out: ended the process", "3.00")]  # fmt: skip


def test_a_run_may_lack_engines_and_the_base_of_their_ratios(recorded_as):
    """What failed is no row, and a ratio without its base no number; the page is made all the same."""
    name, day = "bevformer-inputs-published-tensorrt-", "2026-01-31T12:00:00+00:00"
    profile = {"far_01_layer": "conv + a||b", "far_01_ms": 0.5, "far_01_least_ms": 0.1}
    found = recorded_as(
        (f"{name}fp16-plugin", {"gpu_ms_p50": 3.0}, GPU, day),
        (f"{name}tf32-plugin", {"gpu_ms_p50": 6.0}, GPU, day),
        (f"{name}fp32-plugin", {"gpu_ms_p50": 9.0}, GPU, day.replace("31", "30")),
        (f"{name}fp16-plugin-profile", profile, GPU, day),
    )  # fmt: skip
    table = {row[""]: row for row in rows(tables.projected(found))}
    half = table["FP16"]
    assert len(table) == 3 and (half["FP32 / this"], half["TF32 / this"]) == ("", "2.00")
    lacking = tables.lacking(found)
    assert "torch.compile, TF32 allowed" in lacking and "single halves" in lacking and "profiles" not in lacking
    assert "FP16" not in lacking.split("; ")
    (row,) = rows(tables.farthest(found))
    assert (row["layer"], row["ms"], row["the least, ms"]) == ("`conv + a\\|\\|b`", "0.500", "0.100")


def test_the_mini_s_accuracy_is_kept_with_the_ends_in_the_graph():
    """What docs/results.md says: NDS within 0.001, prepared pixels within one step, boxes of the same classes."""
    metrics = recorded.Recorded(ROOT / "results").latest(endtoend.ON_HOST, recorded.CPU).metrics
    assert abs(metrics["before_NDS"] - metrics["after_NDS"]) < 1e-3 and metrics["before_NDS"] > 0.6
    assert metrics["pixels_prepared_most_steps"] <= 1
    assert metrics["after, 2 cores_boxes_ranks_of_another_class"] == 0


def test_what_the_page_says_of_the_way_from_jpeg_files_on_a_gpu_is_recorded():
    """A third of the time, NDS within 0.001, pixels of the JPEG engine within one step; as many boxes."""
    found = figures.quoted(recorded.Recorded(ROOT / "results"))
    for precision in ("fp16", "qdq"):
        mini, codec = found[f"ends_mini_{precision}"], found[f"ends_codec_{precision}"]
        assert abs(mini["before_NDS"] - mini["after_NDS"]) < 1e-3 and mini["before_NDS"] > 0.66
        assert found[f"ends_{precision}_gain"] >= 3 and found[f"ends_codec_{precision}_gain"] > 7
        assert codec["pixels_decoded_most_steps"] <= 1 and "ended" not in codec
        assert codec["after_boxes_frames_of_equal_count"] == codec["after_boxes_frames"]
    assert found["quantized_loss"] < 0.002 < found["by_host_loss"]


def test_int8_is_split_between_runtimes_of_one_machine():
    """What ONNX Runtime loses and what TensorRT loses are of one graph only within one run of one code."""
    results = recorded.Recorded(ROOT / "results")
    ours = results.latest("bevformer-inputs-mini-tensorrt-qdq-plugin")
    others = [results.latest(f"bevformer-inputs-mini-onnxruntime-{end}", recorded.CPU) for end in ("qdq", "fp32")]
    assert {(one.commit, one.date[:10]) for one in others} == {(ours.commit, ours.date[:10])}


def test_what_is_divided_is_of_the_newest_run_that_has_it_all(recorded_as):
    """A later run in which one engine failed is no part of a ratio."""
    first, later = "2026-01-31T12:00:00+00:00", "2026-02-01T12:00:00+00:00"
    found = recorded_as(
        ("a", {"gpu_ms_p50": 2.0}, GPU, first),
        ("b", {"gpu_ms_p50": 4.0}, GPU, first),
        ("a", {"gpu_ms_p50": 9.0}, GPU, later),
    )
    assert {name: one.metrics["gpu_ms_p50"] for name, one in found.together(["a", "b"]).items()} == {"a": 2.0, "b": 4.0}
    with pytest.raises(BadInput, match="no run that wrote all of a, b"):
        found.together(["a", "b"], ["graph_gpu_ms_p50"])
    with pytest.raises(BadInput, match="no run that wrote all of a, c"):
        found.together(["a", "c"])
