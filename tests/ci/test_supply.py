"""Bills of materials and the audit: real tools stand behind the programs, which are faked here by what they print."""

import json

import pytest

from ci import supply

BILL = """#!/bin/bash
# Stands for cyclonedx-py: writes a bill of one component whose name is what it was asked about.
while [ "$1" != -o ]; do asked+=" $1"; shift; done
echo "{\\"components\\": [{\\"name\\": \\"$asked\\"}]}" >"$2"
"""
AUDIT = """#!/bin/bash
# Stands for pip-audit: answers $ANSWER, or what is not there.
while [ "$1" != --output ]; do shift; done
[ -f "$ANSWER" ] || { echo "no network" >&2; exit 1; }
cp "$ANSWER" "$2"
exit 1
"""
PINS = "NumPy==1.26.4 --hash=sha256:a\ntorch==2.13.0+cpu --hash=sha256:b\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Function (answer of pip-audit or None) -> exit code of `ci.supply`, for one lock of two pins in tmp_path."""
    for name, text in (("cyclonedx-py", BILL), ("pip-audit", AUDIT)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/cpu.txt").write_text(PINS)
    monkeypatch.setattr(supply, "ROOT", tmp_path)
    monkeypatch.setattr(supply, "OUT", tmp_path / "build/supply")
    monkeypatch.setattr(supply, "NAMES", ["cpu"])
    monkeypatch.setattr(supply, "tools", lambda: tmp_path)
    monkeypatch.setenv("ANSWER", str(tmp_path / "answer.json"))

    def run(*words, answer=None):
        if answer is not None:
            (tmp_path / "answer.json").write_text(json.dumps({"dependencies": answer}))
        return supply.main(list(words))

    run.root = tmp_path
    return run


def pin(name, version, *vulnerabilities):
    return {"name": name, "version": version, "vulns": list(vulnerabilities)}


def test_every_pin_is_looked_up_and_clean(here, capsys):
    assert here("audit", answer=[pin("numpy", "1.26.4"), pin("torch", "2.13.0")]) == 0
    assert "cpu          2 pins: 0 with known faults, 0 not looked up" in capsys.readouterr().out
    assert (here.root / "build/supply/cpu.pins.txt").read_text() == "NumPy==1.26.4\ntorch==2.13.0\n"


def test_a_known_fault_fails_naming_pin_id_and_the_release_that_mends_it(here, capsys):
    faults = [{"id": "PYSEC-1", "fix_versions": ["2.1"]}, {"id": "PYSEC-2", "fix_versions": []}]
    assert here("audit", answer=[pin("numpy", "1.26.4", *faults), pin("torch", "2.13.0")]) == 1
    assert "NumPy==1.26.4: PYSEC-1, PYSEC-2; fixed in 2.1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([pin("numpy", "1.26.4"), {"name": "torch", "skip_reason": "not on the index"}], "not on the index"),
        ([pin("numpy", "1.26.4")], "pip-audit says nothing of it"),
        (None, "no audit: no network"),
    ],
)
def test_an_audit_that_did_not_look_has_not_passed(here, capsys, answer, said):
    assert here("audit", answer=answer) == 1
    assert said in capsys.readouterr().out


def test_an_old_report_is_not_taken_for_the_new_one(here, capsys):
    assert here("audit", answer=[pin("numpy", "1.26.4"), pin("torch", "2.13.0")]) == 0
    (here.root / "answer.json").unlink()
    assert here("audit") == 1


def test_bills_of_the_lock_and_of_what_is_installed(here, capsys):
    assert here("bills") == 0
    named = {path.name: json.loads(path.read_text())["components"][0]["name"] for path in here.root.glob("build/**/*")
             if path.name.endswith(".cdx.json")}  # fmt: skip
    assert set(named) == {"cpu.cdx.json", "installed.cdx.json"}
    assert "requirements/cpu.txt" in named["cpu.cdx.json"] and " environment " in named["installed.cdx.json"]
    (here.root / "cyclonedx-py").write_text("#!/bin/bash\nexit 3\n")
    assert here("bills") == 2 and "cyclonedx-py failed" in capsys.readouterr().err
