"""The client: against our server, against what the public servers answer, and against what is no server."""

import contextlib
import itertools
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.serve import arrays, reach
from helpers.serve import client as client_module
from helpers.serve.client import Client, Reply
from helpers.serve.server import Running
from tests.builders.waiting import HANG
from tests.helpers.serve.conftest import PICTURE

ACTION = np.arange(7.0)
ENCODED = json.dumps(arrays.encode(ACTION))
TOLD = json.dumps({"action": arrays.encode(ACTION), "generated": "TASK: go"})


@contextlib.contextmanager
def answering(*answers):
    """The URL of a server that gives these (status, headers, body) in order; the list of the bodies it was sent."""
    left, seen = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            status, headers, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            for name, value in {**headers, "content-length": len(body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def test_text_ids_and_key(served):
    with Client(served.url) as client:
        answer = client.act(PICTURE, "go", "bridge_orig")
        assert answer.action[0] == PICTURE.mean() and answer.generated == "TASK: go"
        assert answer.times["queue"] >= 0 and answer.times["inference"] > 0
        assert client.act(PICTURE, "go", return_ids=True).generated.tolist() == [31744, 31999]
        with pytest.raises(BadInput, match=r"the model\n.*unnorm_key.*HTTP 422.*\n.*bridge_orig"):
            client.act(PICTURE, "go", "other")
    with Client(served.url, form="openvla") as client:
        answer = client.act(PICTURE, "go")
        assert answer.action[0] == PICTURE.mean() and answer.generated == ""


def test_a_process_in_which_json_numpy_has_patched_json(monkeypatch):
    monkeypatch.setattr(json, "loads", lambda text, **_: pytest.fail("a patched json.loads makes arrays of objects"))
    monkeypatch.setattr(Client, "post", lambda self, body: Reply(200, json.dumps(TOLD).encode(), None, {}))
    with Client("http://127.0.0.1") as client:
        assert np.array_equal(client.act(PICTURE, "go").action, ACTION)


def test_what_is_sent_to_the_public_servers():
    with answering((200, {}, json.dumps(TOLD).encode())) as (url, seen), Client(url) as client:
        assert np.array_equal(client.act(PICTURE, "go").action, ACTION)
        assert seen == [{"image": json.dumps(arrays.encode(PICTURE)), "instruction": "go", "return_ids": False}]
    with answering((200, {}, ENCODED.encode())) as (url, seen), Client(url, form="openvla") as client:
        assert np.array_equal(client.act(PICTURE, "go", "bridge_orig").action, ACTION)
        assert seen == [{"image": arrays.encode(PICTURE), "instruction": "go", "unnorm_key": "bridge_orig"}]


@pytest.mark.parametrize(
    "body",
    [
        b'"error"',
        b"{",
        b'"{}"',
        json.dumps(TOLD.replace("<f8", "|O")).encode(),
        ENCODED.encode(),
        b"\xff",
        *(
            json.dumps(TOLD.replace(json.dumps(arrays.encode(ACTION)), json.dumps(arrays.encode(wrong)))).encode()
            for wrong in (np.full(7, np.nan), np.full(7, np.inf), np.zeros((1, 7)), np.zeros(0), np.float64(1))
        ),
    ],
)
def test_an_answer_that_is_none(body):
    with answering((200, {}, body)) as (url, _), Client(url) as client, pytest.raises(BadInput, match="an action"):
        client.act(PICTURE, "go")


def test_an_answer_that_comes_in_drops_is_not_waited_for(monkeypatch):
    clock = itertools.count(0, 2 * HANG)  # each look at it is later by more than the time that there is
    monkeypatch.setattr(client_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(dripping, server)
        wanted = pytest.raises(BadInput, match=f"a part of an answer after {HANG} s")
        with Client(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=HANG) as client, wanted:
            client.act(PICTURE, "go")


def dripping(server):
    """The first drop of an answer, and no other until the client has gone."""
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n ")
        while connection.recv(1 << 16):
            pass


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b"[" * 15_000), ({}, b'{"error": 3}'), ({"retry-after": "\xb2"}, b""), ({"retry-after": "9" * 5000}, b"")],
)
def test_a_refusal_in_words_of_its_own(headers, body):
    with answering((503, headers, body)) as (url, seen), Client(url, patience=5) as client:
        with pytest.raises(BadInput, match="HTTP 503"):
            client.act(PICTURE, "go")
        assert len(seen) == 1


def test_a_client_that_was_closed_says_so():
    with Client("http://127.0.0.1:9") as client:
        pass
    with pytest.raises(BadInput, match="open a new Client"):
        client.act(PICTURE, "go")


def test_an_answer_without_an_end():
    wanted = pytest.raises(BadInput, match="more than 4,194,304 bytes")
    with answering((200, {}, b" " * (5 << 20))) as (url, _), Client(url) as client, wanted:
        client.act(PICTURE, "go")


@pytest.mark.parametrize("body", [TOLD.encode(), b"[]", b'"text"'])
def test_an_answer_of_the_other_form(body):
    wanted = pytest.raises(BadInput, match="what form of the protocol")
    with answering((200, {}, body)) as (url, _), Client(url, form="openvla") as client, wanted:
        client.act(PICTURE, "go")


def test_a_busy_server_is_asked_again_when_it_says(monkeypatch):
    slept = []
    clock = SimpleNamespace(monotonic=lambda: float(sum(slept)), sleep=slept.append)
    monkeypatch.setattr(client_module, "time", clock)
    busy, good = (503, {"retry-after": 2}, b""), (200, {}, json.dumps(TOLD).encode())
    with answering(busy, busy, good) as (url, seen), Client(url, patience=5) as client:
        assert np.array_equal(client.act(PICTURE, "go").action, ACTION)
        assert slept == [2, 2] and len(seen) == 3
    with answering(busy) as (url, seen), Client(url, patience=5) as client:
        with pytest.raises(BadInput, match="HTTP 503"):
            client.act(PICTURE, "go")
        assert slept == [2] * 4 and len(seen) == 3  # the third pause would be over after 6 s
    for answer, patience in ((busy, 1.5), ((503, {}, b""), 5), ((503, {"retry-after": 9}, b""), 5)):
        with answering(answer) as (url, seen), Client(url, patience=patience) as client:
            with pytest.raises(BadInput, match="HTTP 503"):
                client.act(PICTURE, "go")
            assert len(seen) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "no url", "http://[x", "ftp://127.0.0.1"])
def test_no_server(url):
    with Client(url, timeout=HANG) as client, pytest.raises(BadInput, match="start one"):
        client.act(PICTURE, "go")


def test_the_reaching_policy_reaches_the_block_through_the_server():
    blocks, gripper = {"red": (0.2, 0.3), "blue": (0.8, 0.7)}, np.array([0.5, 0.5])
    with Running("helpers.serve.reach:Reach") as running, Client(running.url) as client:
        for _ in range(12):
            answer = client.act(reach.picture(blocks, tuple(gripper), 96), "Move to the BLUE block")
            gripper = gripper + answer.action[:2]
        assert np.abs(gripper - blocks["blue"]).max() < 0.05 and answer.action[6] == 0
        assert "close it" in answer.generated
        for instruction, key in (("go", None), ("go to the green block", None), ("red", "bridge_orig")):
            with pytest.raises(BadInput, match="HTTP 422"):
                client.act(reach.picture(blocks, (0.5, 0.5)), instruction, key)
