"""The tables of precisions: a row for every record, what is not finite, and the parts in their order."""

import pytest

from benchmarks import planned
from ci.results import precisions, recorded
from helpers.errors import BadInput
from tests.ci.results.test_results import record, recorded_as, rows  # noqa: F401

CPU = "AMD EPYC, 2 cores"


def measured(name):
    """A record as the stage writes it: another mAP for each, the control not finite."""
    order = [end for *_, end in precisions.ROWS].index(name)
    if name == "fp16":
        return record(precisions.CELLS + name, {"finite": "False", "fp16_share": 1.0}, CPU)
    paths = {f"L2/mean@{k}s": k / 10 for k in (1, 2, 3)} | {"parsed": 1.0}
    share = {"fp16_share": 0.347} if name.startswith("mixed") else {}
    return record(precisions.CELLS + name, {"finite": "True", "mAP": 0.4 + order / 1000, **paths, **share}, CPU)


def test_every_row_has_its_own_record_and_the_control_is_not_finite(recorded_as):  # noqa: F811
    found = rows(precisions.planned(recorded_as(*(measured(name) for *_, name in precisions.ROWS))))
    assert found[0][3:6] == ["mAP", "L2 1 s", "L2 2 s"] and len(found) == 20
    assert found[1][:6] == ["PyTorch", "PyTorch", "", "0.4000", "0.1000", "0.2000"] and found[1][7] == "100%"
    assert found[6][2] == "35%" and [row[3] for row in found[1:3]] == ["0.4000", "0.4010"]
    (control,) = [row for row in found if "control" in row[0]]
    assert control[2:8] == ["100%", "not finite", "", "", "", ""] and "omnidrive-mini-cpu-fp16-" in control[8]


def test_parts_stand_in_the_order_of_their_harm(recorded_as):  # noqa: F811
    told = {"tolerance": 0.01, "alone/camera rays": "not finite", "alone/backbone": 0.00027,
            "alone_far/camera rays": "not finite", "alone_far/backbone": 0.038, "flops/camera rays": 0.0001,
            "flops/backbone": 0.768}  # fmt: skip
    found = rows(precisions.minding(recorded_as(record(f"{precisions.CELLS}parts", told, CPU))))
    assert [row[:4] for row in found[1:]] == [["camera rays", "not finite", "not finite", "0.010%"],
                                              ["backbone", "2.7e-04", "3.8e-02", "76.800%"]]  # fmt: skip


def test_prose_quotes_losses_against_fp32_and_what_is_left_there(recorded_as):  # noqa: F811
    shares = {"flops/backbone": 0.7, "flops/rays": 0.1, "flops/poses": 0.05, "flops/layers": 0.15}
    parts = record(f"{precisions.CELLS}parts", {"kept": "rays, poses"} | shares, CPU)
    found = precisions.told(recorded_as(parts, *(measured(name) for *_, name in precisions.ROWS)))
    assert found["planned_rule_flops"] == pytest.approx(0.3) and found["planned_kept_flops"] == pytest.approx(0.15)
    assert found["planned_mixed_map_loss"] == pytest.approx(-0.004) and found["planned_fp32_l2"] == 0.3
    assert found["planned_smallest_map"] == pytest.approx(0.407)


def test_a_row_that_was_not_measured_is_named(tmp_path):
    with pytest.raises(BadInput, match="omnidrive-mini-cpu-pytorch-pytorch"):
        precisions.planned(recorded.Recorded(tmp_path))


def test_the_stage_measures_every_row_of_the_page():
    made = {f"{name}-{form}" for name, forms in planned.ROWS.items() for form in forms} | {"fp16"}
    assert {name.replace("_", "-") for name in made} >= {end for *_, end in precisions.ROWS}


def test_engines_on_a_gpu_have_a_row_each_and_an_empty_cell_for_a_score_not_made(recorded_as):  # noqa: F811
    paths = {f"L2/mean@{k}s": k / 10 for k in (1, 2, 3)}
    more = {"vision_embeded_mean_rel": 0.001, "build_seconds": 9.6, "engine_mib": 19.25} | paths
    found = recorded_as(*(
        record(f"omnidrive-mini-tensorrt-{name}", more | ({} if "qdq" in name else {"mAP": 0.4, "NDS": 0.5}))
        for name in precisions.ON_GPU
    ))  # fmt: skip
    head, *body = rows(precisions.planned_on_gpu(found))
    scored = [["", "", "0.1000"] if "qdq" in name else ["0.5000", "0.4000", "0.1000"] for name in precisions.ON_GPU]
    assert [row[1:4] for row in body] == scored
    assert body[-1][6:9] == ["1.0e-03", "10", "19.3"] and head[6] == "mean error of the tokens"


def test_an_engine_that_is_not_recorded_has_no_row_and_one_that_is_not_finite_says_so(recorded_as):  # noqa: F811
    more = {"build_seconds": 9.6, "engine_mib": 19.25, "vision_embeded_mean_rel": "not finite"}
    (row,) = rows(precisions.planned_on_gpu(recorded_as(record("omnidrive-mini-tensorrt-fp16-all", more))))[1:]
    assert "control" in row[0] and row[6] == "not finite"


def test_frames_one_after_the_other_and_overlapped(recorded_as):  # noqa: F811
    assert precisions.schedules(recorded_as()) == "Nothing is recorded yet."
    metrics = {"vision_ms_p50": 4, "language_ms_p50": 90.04, "faster": 1.041, "serial_frames_per_second": 10.5}
    metrics |= {"overlapped_frames_per_second": 11, "serial_latency_ms_p50": 94, "overlapped_latency_ms_p50": 180}
    ends = [f"{vision}-{form}-schedule" for vision in ("pair", "fp16") for form in ("fp16", "w4a16-plugins")]
    found = recorded_as(*(record(f"omnidrive-published-tensorrt-{end}", metrics) for end in ends))
    head, *body = rows(precisions.schedules(found))
    assert len(body) == 4 and body[0][1:3] == ["backbone FP16, the rest TF32", "TensorRT, standard operators"]
    assert body[0][3:10] == ["4.00", "90.0", "10.50", "11.00", "1.04", "94.0", "180.0"] and head[7] == "ratio"
