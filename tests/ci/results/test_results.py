"""What is shown of the records: rows, ratios, links, prose, the picture, and what is stale."""

import dataclasses
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks import __main__ as measure_gpu
from benchmarks import engines
from benchmarks.rows import names as built
from benchmarks.systems import SYSTEMS
from ci.results import __main__ as command
from ci.results import figures, language, occupancy, pages, picture, recorded, tables
from helpers import records
from helpers.errors import BadInput
from helpers.files import ROOT

GPU = "NVIDIA H200, driver 580.159.04"


def record(name, metrics, device=GPU, date="2026-01-31T12:00:00+00:00", commit="0123abc"):
    return records.Record(name, "recorded", device, {"python": "3.11"}, "make run", commit, date, metrics)


@pytest.fixture
def recorded_as(tmp_path):
    """Function (*records) -> Recorded of a folder that holds them."""

    def make(*found):
        for one in found:
            records.write(one, tmp_path)
        return recorded.Recorded(tmp_path)

    return make


@pytest.fixture
def root(tmp_path):
    """A project that holds the records and the README of this one, and no docs."""
    (tmp_path / "results").symlink_to(ROOT / "results")
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text())
    (tmp_path / "docs").mkdir()
    return tmp_path


def rows(table):
    """The cells of a Markdown table, heads first, without the line of dashes."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [lines[0], *lines[2:]]


def test_this_project_s_pages_are_current(capsys):
    assert command.main(["--check"]) == 0, capsys.readouterr().out


def test_latest_record_of_a_name_on_the_kind_of_device_asked_for(recorded_as):
    found = recorded_as(
        record("a", {"x": 1}), record("a", {"x": 2}, date="2026-02-01T00:30:00+02:00"),
        record("a", {"x": 3}, date="2026-01-31T22:00:00+00:00"),
        record("a", {"x": 4}, "AMD EPYC, 2 cores", "2026-03-01T00:00:00+00:00"),
    )  # fmt: skip
    assert found.latest("a").metrics["x"] == 2  # 22:30 in UTC
    assert found.latest("a", recorded.CPU).metrics["x"] == 4
    assert found.latest("a", at="2026-01-31").metrics["x"] == 3
    with pytest.raises(BadInput, match="no record 'b' taken on a CPU"):
        found.latest("b", recorded.CPU)
    with pytest.raises(BadInput, match="no record 'a' taken on a GPU on 2026-01-30"):
        found.latest("a", at="2026-01-30")


TODAY = "2026-11-29T12:00:00+00:00"


def test_a_graph_before_and_the_one_of_today_share_no_table(recorded_as):
    times = {f"fbocc-published-{name}": 1.0 for name in occupancy.TIMES}
    of_before = [record(name, {"gpu_ms_p50": 8.0}, date=f"{occupancy.BEFORE}T12:00:00+00:00") for name in times]
    today = [record(name, {"gpu_ms_p50": 4.0, "enqueue_ms_p50": 2.0}, date=TODAY) for name in times]
    found = recorded_as(*of_before, *today)
    assert {row[1] for row in rows(occupancy.occupancy_before(found))[1:]} == {"8.00"}
    assert {(row[1], row[3]) for row in rows(occupancy.occupancy_times(found))[1:]} == {("4.00", "2.0")}
    assert len(rows(occupancy.occupancy_times(found))) == 1 + len(occupancy.TIMES)
    assert occupancy.missing(found) == "nothing"


def test_a_row_of_today_s_graph_stands_there_once_it_is_measured(recorded_as):
    old = [record(f"fbocc-published-{name}", {"gpu_ms_p50": 8.0}, date=f"{occupancy.BEFORE}T12:00:00+00:00")
           for name in occupancy.TIMES]  # fmt: skip
    new = record("fbocc-published-tensorrt-fp16-plugin", {"gpu_ms_p50": 6.0, "builder_level": 2}, date=TODAY)
    profile = {"type/CaskConvolution_ms": 2.0, "type/CaskGemmConvolution_ms": 1.0, "type/PluginV2_ms": 0.5,
               "type/Myelin_ms": 0.25, "type/Other_ms": 0.125, "sum_ms": 3.875}  # fmt: skip
    before = recorded_as(*old)
    assert "TensorRT FP16, what needs it in FP32" in occupancy.missing(before)
    assert occupancy.occupancy_profiles(before).startswith("No profile")
    found = recorded_as(new, record(f"{new.name}-profile", profile, date=TODAY))
    ((label, ms, *_),) = rows(occupancy.occupancy_times(found))[1:]
    assert (label, ms) == ("TensorRT FP16, what needs it in FP32 (builder level 2)", "6.00")
    assert label.partition(" (")[0] not in occupancy.missing(found)
    head, row = rows(occupancy.occupancy_profiles(found))
    named = dict(zip(head, row, strict=True))
    assert (named["convolutions, ms"], named["plugins, ms"], named["other layers, ms"], named["sum, ms"]) == (
        "3.00", "0.50", "0.13", "3.88",
    )  # fmt: skip


def test_every_part_of_the_network_has_its_row_and_every_engine_its_column(recorded_as):
    of = {"tensorrt-tf32-plugin": (4.0, 2.0), "tensorrt-fp16-plugin": (3.0, 2.5), "tensorrt-qdq-plugin": (1.0, 5.0)}
    made = [record(f"fbocc-published-{end}-profile", {"part/neck_ms": neck, "part/none_ms": none}, date=TODAY)
            for end, (neck, none) in of.items()]  # fmt: skip
    assert rows(occupancy.occupancy_parts(recorded_as(*made))) == [
        ["part", "TF32, ms", "FP16, ms", "INT8 and FP16, ms"],
        ["between modules", "2.00", "2.50", "5.00"],
        ["`neck`", "4.00", "3.00", "1.00"],
    ]


def test_a_profile_without_parts_has_no_such_table(recorded_as):
    found = recorded_as(record("fbocc-published-tensorrt-fp16-plugin-profile", {"sum_ms": 1.0}, date=TODAY))
    assert occupancy.occupancy_parts(found).endswith("not recorded.")


def test_a_mean_of_labeled_classes_is_told_of_records_that_lack_the_metric_too(recorded_as):
    told = {"mIoU": 30.0, "RayIoU": 50.0, "classes_differ": 0.1, "logits_rel": 0.2, "IoU/bus": 60.0, "IoU/car": 20.0}
    name = "fbocc-mini-tensorrt-{}-plugin".format
    found = recorded_as(
        record(name("fp32"), told | {"mIoU": 20.0, "IoU/others": 0.0}),  # a class of no label, predicted somewhere
        record(name("tf32"), {key: told[key] for key in list(told)[:4]}),
        record(name("fp16"), told | {"mIoU": 40.0, "mIoU/labeled": 35.0}),
    )
    head, *body = rows(occupancy.occupancy(found))
    assert [row[head.index("mIoU, labeled classes")] for row in body] == ["40.00", "", "35.00"]


def test_accuracy_says_which_graph_a_row_is_of(recorded_as):
    scores = {"mIoU": 39.0, "RayIoU": 50.0, "classes_differ": 0.1, "logits_rel": 0.2}
    name = "fbocc-mini-tensorrt-{}".format
    dates = {"fp32-plugin": f"{occupancy.BEFORE}T12:00:00+00:00", "qdq-tf32-plugin": TODAY}
    on_cpu = record("fbocc-mini-onnxruntime-qdq", scores, "Intel, 2 cores", TODAY)
    found = recorded_as(on_cpu, *(record(name(end), scores, date=date) for end, date in dates.items()))
    labels = [row[0] for row in rows(occupancy.occupancy(found))[1:]]
    later = ["TensorRT, INT8 by Q/DQ, the rest TF32", "ONNX Runtime, INT8 by Q/DQ, on a CPU"]
    assert labels == ["TensorRT FP32", *(f"{label}, the later graph" for label in later)]


def test_all_that_is_timed_of_fbocc_has_a_row():
    pytorch = pytest.importorskip("benchmarks.pytorch")
    options = measure_gpu.parse(["tensorrt", "--system=fbocc", f"--plugin={__file__}"])
    timed = {f"tensorrt-{name}" for name in built(options, "published") if engines.bare(name) != "best"}
    eager = {"fp32", "tf32", "fp16", *pytorch.OF_KERNELS}
    timed |= {f"pytorch-{name}{end}" for name in eager for end in ("", "-kernels")}
    assert {name.replace("_", "-") for name in timed} == occupancy.TIMES.keys()


def test_logits_that_nobody_held_against_pytorch_are_not_called_broken(recorded_as):
    asked = {"prompt": 5, "tokens": 3, "capacity": 8, "tpot_ms_p50": 2.0, "ttft_ms_p50": 8.0}
    found = recorded_as(
        record("language-llama2-pytorch-eager", asked | {"finite": "False"}),
        record("language-llama2-pytorch-compile", asked | {"finite": "True", "prefill_rel": 1e-3, "decode_rel": 2e-3}),
        record("language-llama2-tensorrt-fp16", asked),
    )
    head, *body = rows(language.language(found).partition("\n\n")[2])
    errors = [dict(zip(head, row, strict=True))["error of the logits"] for row in body]
    assert errors == ["not finite", "1.0e-03, 2.0e-03", "not checked"]


def test_a_ratio_has_its_base_in_the_same_run(recorded_as):
    base, engine = "bevformer-mini-tensorrt-fp32-plugin", "bevformer-mini-tensorrt-fp16-plugin"
    later = "2026-02-01T12:00:00+00:00"
    found = recorded_as(
        record(base, {"gpu_ms_p50": 4.0}),
        record(engine, {"gpu_ms_p50": 2.0}),
        record(base, {"gpu_ms_p50": 40.0}, date=later),
    )
    row = found.latest(engine)
    assert found.beside(row, base).metrics["gpu_ms_p50"] == 4.0
    other = dataclasses.replace(row, date=later, commit="feed")
    with pytest.raises(BadInput, match="beside"):
        found.beside(other, base)


def test_a_link_names_device_and_day_and_leads_to_the_file(recorded_as):
    found = recorded_as(record("a", {"x": 1}))
    link = found.link(found.latest("a"))
    assert link.replace(recorded.NO_BREAK, " ") == "[H200, 31 Jan 2026](../results/a-20260131T120000Z.json)"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.695, 2, "0.70"), (2.675, 2, "2.68"), (12.5, 0, "13"), (27, 0, "27"), (0.0004, 3, "0.000"), (1e-7, 2, "0.00")],
)
def test_halves_are_rounded_up(value, digits, text):
    assert recorded.rounded(value, digits) == text


def test_published_table_says_what_the_records_say():
    results = recorded.Recorded(ROOT / "results")
    head, *body = rows(tables.published(results))
    by_label = {row[0]: dict(zip(head, row, strict=True)) for row in body}
    assert len(by_label) == len(tables.LABELS)
    for name, label in tables.LABELS.items():
        metrics, row = results.latest(tables.PUBLISHED + name).metrics, by_label[label]
        assert row["GPU, ms"] == (f"{metrics['gpu_ms_p50']:.2f}" if "gpu_ms_p50" in metrics else "")
        assert tables.PUBLISHED + name in row["record"]
        over = metrics.get("speedup_over_fp32_plugin")  # by the program that measured
        if over:
            assert float(row["FP32 / this"]) == pytest.approx(over, abs=0.006)
    wrong = by_label[tables.LABELS[tables.WRONG]]
    assert not wrong["engine, MiB"] and not wrong["FP32 / this"] and wrong["A40, ms"] == "6.02"


def test_the_wrong_engine_is_shown_with_its_accuracy():
    head, *body = rows(tables.mini(recorded.Recorded(ROOT / "results")))
    table = {row[0]: dict(zip(head, row, strict=True)) for row in body}
    (wrong,) = (row for label, row in table.items() if "**wrong**" in label)
    assert float(wrong["NDS"]) < 0.2
    for precision in ("INT8 by Q/DQ, the rest FP16", "FP16"):
        assert float(table[f"{precision}, projected by the host"]["NDS"]) > 0.66


def test_what_was_not_measured_on_the_cpu_says_so():
    head, *body = rows(tables.on_cpu(recorded.Recorded(ROOT / "results")))
    by_label = {row[0]: dict(zip(head, row, strict=True)) for row in body}
    rewritten = by_label["the same, rewritten for CPUs (`quantize.for_cpu`)"]
    assert rewritten["NDS"] == "not measured" and rewritten["FP32 / this"] == "0.93"
    assert all(row["record"].count("](../results/") == 2 for row in by_label.values() if row["FP32 / this"])


def test_published_figures_are_those_the_benchmark_compares_with():
    ours = {name.split("-")[1]: value for name, value in tables.A40.items()}
    assert ours == {name: SYSTEMS["bevformer"].published[name]["ms"] for name in ours}


def test_sums_of_the_profile_and_of_gridsample():
    metrics = {
        "profile": {"sum_ms": 9.0, "type/CaskConvolution_ms": 1.0, "type/CaskPooling_ms": 0.5, "type/Myelin_ms": 2.0,
                    "type/PluginV2_ms": 0.25, "type/Reformat_ms": 4.0, "top_01_ms": 2.0},
        "gridsample": {"cases": 2, "a/native_fp32": 0.5, "a/native_fp16": 0.5, "b/native_fp32": 0.1,
                       "b/native_fp16": 0.2, "b/rewrite_fp32": 0.1},
        "by_host": {"NDS": 0.5}, "by_host_fp32": {"NDS": 0.75},
        "occupancy_onnx": {"mIoU/labeled": 39.0}, "occupancy_int8": {"mIoU/labeled": 38.5},
    }  # fmt: skip
    assert figures._sums(metrics) == {
        "profile_ms": 9.0, "convolutions_ms": 1.5, "transformer_ms": 2.25, "gridsample_kept": 1,
        "by_host_loss": 0.25, "occupancy_int8_loss": 0.5,
    }  # fmt: skip


def test_a_field_that_nobody_fills_is_named():
    results = recorded.Recorded(ROOT / "results")
    assert "3.11 ms" in pages.results_page(results, "{int8[gpu_ms_p50]:.2f} ms")
    for template in ("{int9}", "{int8[gpu_ms]}", "{int8[gpu_ms_p50]:q}"):
        with pytest.raises(BadInput, match="a field that cannot be filled"):
            pages.results_page(results, template)


def test_readme_s_table_goes_between_its_comments():
    text = f"before\n{pages.BEGIN}old\n{pages.END}\nafter"
    assert pages.filled(text, "new", "README.md") == f"before\n{pages.BEGIN}new\n{pages.END}\nafter"
    for broken in ("nothing", f"{pages.BEGIN}x", f"{pages.END}{pages.BEGIN}", text + text):
        with pytest.raises(BadInput, match="once each"):
            pages.filled(broken, "new", "README.md")


def test_what_is_kept_is_of_kind_recorded():
    files = recorded.Recorded(ROOT / "results").files
    assert [name for name, record in files.items() if record.kind != "recorded"] == []


def test_readme_shows_every_system_beside_what_it_is_compared_with():
    results = recorded.Recorded(ROOT / "results")
    head, *body = rows(pages.chosen(results))
    assert head == ["", "result", "compared with", "record"]
    assert all(any(name in row[0] for row in body) for name in ("BEVFormer", "FB-OCC", "OmniDrive", "OpenVLA", "UniAD"))
    assert all("](results/" in row[3] for row in body)
    assert "NDS" in body[-1][1] and "must fail" in body[-1][0]
    assert all(("CUDA graph" in row[0]) == ("CUDA graph" in row[2]) for row in body), "a graph beside no graph flatters"
    ours, base = (
        results.latest(f"uniad-published-{name}").metrics for name in ("tensorrt-tf32-plugin", "pytorch-tf32")
    )
    assert any(all(f"{one['graph_gpu_ms_p50']:.2f}" in text for one, text in ((ours, row[1]), (base, row[2])))
               for row in body)  # fmt: skip


def test_picture_is_svg_whose_bars_are_as_long_as_the_times():
    svg = ElementTree.fromstring(picture.road(recorded.Recorded(ROOT / "results")))
    space = "{http://www.w3.org/2000/svg}"
    bars = [one for one in svg.iter(f"{space}rect") if one.get("class") in ("torch", "engine")]
    texts = [one.text for one in svg.iter(f"{space}text")]
    times = [float(texts[texts.index(label) + 1]) for label, _ in picture.BARS]
    lengths = [float(bar.get("width")) for bar in bars]
    assert len(bars) == len(times)
    assert [length / lengths[0] for length in lengths] == pytest.approx([t / times[0] for t in times], rel=2e-3)
    assert "24.30" in svg.find(f"{space}title").text


def test_stale_pages_are_named_and_renewed(root, capsys):
    assert command.main(["--check"], root) == 1
    said = capsys.readouterr().out
    assert "docs/results.md: stale (fix: make docs)" in said and "road.svg: stale" in said and "README" not in said
    assert not list((root / "docs").iterdir())
    assert command.main([], root) == 0
    assert command.main(["--check"], root) == 0
    page = root / "docs/results.md"
    page.write_text(page.read_text().replace("24.30", "24.29"))
    capsys.readouterr()
    assert command.main(["--check"], root) == 1
    assert capsys.readouterr().out == "docs/results.md: stale (fix: make docs)\n"


def test_a_changed_figure_in_the_readme_is_stale(root, capsys):
    readme = root / "README.md"
    readme.write_text(readme.read_text().replace("3.45", "2.45"))
    assert command.main(["--check"], root) == 1
    assert "README.md: stale" in capsys.readouterr().out


def test_a_damaged_record_is_bad_input(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/a.json").write_text("{")
    with pytest.raises(BadInput, match=r"a\.json"):
        command.main(["--check"], tmp_path)


def test_the_form_that_the_host_projects_has_a_row_for_every_label(recorded_as):
    times = {
        "gpu_ms_p50": 4.0,
        "graph_gpu_ms_p50": 3.0,
        "enqueue_ms_p50": 2.0,
        "host_ms_p50": 8.0,
        "over_roofline": 1.5,
    }
    names = [f"bevformer-inputs-published-{name}" for name in tables.PROJECTED_LABELS]
    ms = {name: 8.0 if "fp32" in name else 6.0 if name.endswith("tensorrt-tf32-plugin") else 4.0 for name in names}
    found = rows(tables.projected(recorded_as(*(record(name, times | {"gpu_ms_p50": ms[name]}) for name in names))))
    head, *body = found
    assert [row[0] for row in body] == list(tables.PROJECTED_LABELS.values())
    by_label = {row[0]: dict(zip(head, row, strict=True)) for row in body}
    eight = by_label["INT8 by Q/DQ, the rest FP16"]
    assert (eight["FP32 / this"], eight["TF32 / this"], eight["queued in, ms"]) == ("2.00", "1.50", "2.0")
    assert (eight["graph, ms"], eight["over the roofline"]) == ("3.00", "1.5")


def test_gains_of_graphs_are_those_of_the_form_that_the_host_projects():
    ms = {"fp32": 10.0, "tf32": 4.0, "fp16": 2.0, "int8": 2.0}
    own = {name: {"graph_gpu_ms_p50": value} for name, value in ms.items()}
    hosts = {f"host_{name}": {"graph_gpu_ms_p50": value * share} for (name, value), share in
             zip(ms.items(), (0.9, 1.0, 0.95, 0.8), strict=True)}  # fmt: skip
    more = {"host_qdq": {"graph_gpu_ms_p50": 1.0}, "host_eager": {"graph_gpu_ms_p50": 5.7}}
    found = figures._graphs(own | hosts | more)
    assert found["host_gain_least"] == pytest.approx(0) and found["host_gain_most"] == pytest.approx(0.2)
    assert found["host_tf32_graph_over_qdq"] == pytest.approx(4) and found["host_fp16_graph_over_qdq"] == pytest.approx(
        1.9
    )
    assert found["host_eager_graph_over_fp16"] == pytest.approx(3)


def test_what_the_lesson_on_fbocc_quotes_is_what_is_recorded():
    results, text = recorded.Recorded(ROOT / "results"), (ROOT / "notebooks/systems/fbocc.ipynb").read_text()
    of = lambda name, metric: recorded.figure(results.latest(f"fbocc-{name}"), metric, 2)  # noqa: E731
    eager, compiled = of("published-pytorch-fp32", "gpu_ms_p50"), of("published-pytorch-compile-fp16", "gpu_ms_p50")
    fp16, graph = (of("published-tensorrt-fp16-plugin", f"{way}gpu_ms_p50") for way in ("", "graph_"))
    accuracy = of("mini-tensorrt-fp16-plugin", "mIoU")
    for quoted in (
        f"| PyTorch FP32 | 98.37 | 38.90 | {eager} | {of('mini-pytorch-fp32', 'mIoU')} |",
        f"| torch.compile FP16 | | | {compiled} | |",
        f"| TensorRT FP16, CUDA graph | 34.26 | 38.86 | {graph} | {accuracy} |",
        f"| TensorRT, all in FP16 | | | | {of('mini-tensorrt-fp16-all-plugin', 'mIoU')} |",
        f"it took {of('published-tensorrt-qdq-plugin', 'gpu_ms_p50')} ms on an H200, FP16 alone {fp16}",
        f"beside the {float(graph):.1f} ms that TensorRT on an H200 needs",
    ):
        assert quoted in text, quoted
