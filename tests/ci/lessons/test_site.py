"""The pages of a run: the summary, a page for each lesson, tables of figures."""

import re
from unittest.mock import ANY

from ci.lessons import site, tables
from helpers import records


def test_pages(batch):
    records.write(records.record("speed", {"NDS": 0.25, "latency_ms_p50": 12.5}, "make run"), batch.out / "records")
    page = site.build(batch.out).read_text()
    assert page.count("✗ failed") == sum(entry["status"] == "failed" for entry in batch.entries.values()) > 0
    assert 'href="html/passes.html"' in page
    assert page.index("<h3>Accuracy</h3>") < page.index("0.25") < page.index("<h3>Latency</h3>") < page.index("12.5")
    assert "FAST is True" in (batch.out / "html/passes.html").read_text()
    assert not (batch.out / "html/skipped.html").exists()


def test_tables_of_figures_stay_narrow(tmp_path):
    """Runs with other figures each: their names go down the page, not across, and can be broken over lines."""
    timing = {f"{kind}_ms_{key}": 1.5 for kind in ("gpu", "host", "graph_gpu") for key in ("p50", "p99", "n")}
    other = {"latency_ms_p50": 2.5, "latency_ms_p90": 3.25, "latency_ms_mean_fp32": 4.5, "queue_p99": 0.1}
    parts = {f"type/Kind{k}_ms": 0.5 for k in range(30)} | {f"top_{k:02}_ms": 0.25 for k in range(30)}
    for name, figures in {"on_gpu": timing | {"build_seconds": 9.5}, "on_cpu": other, "profile": parts}.items():
        records.write(records.record(name, figures, "make run"), tmp_path)
    html = site.records_section("Recorded", "", tmp_path).replace("<wbr>", "")
    latency, others = re.findall(r"<table>.*?</table>", html)
    assert [cells(row) for row in latency.split("</tr>")[:-1]] == [
        ["run", "figure", "value or p50", "p90", "p99", "n", "device"],
        ["on_cpu", "latency_ms", "2.5", "3.25", "", "", ANY],
        ["", "latency_ms_mean_fp32", "4.5", "", "", "", ""],
        ["on_gpu", "gpu_ms", "1.5", "", "1.5", "1.5", ANY],
        ["", "host_ms", "1.5", "", "1.5", "1.5", ""],
        ["", "graph_gpu_ms", "1.5", "", "1.5", "1.5", ""],
        ["", "build_seconds", "9.5", "", "", "", ""],
    ]
    assert cells(others.split("</tr>")[0]) == ["run", "figure", "value or p50", "device"]
    assert others.count("<tr>") == 1 + len(parts) + 1
    assert "top_<wbr>01_<wbr>ms" in tables.cell("top_01_ms") and "a/<wbr>b" in tables.cell("a/b")


def cells(row):
    return re.findall(r"<t[dh](?: [^>]*)?>(.*?)</t[dh]>", row)
