"""An executed lesson in small, and a run's report about it."""

import base64

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAIAAAA2iEnWAAAAEElEQVR4nGP4z8AAQhAKAAAf9wP9jq0JhQAAAABJRU5ErkJggg=="
)  # 2 x 3 pixels
DATA = base64.b64encode(PNG).decode()
HEADER = """# First: a lesson

**The claim: a `number` can be doubled,
and [it](glossary.md) is shown.**

| | |
|---|---|
| You need | some `Python` |
| Tier | `cpu`; the same on `gpu` |
| To read | 20 minutes |
| To run | under 2 minutes on two CPU cores; the same on a GPU |
| Previous | none |
| Next | [BEVFormer](systems/bevformer.ipynb) |
"""
EXERCISE = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION\n    # the end"


def html(text):
    return new_output("execute_result", data={"text/html": text, "text/plain": "an object"}, execution_count=1)


def png(alt=None):
    metadata = {"image/png": {"alt": alt}} if alt else {}
    return new_output("display_data", data={"image/png": DATA, "text/plain": "<Image>"}, metadata=metadata)


def code(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), execution_count=1, metadata={"tags": list(tags)})


def lesson(*cells, header=HEADER, **metadata):
    first = [new_markdown_cell(header), code('TIER = "cpu"', tags=["parameters"])]
    injected = code('TIER = "gpu"', tags=["injected-parameters"])
    return new_notebook(cells=[*first, injected, *cells], metadata=metadata)


def entry(name, **changes):
    return {
        "notebook": name, "title": f"Title of {name}", "status": "passed", "seconds": 1.5, "reason": "",
        "reused": False, "exercises": [], "error": None,
    } | changes  # fmt: skip


def report(*entries):
    return {
        "date": "2026-11-28T10:55:25+00:00", "seconds": 90.4, "parameters": {"TIER": "cpu", "RECORDS": "x"}, "cores": 2,
        "jobs": 1, "threads": 2, "notebooks": list(entries),
    }  # fmt: skip
