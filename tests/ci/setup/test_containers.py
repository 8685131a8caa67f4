"""The Dockerfile's rules, the dev containers, the packages for conda."""

import json
import re

import pytest
import yaml

from ci.setup import containers, dockerfile
from helpers.errors import BadInput
from helpers.files import ROOT
from tests.ci.setup.locks import TIERS, pins

DOCKERFILE = (ROOT / "Dockerfile").read_text()
GOOD = """ARG IMAGE=debian:12.13-slim
FROM ${IMAGE} AS tools
RUN apt-get update \\
    && apt-get install --yes --no-install-recommends git \\
    # a comment
    && rm -rf /var/lib/apt/lists/*
FROM tools AS course
LABEL org.opencontainers.image.title="x" org.opencontainers.image.licenses="Apache-2.0"
COPY requirements requirements
RUN pip install --no-deps --require-hashes --requirement requirements/cpu.txt
USER 1010:1010
HEALTHCHECK --timeout=60s CMD ["true"]
"""


def test_the_dockerfile_keeps_the_rules():
    assert dockerfile.breaches(DOCKERFILE, ROOT) == []
    assert dockerfile.breaches(GOOD, ROOT) == []


@pytest.mark.parametrize(
    ("old", "new", "breach"),
    [
        ("debian:12.13-slim", "debian", "not pinned"),
        ("debian:12.13-slim", "debian:latest", "not pinned"),
        ("ARG IMAGE=debian:12.13-slim\n", "", "not pinned"),
        ("debian:12.13-slim", "localhost:5000/debian", "not pinned"),
        ("USER 1010:1010\n", "", "runs as root"),
        ("USER 1010:1010", "USER 1010\nUSER root", "runs as root"),
        ("HEALTHCHECK --timeout=60s CMD", "CMD", "no HEALTHCHECK"),
        ("    && rm -rf /var/lib/apt/lists/*", "    && true", "rm -rf /var/lib/apt/lists"),
        ("--no-install-recommends ", "", "--no-install-recommends"),
        ("apt-get update \\\n    && ", "", "apt-get update"),
        ("COPY requirements", "ADD https://example.org/x.tar.gz", "use COPY"),
        ("COPY requirements ", "COPY requirement ", "no such file"),
        ("COPY requirements ", "COPY .git ", ".dockerignore keeps it out"),
        (" --no-deps", "", "without a lock"),
        (" --require-hashes", "", "without a lock"),
        ("USER 1010:1010", "ENV HF_TOKEN=hf_x\nUSER 1010:1010", "keep a secret"),
        ("org.opencontainers.image.licenses", "licence", "no label org.opencontainers.image.licenses"),
        ("RUN pip", "RUN curl x | sh && pip", "no place"),
        ("FROM tools AS course", "FROM tools", "no name"),
    ],
)
def test_each_rule_of_the_dockerfile_catches(old, new, breach):
    assert old in GOOD
    assert breach in "\n".join(dockerfile.breaches(GOOD.replace(old, new), ROOT))


@pytest.mark.parametrize("text", ["", "RUN true\n", "FROM a:1\nINSTALL x\n", "FROM a:1 b\n", "FROM a:1\nRUN <<X\n"])
def test_a_dockerfile_that_is_not_understood_is_refused(text):
    with pytest.raises(BadInput):
        dockerfile.read(text)


def test_stages_continue_each_other_and_lines_are_those_of_the_file():
    tools, course = dockerfile.read(GOOD)
    assert (tools.name, tools.base, course.parent, course.line) == ("tools", "debian:12.13-slim", tools, 7)
    assert [instruction.line for instruction in course.all("RUN")] == [3, 10]
    assert "comment" not in tools.own[0].text


@pytest.mark.parametrize(
    ("path", "out"),
    [
        ("helpers/graph/edit.py", False),
        ("helpers/__pycache__/graph.pyc", True),
        (".venv-gpu/bin/python", True),
        (".git/config", True),
        ("data/minidrive/x.json", True),
        ("data_scripts/train.py", False),
        ("Dockerfile", True),
    ],
)
def test_what_is_sent_to_the_builder(path, out):
    assert dockerfile.ignored(path, dockerfile.ignore_rules(ROOT)) is out


def test_image_tags_agree_with_the_locks():
    stages = {stage.name: stage for stage in dockerfile.read(DOCKERFILE)}
    assert stages["llm"].base.endswith(f":{pins('trtllm')['tensorrt-llm']}")
    assert set(stages) == {"tools", "cpu", "course", "llm"}
    needed = set(re.findall(r"python3\.\d+", stages["tools"].own[0].text))
    assert needed == {f"python{TIERS['cpu']['python']}"}


def test_lint_says_whether_hadolint_ran(tmp_path, capfd):
    assert containers.main(["lint", "--hadolint", "no-such-hadolint"]) == 0
    assert "not installed here, so not run" in capfd.readouterr().out
    fake = tmp_path / "hadolint"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Linter 1 || exit 1\n')
    fake.chmod(0o755)
    assert containers.main(["lint", "--hadolint", str(fake)]) == 1


PROPERTIES = {  # the base schema at containers.dev/implementors/json_schema
    "name": str, "build": dict, "remoteUser": str, "runArgs": list, "containerEnv": dict, "postCreateCommand": str,
    "forwardPorts": list, "hostRequirements": dict, "customizations": dict,
}  # fmt: skip


@pytest.mark.parametrize("name", ["devcontainer.json", "gpu/devcontainer.json"])
def test_dev_containers(name):
    path = ROOT / ".devcontainer" / name
    content = json.loads(path.read_text())
    assert all(isinstance(value, PROPERTIES[key]) for key, value in content.items())
    build, needs = content["build"], content["hostRequirements"]
    assert (path.parent / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (path.parent / build["context"]).resolve() == ROOT
    stage = next(stage for stage in dockerfile.read(DOCKERFILE) if stage.name == build["target"])
    assert f"useradd --create-home --shell /bin/bash --uid 1010 {content['remoteUser']}" in str(stage.all("RUN"))
    assert type(needs["cpus"]) is int and all(re.fullmatch(r"\d+[tgmk]b", needs[key]) for key in ("memory", "storage"))
    gpu = name.startswith("gpu")
    assert needs.get("gpu", False) is gpu and ("--gpus" in content.get("runArgs", [])) is gpu
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert all(target in targets for target in re.findall(r"make (\w+)", content["postCreateCommand"]))


def test_conda_brings_the_programs_and_leaves_the_packages_to_the_lock():
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    needed = {"python=" + TIERS["cpu"]["python"], "pip", "make", "gcc", "gxx", "git"}
    assert set(content["dependencies"]) == needed and content["channels"] == ["conda-forge"]
