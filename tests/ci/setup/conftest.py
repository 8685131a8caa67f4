"""A resolver that answers what a test tells it to."""

import pytest

FAKE_UV = """#!/bin/bash
# Stands for uv: keeps what it was asked, answers what $ANSWER holds.
[ "$1" = --version ] && { echo "uv 9.9.9 (x)"; exit; }
echo "$*" >>"$CALLS"
case "$*" in *pylock.toml*) cat >/dev/null; cat "$ANSWER.pylock"; exit ;; esac
for last; do :; done
cp "${@: -2:1}" "$CALLS.constraint" 2>/dev/null
if [ -f "$ANSWER.stderr" ]; then cat "$ANSWER.stderr" >&2; exit 1; fi
cat "$ANSWER"
"""


@pytest.fixture
def fake_uv(tmp_path, monkeypatch):
    """Function (stdout, stderr=None, pylock="") -> path of a fake uv; it says `pylock` of the files on the index."""

    def make(stdout, stderr=None, pylock=""):
        program, answer = tmp_path / "uv", tmp_path / "answer"
        program.write_text(FAKE_UV)
        program.chmod(0o755)
        answer.write_text(stdout)
        (tmp_path / "answer.pylock").write_text(pylock)
        if stderr is not None:
            (tmp_path / "answer.stderr").write_text(stderr)
        monkeypatch.setenv("ANSWER", str(answer))
        monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
        return str(program)

    return make
