"""The server over HTTP: what it answers, refuses and survives."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from helpers.errors import BadInput
from helpers.serve import arrays, line, server
from helpers.serve.app import Act
from helpers.serve.limits import Limits
from helpers.serve.refused import Refused
from helpers.serve.server import Running
from helpers.serve.worker import Policy
from tests.builders.waiting import HANG, until
from tests.helpers.serve.conftest import LIMITS, PICTURE, SCRIPTED, body, get, post


def read(found):
    return arrays.decode(found, "action", ["<f8"], 1000)


@contextlib.contextmanager
def held(url, folder, **headers):
    """While the worker serves a request: (a pool for more, the future of its answer); it goes on at the end."""
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(post, url, body(f"hold {folder}"), **headers)
        try:
            assert until((folder / "begun").exists)
            yield pool, first
        finally:
            (folder / "go").touch()


def waiting(url):
    """How many requests wait."""
    return get(url, "/health")[2]["waiting"]


@contextlib.contextmanager
def half_sent(url, sent):
    """A connection on which only `sent` has gone out."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=HANG) as connection:
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


def test_what_is_said_of_a_request_is_short_however_long_it_is(served):
    status, headers, found = post(served.url, {"k" * (LIMITS.body // 2): 1})
    assert status == 422 and int(headers["content-length"]) < 5000 and found["error"]["found"].endswith(" ...")


def test_other_content_routes_and_methods(served):
    assert post(served.url, body(), **{"content-type": "text/plain"})[0] == 415
    assert get(served.url, "/act")[0] == 405 and get(served.url, "/docs")[0] == 404


def test_a_connection_goes_on_after_a_refusal_that_did_not_look_at_the_body(served):
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=HANG)
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


def test_one_is_served_two_wait_and_the_next_is_told_when_to_come_again(served, tmp_path):
    with held(served.url, tmp_path) as (pool, first):
        queued = []
        for count in (1, 2):
            queued.append(pool.submit(post, served.url, body()))
            assert until(lambda count=count: waiting(served.url) == count)
        for _ in range(3):
            status, headers, _ = post(served.url, body())
            assert status == 503 and int(headers["retry-after"]) >= 1
    answers = [future.result() for future in (first, *queued)]
    assert [status for status, _, _ in answers] == [200] * 3
    counts = [read(found)[1] for _, _, found in answers]
    assert counts == sorted(counts)
    assert post(served.url, body())[0] == 200


def test_the_deadline_holds_in_the_queue_and_in_the_policy_and_frees_the_place(tmp_path):
    with Running(SCRIPTED, limits=replace(LIMITS, deadline=0.3)) as running:
        with held(running.url, tmp_path) as (_, first):
            assert post(running.url, body())[0] == first.result()[0] == 504
        assert until(lambda: post(running.url, body())[0] == 200)


def test_who_leaves_at_the_moment_of_his_turn_gives_it_on():
    async def turns():
        queue = line.Line(Policy(SCRIPTED, {}), LIMITS)
        queue.ready.set()
        await queue._turn()
        first, second = (asyncio.create_task(queue._turn()) for _ in range(2))
        await asyncio.sleep(0)
        queue._next()  # the turn is the first one's, who does not know it yet
        first.cancel()
        await asyncio.wait_for(second, HANG)

    asyncio.run(turns())


def test_a_client_that_disappears_frees_its_place(served, tmp_path):
    sent = json.dumps(body()).encode()
    with held(served.url, tmp_path) as (_, first):
        with half_sent(served.url, head(len(sent)) + sent), half_sent(served.url, head(len(sent)) + sent):
            assert until(lambda: waiting(served.url) == 2)
            assert post(served.url, body())[0] == 503
        assert until(lambda: waiting(served.url) == 0)
        assert not first.done(), "the places were free before their turn came"
    assert first.result()[0] == post(served.url, body())[0] == 200
    assert 'status="499"' in get(served.url, "/metrics")[2]


def test_who_sends_too_slowly_is_told_or_cut_off(monkeypatch):
    monkeypatch.setattr(server, "IDLE", 10 * HANG)  # what cuts off is the limit
    with Running(SCRIPTED, limits=replace(LIMITS, upload=0.2)) as running:
        slow, part, nothing = (half_sent(running.url, sent) for sent in (head(100), b"POST /act HT", b""))
        with slow as told, part as silent, nothing as idle:
            assert b" 408 " in told.recv(1000)
            assert silent.recv(1000) == idle.recv(1000) == b""


def test_a_worker_that_dies_is_noticed_and_started_again(served):
    before = served.worker
    status, _, found = post(served.url, body("die"))
    assert status == 500 and "SIGKILL" in found["error"]["found"]
    assert until(lambda: get(served.url, "/health")[0] == 200 and served.worker not in (0, before))
    assert post(served.url, body())[0] == 200


def test_a_worker_that_is_killed_between_requests_costs_none(served):
    for _ in range(2):
        assert until(lambda: served.worker)
        served.kill_worker()
        assert post(served.url, body())[0] == 200


def test_a_worker_that_ends_while_it_is_to_be_killed_takes_nobody_along(monkeypatch):
    told, workers = [], iter([7, 0])
    monkeypatch.setattr(os, "kill", lambda *given: told.append(given))
    monkeypatch.setattr(Running, "worker", property(lambda running: next(workers)))
    Running.kill_worker(object.__new__(Running))
    assert told == [(7, signal.SIGKILL)]


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
    assert until(lambda: not lacking and served.worker not in (0, before) and post(served.url, body())[0] == 200)


def test_a_policy_that_is_stuck_is_killed():
    with Running(SCRIPTED, limits=replace(LIMITS, deadline=0.2, stuck=0.4)) as running:
        before = running.worker
        assert post(running.url, body("sleep 1000"))[0] == 504
        assert until(lambda: running.worker not in (0, before) and get(running.url, "/health")[0] == 200)
        assert not os.path.exists(f"/proc/{before}")


def test_token_legacy_and_a_graceful_stop(tmp_path):
    limits = replace(LIMITS, queue=1)
    with Running(SCRIPTED, limits=limits, token="s3cret", legacy=True) as running:
        url, right = running.url, {"authorization": "Bearer s3cret"}
        for wrong in ({}, {"authorization": "Bearer s3cre"}, {"authorization": "Basic s3cret"}):
            status, headers, _ = post(url, body(), **wrong)
            assert status == 401 and headers["www-authenticate"] == "Bearer"
        assert get(url, "/metrics")[0] == 401 and get(url, "/metrics", **right)[0] == 200
        assert get(url, "/health")[0] == 200
        assert post(url, {}, **right)[::2] == (200, "error")
        assert post(url, b"{", **right)[0] == 422
        with held(url, tmp_path, **right) as (pool, first):
            second = pool.submit(post, url, body(), **right)
            assert until(lambda: waiting(url) == 1)
            worker = running.worker
            stopped = pool.submit(running.stop)
            assert second.result()[::2] == (200, "error") and not first.done()
        stopped.result()
        assert read(first.result()[2])[0] == PICTURE.mean()
    with pytest.raises(OSError):
        post(url, body())
    assert not os.path.exists(f"/proc/{worker}")


def test_connections_are_counted():
    with Running(SCRIPTED, limits=replace(LIMITS, connections=2)) as running:
        with half_sent(running.url, b""), half_sent(running.url, b""), half_sent(running.url, b"") as third:
            assert third.recv(1000).startswith(b"HTTP/1.1 503 ")
        assert until(lambda: post(running.url, body())[0] == 200)


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
    there = lambda: (set(os.listdir("/proc/self/fd")), set(threading.enumerate()))  # noqa: E731
    files, threads = there()  # some may be another server's, whose client has just left
    with Running(SCRIPTED) as running:
        post(running.url, body())
        worker = running.worker
    assert until(lambda: there()[0] <= files and there()[1] <= threads)
    assert not os.path.exists(f"/proc/{worker}")


def test_a_port_that_another_one_bound_and_listens_on_meanwhile_is_told(monkeypatch):
    """Both may bind it before one of them listens, which a policy that takes minutes to load leaves time for."""
    first = server.bind("127.0.0.1", 0)
    second = server.bind(*first.getsockname())
    first.listen()
    with first, monkeypatch.context() as patch:
        patch.setattr(server, "bind", lambda host, port: second)
        with pytest.raises(BadInput, match=r"(?s)port.*in use"):
            server.Running("helpers.serve.reach:Reach")


def test_limits_are_above_zero():
    assert Limits(queue=0).queue == 0
    with pytest.raises(BadInput, match="limit deadline"):
        Limits(deadline=0)
    for value in (float("inf"), float("nan")):
        with pytest.raises(BadInput, match="limit upload"):
            Limits(upload=value)


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
