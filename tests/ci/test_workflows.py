"""The workflows: least rights, actions by commit, packages by hash, commands that exist, and an end to every job."""

import importlib.util
import re

import pytest
import yaml

from helpers.files import ROOT

WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.y*ml"))
ALLOWED = {("pages", "deploy"): {"pages": "write", "id-token": "write"}}
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PROGRAMS = {"apt-get", "make", ".ci/run", "python", ".venv/bin/python", "pip", "sudo"}  # what a command may begin with


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    """(name, text, jobs) of one workflow."""
    text = request.param.read_text()
    return request.param.stem, text, yaml.safe_load(text)["jobs"]


def commands(jobs):
    """The commands of all steps, those joined by && apart."""
    lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    return [command.strip() for line in lines for command in re.split(r"&&|\n", line) if command.strip()]


def absent(command):
    """The first thing that a command names and that is not there, or None."""
    words = command.removeprefix("sudo ").split()
    modules = re.findall(r"-m ([\w.]+)", command)
    paths = re.findall(
        r"(?<!\S)(?:requirements|notebooks|ci|tests|data_scripts|helpers)/[\w./]+|(?<!\S)\.ci/run", command
    )
    missing = [word for word in words[:1] if word not in PROGRAMS]
    missing += [target for target in words[1:] if words[0] == "make" and "=" not in target and target not in TARGETS]
    missing += [name for name in modules if not importlib.util.find_spec(name)]
    missing += [path for path in paths if not (ROOT / path).exists()]
    return next(iter(missing), None)


def test_a_workflow_may_do_what_it_has_to_and_no_more(workflow):
    name, text, jobs = workflow
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    assert {job: body.get("permissions") for job, body in jobs.items()} == {
        job: ALLOWED.get((name, job)) for job in jobs
    }
    assert "pull_request_target" not in text and "secrets." not in text
    steps = [step for job in jobs.values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_every_job_ends(workflow):
    assert all(job["timeout-minutes"] <= 60 for job in workflow[2].values())


def test_actions_are_pinned_to_commits_and_say_their_release(workflow):
    used = re.findall(r"uses: (.*)", workflow[1])
    steps = [step for job in workflow[2].values() for step in [job, *job["steps"]] if "uses" in step]
    assert used and len(used) == len(steps)
    wrong = [action for action in used if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action)]
    assert not wrong


def test_one_action_has_one_commit():
    pins = {line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text())}
    names = [pin.partition("@")[0] for pin in pins]
    assert len(names) == len(set(names)) and {"ci", "pages", "weekly"} == {path.stem for path in WORKFLOWS}


def test_no_expression_is_put_into_a_shell(workflow):
    """It would run what the name of a branch or the title of a request says."""
    assert not [command for command in commands(workflow[2]) if "${{" in command]


def test_what_a_workflow_installs_has_hashes(workflow):
    installing = [
        command for command in commands(workflow[2]) if re.search(r"\b(pip|pipx|uv|npm|curl|wget)\b", command)
    ]
    assert all(
        re.fullmatch(r"(\.venv/bin/python -m )?pip install --no-deps --require-hashes -r requirements/\w+\.txt", c)
        for c in installing
    )


def test_what_a_workflow_runs_is_there(workflow):
    assert commands(workflow[2]) and not list(filter(None, map(absent, commands(workflow[2]))))


def test_what_is_not_there_is_found():
    assert absent("make setup JOBS=2") is None and absent("sudo .venv/bin/python -m ci.test unit") is None
    assert absent("make no-such") == "no-such" and absent(".venv/bin/python -m ci.no_such") == "ci.no_such"
    assert absent("pip install -r requirements/none.txt") == "requirements/none.txt" and absent("curl x") == "curl"
