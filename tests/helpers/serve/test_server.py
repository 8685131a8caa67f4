"""The server over HTTP: what it answers, refuses and survives."""

import asyncio
import contextlib
import http.client
import json
import os
import socket
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from helpers.errors import BadInput
from helpers.serve import arrays, line
from helpers.serve.app import Act
from helpers.serve.limits import Limits
from helpers.serve.refused import Refused
from helpers.serve.server import Running
from tests.helpers.serve.conftest import LIMITS, PICTURE, SCRIPTED, body, get, post


def read(found):
    return arrays.decode(found, "action", ["<f8"], 1000)


def together(url, payloads, pause=0.0):
    """The answers to requests that are sent at the same time, or one `pause` after the other."""
    with ThreadPoolExecutor(len(payloads)) as pool:
        futures = []
        for payload in payloads:
            futures.append(pool.submit(post, url, payload))
            time.sleep(pause)
        return [future.result() for future in futures]


def until(holds, seconds=5):
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    assert holds()


@contextlib.contextmanager
def half_sent(url, sent):
    """A connection on which only `sent` has gone out."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(sent)
        yield connection


def head(length, *more):
    return "\r\n".join(
        ["POST /act HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {length}", *more, "", ""]
    ).encode()


def test_an_action_comes_back_with_its_times(served):
    status, headers, found = post(served.url, body())
    assert status == 200 and read(found)[0] == PICTURE.mean()
    assert headers["server-timing"].startswith("queue;dur=") and "inference;dur=" in headers["server-timing"]


@pytest.mark.parametrize(
    ("sent", "status", "where"),
    [
        (b"{", 400, "the body"),
        ([1], 422, "the body"),
        (body(unnorm_key="another"), 422, "the model"),
        (body("babble"), 500, "generated tokens"),
        (body("raise"), 500, "policy"),
        (body("nan"), 500, "policy"),
        (b" " * (LIMITS.body + 1), 413, "the body"),
        (b" " * (9 * LIMITS.body), 413, "the body"),
    ],
)
def test_what_is_wrong_is_said_with_its_status(served, sent, status, where):
    found_status, _, found = post(served.url, sent)
    assert (found_status, found["error"]["where"]) == (status, where) and found["error"]["fix"]


def test_other_content_routes_and_methods(served):
    assert post(served.url, body(), **{"content-type": "text/plain"})[0] == 415
    assert get(served.url, "/act")[0] == 405 and get(served.url, "/docs")[0] == 404


def test_a_connection_goes_on_after_a_refusal_that_did_not_look_at_the_body(served):
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=10)
    for kind, status in (("text/plain", 415), ("application/json", 413), ("text/plain", 415)):
        sent = b" " * (LIMITS.body // 2 if status == 415 else 2 * LIMITS.body)
        connection.request("POST", "/act", sent, {"content-type": kind})
        response = connection.getresponse()
        assert response.status == status and response.read()
    connection.close()


def test_what_a_policy_prints_does_not_get_between_the_answers(served):
    assert [post(served.url, body(text))[0] for text in ("print", "go")] == [200, 200]


def test_health_metrics_and_schema(served):
    assert get(served.url, "/health")[::2] == (
        200,
        {"status": "ready", "policy": SCRIPTED, "waiting": 0, "queue": 2},
    )
    post(served.url, body())
    assert 'act_requests_total{status="200"}' in get(served.url, "/metrics")[2]
    schema = get(served.url, "/openapi.json")[2]
    assert set(schema["paths"]) == {"/act", "/health", "/metrics"}
    assert {"400", "413", "422", "503", "504"} <= schema["paths"]["/act"]["post"]["responses"].keys()


def test_one_is_served_two_wait_and_the_next_is_told_when_to_come_again(patient):
    answers = together(patient.url, [body("sleep 0.6")] * 6, 0.05)
    statuses = [status for status, _, _ in answers]
    assert sorted(statuses) == [200] * 3 + [503] * 3
    assert all(int(headers["retry-after"]) >= 1 for status, headers, _ in answers if status == 503)
    counts = [read(found)[1] for status, _, found in answers if status == 200]
    assert counts == sorted(counts)
    assert post(patient.url, body())[0] == 200


def test_the_deadline_holds_in_the_queue_and_in_the_policy_and_frees_the_place(served):
    answers = together(served.url, [body("sleep 1.5"), body()], 0.05)
    assert [status for status, _, _ in answers] == [504, 504]
    until(lambda: post(served.url, body())[0] == 200)


def test_a_client_that_disappears_frees_its_place(patient, tmp_path):
    first = threading.Thread(target=post, args=(patient.url, body(f"hold {tmp_path}")))
    first.start()
    until((tmp_path / "begun").exists)
    sent = json.dumps(body()).encode()
    with half_sent(patient.url, head(len(sent)) + sent), half_sent(patient.url, head(len(sent)) + sent):
        until(lambda: get(patient.url, "/health")[2]["waiting"] == 2)
        assert post(patient.url, body())[0] == 503
    until(lambda: get(patient.url, "/health")[2]["waiting"] == 0)
    assert first.is_alive(), "the places were free before their turn came"
    (tmp_path / "go").touch()
    first.join()
    assert post(patient.url, body())[0] == 200
    assert 'status="499"' in get(patient.url, "/metrics")[2]


def test_who_sends_too_slowly_is_told_or_cut_off(served):
    slow, part, nothing = (half_sent(served.url, sent) for sent in (head(100), b"POST /act HT", b""))
    with slow as told, part as silent, nothing as idle:
        assert b" 408 " in told.recv(1000)
        started = time.monotonic()
        assert silent.recv(1000) == idle.recv(1000) == b"" and time.monotonic() - started < 2 * LIMITS.upload


def test_a_worker_that_dies_is_noticed_and_started_again(served):
    before = served.worker
    status, _, found = post(served.url, body("die"))
    assert status == 500 and "SIGKILL" in found["error"]["found"]
    until(lambda: get(served.url, "/health")[0] == 200 and served.worker not in (0, before))
    assert post(served.url, body())[0] == 200


def test_a_worker_that_is_killed_between_requests_costs_none(served):
    for _ in range(2):
        until(lambda: served.worker)
        served.kill_worker()
        assert post(served.url, body())[0] in (200, 504)  # a start may take longer than the deadline
        until(lambda: post(served.url, body())[0] == 200)


def test_a_worker_for_which_there_is_no_memory_yet_is_tried_again(served, monkeypatch):
    before, lacking = served.worker, ["a process", "a descriptor"]
    real = {"Worker": line.Worker, "pidfd_open": os.pidfd_open}

    def scarce(name, what):
        def called(*arguments):
            if what in lacking:
                lacking.remove(what)
                raise OSError(12, "Cannot allocate memory")
            return real[name](*arguments)

        return called

    monkeypatch.setattr(line, "Worker", scarce("Worker", "a process"))
    monkeypatch.setattr(os, "pidfd_open", scarce("pidfd_open", "a descriptor"))
    served.kill_worker()
    until(lambda: not lacking and served.worker not in (0, before) and post(served.url, body())[0] == 200)


def test_a_policy_that_is_stuck_is_killed(served):
    before = served.worker
    assert post(served.url, body("sleep 1000"))[0] == 504
    until(lambda: served.worker not in (0, before) and post(served.url, body())[0] == 200)
    assert not os.path.exists(f"/proc/{before}")


def test_token_legacy_and_a_graceful_stop():
    limits = Limits(queue=1, deadline=5)
    with Running(SCRIPTED, limits=limits, token="s3cret", legacy=True) as running:
        url, right = running.url, {"authorization": "Bearer s3cret"}
        for wrong in ({}, {"authorization": "Bearer s3cre"}, {"authorization": "Basic s3cret"}):
            status, headers, _ = post(url, body(), **wrong)
            assert status == 401 and headers["www-authenticate"] == "Bearer"
        assert get(url, "/metrics")[0] == 401 and get(url, "/metrics", **right)[0] == 200
        assert get(url, "/health")[0] == 200
        assert post(url, {}, **right)[::2] == (200, "error")
        assert post(url, b"{", **right)[0] == 422
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(post, url, body("sleep 1.2"), **right)
            time.sleep(0.2)
            second = pool.submit(post, url, body(), **right)
            until(lambda: get(url, "/health")[2]["waiting"] == 1)
            worker = running.worker
            running.stop()
            assert read(first.result()[2])[0] == PICTURE.mean()
            assert second.result()[::2] == (200, "error")
    with pytest.raises(OSError):
        post(url, body())
    assert not os.path.exists(f"/proc/{worker}")


def test_connections_are_counted():
    with Running(SCRIPTED, limits=Limits(connections=2)) as running:
        with half_sent(running.url, b""), half_sent(running.url, b""), half_sent(running.url, b"") as third:
            assert third.recv(1000).startswith(b"HTTP/1.1 503 ")
        until(lambda: post(running.url, body())[0] == 200)


def test_a_policy_that_cannot_be_loaded_and_a_port_that_is_taken(served):
    for source, options, named in (
        ("tests.absent:x", {}, "tests.absent"),
        (SCRIPTED, {"fails": True}, "weights.safetensors"),
        (SCRIPTED, {"x": 1}, "unexpected keyword"),
    ):
        with pytest.raises(BadInput, match=named):
            Running(source, options)
    with pytest.raises(BadInput, match="Address already in use"):
        Running(SCRIPTED, port=urlsplit(served.url).port)


def test_nothing_is_left_of_a_server():
    before = set(os.listdir("/proc/self/fd")), threading.active_count()
    with Running(SCRIPTED) as running:
        post(running.url, body())
        worker = running.worker
    assert (set(os.listdir("/proc/self/fd")), threading.active_count()) == before
    assert not os.path.exists(f"/proc/{worker}")


def test_limits_are_above_zero():
    assert Limits(queue=0).queue == 0
    with pytest.raises(BadInput, match="limit deadline"):
        Limits(deadline=0)


class Endless:
    """A request whose body has no end."""

    def __init__(self, piece):
        self.piece, self.count = piece, 0

    async def stream(self):
        while True:
            self.count += 1
            yield self.piece


def test_of_a_body_without_an_end_little_is_read_and_less_is_kept():
    request, act = Endless(b" " * (1 << 16)), Act(None, Limits(body=1 << 20), None, False)
    tracemalloc.start()
    with pytest.raises(Refused, match="1,048,576") as refused:
        asyncio.run(act._read(request, 1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.value.status == 413 and request.count == 4 * 16 + 1 and peak < 5 << 19
