"""The beginning of lesson 00 in JupyterLab, in the learner's copy: it runs, exercises are refused and then pass, a
slider moves.
"""

import copy
import os
import re
import shutil
import subprocess
import sys
import time

import nbformat
import pytest

from ci.lessons import lab as starter
from ci.lessons.learner import clear, exercises, learner_copy
from helpers.files import ROOT
from tests.browser.watched import watched
from tests.builders.waiting import HANG

LESSON = ROOT / "notebooks/00_start_here.ipynb"
SCREEN = {"width": 1400, "height": 900}
SECONDS = 240
# Runs a command on the open notebook and gives, for each code cell, (number of its run, error or None, its text).
RUN = """async command => {
  const panel = jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await jupyterapp.commands.execute(command);
  return panel.content.widgets.filter(cell => cell.model.type === 'code').map(cell => {
    const outputs = cell.model.outputs.toJSON();
    const error = outputs.find(output => output.output_type === 'error');
    const text = outputs.map(output => output.text || '').flat().join('');
    return [cell.model.executionCount, error ? error.ename + ': ' + error.evalue : null, text];
  });
}"""
SOURCES = "jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.sharedModel.getSource())"
WITHOUT_TEXT = (
    "[...document.querySelectorAll('.jp-OutputArea img')].filter(i => !i.alt).map(i => i.outerHTML.slice(0, 99))"
)
SELECT = """place => {
  const content = jupyterapp.shell.currentWidget.content;
  content.activeCellIndex = place;
  content.mode = 'edit';
  return content.scrollToItem(place, 'center');
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """The address of a JupyterLab that holds the learner's copy of the lesson, and the notebook with its solutions."""
    folder, source = tmp_path_factory.mktemp("lab"), beginning(nbformat.read(LESSON, as_version=4))
    parameters = next(cell for cell in source.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = parameters.source.replace("FAST = False", "FAST = True")
    nbformat.write(learner_copy(copy.deepcopy(source)), folder / LESSON.name)
    options = {
        "ServerApp.root_dir": folder,
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": 0,
        "ServerApp.open_browser": False,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,
        "LabApp.user_settings_dir": folder / "settings",
        "LabApp.workspaces_dir": folder / "workspaces",
    }
    command = [sys.executable, "-m", "jupyterlab", *[f"--{key}={value}" for key, value in options.items()]]
    environment = (
        os.environ | starter.settings({}) | {"JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "PYTHONPATH": str(ROOT)}
    )
    log = folder / "lab.log"
    with open(log, "w") as stream:
        server = subprocess.Popen([*command, "--allow-root"], cwd=ROOT, env=environment, stderr=stream, stdout=stream)
    try:
        yield address(log, server), source
    finally:
        server.terminate()
        server.wait(HANG)
        shutil.rmtree(folder, ignore_errors=True)


def beginning(source):
    """The lesson up to its first slider, and the next exercise: what lies between and behind only takes minutes."""
    slider = next(place for place, cell in enumerate(source.cells) if "display.slider(" in cell.source)
    following = next(place for place, _, _ in exercises(source) if place > slider)
    source.cells = source.cells[: slider + 1] + source.cells[following - 1 : following + 3]
    assert len(exercises(source)) == 2
    return source


def address(log, server):
    for _ in range(10 * HANG):
        found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
        if found or server.poll() is not None:
            break
        time.sleep(0.1)
    assert found, log.read_text()[-3000:]
    return found[0]


def write_in(page, place, text):
    """Replace the text of a cell as a learner does who selects all of it and pastes."""
    page.evaluate(SELECT, place)
    page.locator(".jp-Notebook .jp-Cell.jp-mod-active .cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)
    page.wait_for_function(f"([place, text]) => {SOURCES}[place] === text", arg=[place, text])


def test_run_all_refuses_an_empty_exercise_and_passes_with_the_solutions(chromium, lab):
    home, source = lab
    solutions = {clear(source.cells[place].source): source.cells[place].source for place, _, _ in exercises(source)}
    with watched(chromium, home, viewport=SCREEN) as (page, noted):
        page.set_default_timeout(SECONDS * 1000)
        page.goto(f"{home}lab/tree/{LESSON.name}")
        page.wait_for_function("window.jupyterapp && jupyterapp.shell.currentWidget?.content?.widgets?.length > 25")

        ran = page.evaluate(RUN, "notebook:run-all-cells")
        (refused,) = [error for _, error, _ in ran if error]
        message = refused.removeprefix("Wrong: ").splitlines()[0]
        assert refused.startswith("Wrong: ") and len(message) > 30
        page.get_by_text(message[:60]).last.wait_for(state="visible")

        for place, text in enumerate(page.evaluate(SOURCES)):
            if text in solutions:
                write_in(page, place, solutions[text])
        assert set(solutions.values()) <= set(page.evaluate(SOURCES))
        ran = page.evaluate(RUN, "notebook:run-all-cells")
        assert [error for _, error, _ in ran if error] == []
        assert all(count for count, _, _ in ran)
        assert sum(bool(re.search("^Right[.]", text, re.MULTILINE)) for _, _, text in ran) == len(solutions)

        slider = page.locator(".onramp-slider").first
        slider.scroll_into_view_if_needed()
        before = slider.locator("[data-page]:visible img").get_attribute("src")
        slider.locator("input").press("ArrowRight")
        assert slider.locator("[data-page]:visible img").get_attribute("src") != before
        assert page.evaluate(WITHOUT_TEXT) == []
        assert page.get_by_text("Jupyter news").count() == 0
        assert [text for text in noted if text.startswith("outside")] == []
