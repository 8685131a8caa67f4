"""The tables of UniAD: a row for every record that there is, ratios of one card alone."""

import dataclasses

from benchmarks import definitions, smoothing
from benchmarks.measured import PLUGIN
from benchmarks.rows import CONTROL
from benchmarks.rows import ENGINES as BUILT
from benchmarks.systems import SYSTEMS
from ci.results import driving, precisions, recorded
from tests.ci.results.test_results import ROOT, record, recorded_as, rows  # noqa: F401

H100, CPU = "NVIDIA H100, driver 1", "AMD EPYC, 2 cores"


def test_engines_in_fp32_find_what_onnx_runtime_finds_as_the_page_says():
    results = recorded.Recorded(ROOT / "results")
    for name in ("tensorrt-fp32-plugin", "tensorrt-definition"):
        metrics = results.latest(f"uniad-mini-{name}").metrics
        differ = {key: value for key, value in metrics.items() if key.endswith("_differ")}
        assert len(differ) >= 4 and set(differ.values()) == {0.0}, name
        assert metrics["frames"] == 40 and metrics["bboxes_dict_bboxes_rel"] < 2e-5


def test_a_page_without_records_says_so(recorded_as):  # noqa: F811
    assert driving.driving(recorded_as()) == driving.driving_times(recorded_as()) == driving.NONE


def test_what_the_mini_finds_has_a_row_for_every_record_in_their_order(recorded_as):  # noqa: F811
    scored = {"AMOTA": 0.4727, "mAP": 0.381, "IoU-lane": 0.545, "minADE/car": 0.729, "L2/mean@3s": 0.637}
    found = recorded_as(
        record("uniad-mini-tensorrt-definition", scored | {"finite": "True", "gpu_ms_p50": 9.5, "build_seconds": 61.2}),
        record("uniad-mini-tensorrt-fp16-all", {"finite": "False", "frames": 40}),
        record("uniad-mini-pytorch-fp32", scored),
    )
    _, *body = rows(driving.driving(found))
    assert [row[0] for row in body] == [driving.MINI[name] for name in driving.MINI if name.endswith(
        ("pytorch-fp32", "definition", "fp16-all"))]  # fmt: skip
    assert body[1][1:9] == ["0.473", "0.381", "0.545", "0.729", "0.637", "9.50", "", "61"]
    assert body[2][1:6] == ["not finite"] * 5


def test_the_sweep_of_alpha_has_a_row_for_every_set_of_ranges_and_alpha(recorded_as):  # noqa: F811
    made = {f"{name}-{alpha}": 0.4 + k / 100 for k, name in enumerate(smoothing.SETS) for alpha in smoothing.ALPHAS}
    found = [record(f"{driving.LINEARS}{end}", {"AMOTA": value, "L2/mean@3s": 0.637}, CPU)
             for end, value in ({"fp32": 0.47} | made).items()]  # fmt: skip
    _, *body = rows(driving.smoothed(recorded_as(*found[:-1])))
    assert len(body) == len(found) - 1  # what is not recorded yet has no row
    _, *body = rows(driving.smoothed(recorded_as(found[-1])))
    assert body[0][:3] == ["FP32", "", "0.470"] and len(body) == len(found)
    assert [row[:3] for row in body[1:3]] == [[driving.RANGES["few"], "not smoothed", "0.400"],
                                              [driving.RANGES["few"], "0.25", "0.400"]]  # fmt: skip
    assert [row[:3] for row in body[-1:]] == [[driving.RANGES["many"], "0.9", "0.410"]]
    assert [str(scenes * each) for scenes, each in smoothing.SETS.values()] == [
        driving.RANGES[name].split()[0] for name in smoothing.SETS]  # fmt: skip


def test_a_ratio_is_of_one_card_and_code_and_stands_beside_the_published_one(recorded_as):  # noqa: F811
    found = recorded_as(
        record("uniad-published-pytorch-fp32", {"gpu_ms_p50": 100.0}),
        record("uniad-published-tensorrt-fp16-plugin", {"gpu_ms_p50": 5.0}),
        record("uniad-published-tensorrt-qdq-plugin", {"gpu_ms_p50": 4.0}, H100),
        dataclasses.replace(record("uniad-published-tensorrt-pair-plugin", {"gpu_ms_p50": 4.0}), commit="later"),
    )
    _, *body = rows(driving.driving_times(found))
    assert [row[4:6] for row in body] == [["1", ""], ["20.00", "17.0"], ["", "21.5"], ["", ""]]


def test_vision_of_omnidrive_has_the_same_table_beside_its_own_published_ratios(recorded_as):  # noqa: F811
    found = recorded_as(
        record("omnidrive-published-pytorch-fp32", {"gpu_ms_p50": 100.0}),
        record("omnidrive-published-pytorch-compile-fp16", {"gpu_ms_p50": 20.0}),
        record("omnidrive-published-tensorrt-fp16", {"gpu_ms_p50": 10.0}),
        record("uniad-published-tensorrt-pair-plugin", {"gpu_ms_p50": 4.0}),
    )
    _, *body = rows(precisions.planned_times(found))
    assert [row[0] for row in body] == [
        "PyTorch eager FP32", "torch.compile, backbone FP16", precisions.ON_GPU["fp16"]]  # fmt: skip
    assert [row[4:6] for row in body] == [["1", ""], ["5.00", ""], ["10.00", "10.8"]]
    ms = {name: row["ms"] for name, row in SYSTEMS["omnidrive"].published.items()}
    ratios = {f"tensorrt-{name}": round(ms["eager"] / ms[name], 1) for name in ("fp32", "fp16")}
    assert ratios == precisions.OF_PYTORCH
    made = {name.replace("_", "-") for name in (*BUILT, *SYSTEMS["omnidrive"].further) if name not in ("best", "qdq")}
    assert made <= precisions.ON_GPU.keys()


def test_every_engine_that_is_measured_has_a_row():
    system = SYSTEMS["uniad"]
    named = [name for name in BUILT if name not in ("best", "smallest", CONTROL)] + list(system.further)
    made = {f"tensorrt-{name}{PLUGIN}".replace("_", "-") for name in named}
    assert made == driving.ENGINES.keys() and set(driving.ORIN) <= made
    assert {f"tensorrt-{name}".replace("_", "-") for name in definitions.ENGINES} < driving.MINI.keys()
    ms = {name: row["ms"] for name, row in system.published.items()}
    ratios = {f"tensorrt-{name}-plugin": round(ms["eager"] / ms[name], 1) for name in ("fp32", "fp16", "qdq")}
    assert ratios == driving.ORIN
