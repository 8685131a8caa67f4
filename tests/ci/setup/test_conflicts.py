"""Why the tiers cannot share an environment, in the resolver's words."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ci.setup import conflicts
from tests.ci.setup.locks import pins


def test_recorded_conflicts_carry_their_provenance_and_name_the_packages():
    record = conflicts.recorded()
    assert re.match(r"uv \d", record["resolver"]) and record["command"].startswith("uv pip compile")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", str(record["date"]))
    for conflict in record["conflict"]:
        assert all(Requirement(wanted).name in conflict["words"] for wanted in conflict["requires"]), conflict["name"]
        assert ("unsatisfiable" in conflict["words"]) != conflict["resolves"]


def test_the_conflict_between_course_and_tensorrt_llm_is_that_of_the_locks():
    conflict = next(conflict for conflict in conflicts.recorded()["conflict"] if conflict["name"].endswith("torch"))
    allowed = SpecifierSet(re.search(r"depends on torch(\S+) and", conflict["words"])[1])
    assert allowed.contains(pins("trtllm")["torch"]) and not allowed.contains(pins("trt11")["torch"])
    asked = {Requirement(wanted).name: wanted.split("==")[1] for wanted in conflict["requires"]}
    assert asked == {"tensorrt-llm": pins("trtllm")["tensorrt-llm"], "torch": pins("trt11")["torch"]}


def test_live_conflicts_notice_a_resolver_that_decides_otherwise(fake_uv, capsys):
    assert conflicts.main(["--live", "--uv", fake_uv("tensorrt==1\n")]) == 1
    assert "decides otherwise: course and TensorRT-LLM: torch" in capsys.readouterr().err
    assert conflicts.main(["--live", "--uv", "no-such-uv"]) == 2
    assert conflicts.main([]) == 0
    assert "refused: TensorRT-LLM is compiled against one torch" in capsys.readouterr().out


def test_a_resolver_that_fails_is_not_a_conflict(fake_uv):
    with pytest.raises(RuntimeError, match="did not come to a decision:\nno network"):
        conflicts.main(["--live", "--uv", fake_uv("", "no network")])


def test_words_are_the_reasons_without_the_hints():
    said = "error: No solution found\n  cause: Because a.\n         And b.\n\nhint: drop this\n"
    assert conflicts.words("", said) == "Because a.\nAnd b."
    assert conflicts.words("numpy==1\ntensorrt-cu12==10\n", "") == "tensorrt-cu12==10"
