"""The load on an action server: a small one here, and that faults are seen."""

import asyncio
import collections
import io
import json
from dataclasses import replace
from random import Random

import numpy as np

from ci.load import __main__ as load
from ci.load import clients, kinds
from helpers.serve.limits import Limits
from helpers.serve.server import Running
from tests.builders.waiting import HANG

LIMITS = Limits(body=1 << 19, queue=8, upload=HANG, deadline=HANG)


def test_two_hundred_requests_are_answered_once_each_while_the_worker_is_killed(monkeypatch):
    monkeypatch.delitem(kinds.KINDS, "too slow")  # a busy machine makes any request so; the server's tests try it
    monkeypatch.setattr(clients, "SECONDS", HANG)
    paced = replace(LIMITS, upload=1.0)
    with Running("helpers.serve.reach:Reach", limits=LIMITS) as running:
        report = asyncio.run(clients.load(running.url, 200, 8, "6", paced, running.kill_worker, 1))
        assert report.faults == [] and report.kills == 1
        assert report.counts.total() == 200 and report.status(200) == len(report.times) + _slow(report)
        assert {200, 400, 404, 405, 413, 415, 422, "left"} <= {status for _, status in report.counts}
        assert load.counted(running.url, report) == []


def _slow(report):
    return report.counts["slow", 200]


def test_every_kind_can_be_made_and_numbers_make_the_same_again():
    made = [kinds.make(Random(f"0 {k}"), 1000, 0.1) for k in range(2000)]
    assert {sent.kind for sent in made} == kinds.KINDS.keys()
    assert kinds.make(Random("0 7"), 1000, 0.1).pieces == made[7].pieces


def test_wrong_answers_are_faults():
    good = next(sent for k in range(99) if (sent := kinds.make(Random(f"{k}"), 1000, 0.1)).kind == "openvla")
    whole = json.dumps(clients.arrays.encode(good.action)).encode()
    other = json.dumps(clients.arrays.encode(good.action + 1)).encode()
    assert clients._fault(good, 200, {}, whole) is None and clients._fault(good, 500, {}, b"") is None
    assert "another request's" in clients._fault(good, 200, {}, other)
    assert "422" in clients._fault(good, 422, {}, b"") and "hangs" in clients._fault(good, "hangs", {}, b"")
    assert "Retry-After" in clients._fault(good, 503, {}, b"")
    assert clients._fault(good, 503, {"retry-after": "1"}, b"") is None


def test_growth_is_a_fault(monkeypatch):
    assert load.grown((1 << 20, 10), (2 << 20, 10)) == []
    assert load.grown((1 << 20, 10), (64 << 20, 11)) == ["descriptors grew from 10 to 11", "memory grew by 63.0 MiB"]
    report = clients.Report(collections.Counter({("openvla", 200): 3}), [], list(np.ones(3)))
    text = b'act_requests_total{status="200"} 4.0'
    monkeypatch.setattr(load.urllib.request, "urlopen", lambda url: io.BytesIO(text))
    assert load.counted("url", report) == ["4 actions by its counters, 3 seen"]
