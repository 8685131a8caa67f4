"""What is shown in a notebook: Netron, live or as a picture, and what stays in an executed copy."""

import json
import logging
import urllib.request

import nbformat
import onnx
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from helpers import display
from helpers.display import pictures, viewer
from helpers.errors import BadInput
from tests.builders.waiting import HANG


def test_netron_serves_the_file_on_loopback_and_leaves_logging_alone(model, tmp_path, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    before = logging.getLogger().level, list(logging.getLogger().handlers)
    first, page = viewer.open_netron(path), viewer.open_netron(path)
    try:
        assert page.src.startswith("http://127.0.0.1:")
        assert b"Netron" in urllib.request.urlopen(page.src, timeout=HANG).read()
        assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before
        if first.src != page.src:
            with pytest.raises(OSError):
                urllib.request.urlopen(first.src, timeout=HANG)
    finally:
        viewer.stop_netron()
    with pytest.raises(OSError):
        urllib.request.urlopen(page.src, timeout=HANG)


def test_netron_opens_nothing_before_the_click(model, tmp_path, monkeypatch):
    path, served = tmp_path / "net.onnx", []
    onnx.save(model, path)
    monkeypatch.setattr(viewer, "_serve", lambda path: served.append(path) or ("127.0.0.1", 1))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    drawn = display.netron(path)
    assert drawn.format == "png"
    monkeypatch.setenv("JPY_SESSION_NAME", "lesson.ipynb")
    shown, sentence, button, below = display.netron(path, height=300).children
    assert shown.value == pictures.tag(drawn) and drawn.alt
    assert "third parties" in sentence.value and "before you click" in sentence.value
    assert not served and not below.outputs
    button.click()
    assert served == [str(path)]


def test_netron_of_no_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        display.netron(tmp_path / "absent.onnx")


def test_pictures_tables_and_progress_stay_in_an_executed_notebook(tmp_path):
    cells = [
        "from helpers import display, environment\nenvironment.begin()",
        "display.lines({'a': [1, 2, 3]}, title='Three')",
        "total = sum(display.progress(range(5), 'adding'))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        notebook, timeout=HANG, iopub_timeout=HANG, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    assert [len(shown) for shown in outputs] == [1, 1, 1], json.dumps(outputs)[:2000]
    assert "onnxruntime" in outputs[0][0].data["text/html"]
    assert list(outputs[1][0].data) == ["text/html", "text/plain"]
    assert "adding" in outputs[2][0].data["text/html"] and "5/5" in outputs[2][0].data["text/html"]
    page, _ = HTMLExporter().from_notebook_node(notebook)
    picture = '<img alt="Three. Curves of value against step: a goes from 1 to 3, lowest 1 at 0, highest 3 at 2" src="'
    assert f"{picture}data:image/png;base64," in page and "5/5" in page
