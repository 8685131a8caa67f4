"""`python -m helpers serve` and `act`: a server and its client from a shell."""

import signal
import subprocess
import sys

import pytest
from PIL import Image

from helpers import __main__ as cli
from helpers.cli import serve
from helpers.files import ROOT
from helpers.serve import reach
from helpers.serve.limits import Limits


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(reach.picture({"red": (0.2, 0.3)}, (0.5, 0.5), 96)).save(tmp_path / "table.png")
    return str(tmp_path / "table.png")


def test_a_picture_in_an_action_and_its_reasoning_out(picture, tmp_path, capfd):
    (tmp_path / "token").write_text("s3cret\n")
    token = f"--token={tmp_path / 'token'}"
    command = [sys.executable, "-m", "helpers", "serve", "reach", "--port=0", token, "--queue=1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = f"--url={server.stdout.readline().strip()}"
            assert cli.main(["act", picture, "go to the red block", url, token]) == 0
            said = capfd.readouterr().out
            assert (
                "action    -0." in said and "generated TASK: go to the red block" in said and "ms        queue" in said
            )
            assert cli.main(["act", picture, "red", url, token, "--ids"]) == 0
            assert "ids       319" in capfd.readouterr().out
            assert cli.main(["act", picture, "red", url, token, "--form=openvla"]) == 0
            assert "generated" not in capfd.readouterr().out
            assert cli.main(["act", picture, "red", url]) == 2 and "HTTP 401" in capfd.readouterr().err
        finally:
            server.send_signal(signal.SIGTERM)
    assert server.returncode == 0
    assert cli.main(["act", picture, "red", url]) == 2 and "helpers serve" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nothing"], "reach"),
        (["absent.module:X"], "absent"),
        (["reach", "--options=[]"], "JSON object"),
        (["reach", "--options={"], "JSON object"),
        (["reach", '--options={"speed": 1}'], "speed"),
        (["reach", '--options={"pause": 1, "pause": 2}'], "stands twice"),
        (["reach", '--options={"pause": NaN}'], "NaN"),
        (["reach", '--options={"pause": "long"}'], "pause of Reach"),
        (["reach", '--options={"pause": -1}'], "from 0 to 3600"),
        (["reach", "--host=192.0.2.1"], "192.0.2.1"),
        (["reach", "--token=absent"], "a file with a secret"),
    ],
)
def test_what_cannot_be_served_is_said(arguments, named, capfd):
    assert cli.main(["serve", *arguments, "--port=0"]) == 2
    assert named in capfd.readouterr().err


@pytest.mark.parametrize("text", [b"", b" \n", b"a b", b"\xff", b"x" * 5000])
def test_a_token_is_one_word(text, tmp_path, capsys):
    (tmp_path / "token").write_bytes(text)
    assert cli.main(["serve", "reach", f"--token={tmp_path / 'token'}"]) == 2
    assert "a file with a secret" in capsys.readouterr().err


def test_the_options_are_those_of_the_limits():
    assert serve.LIMITS.keys() <= Limits.__dataclass_fields__.keys()
    assert [serve.loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "robot")] == [True] * 3 + [
        False
    ] * 2
