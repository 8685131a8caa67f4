"""The workflows: every action is pinned to a commit, and no job may do more than it has to."""

import re

import pytest
import yaml

from helpers.files import ROOT

WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
ALLOWED = {("pages", "deploy"): {"pages": "write", "id-token": "write"}}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow(path):
    text = path.read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job.get("permissions") == ALLOWED.get((path.stem, name)), name
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            if "actions/checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
    used = re.findall(r"uses: (.*)", text)
    assert used and all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line) for line in used), used


def test_one_action_has_one_commit():
    pins = {line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text())}
    names = [pin.partition("@")[0] for pin in pins]
    assert len(names) == len(set(names)) and {"ci", "pages"} <= {path.stem for path in WORKFLOWS}
