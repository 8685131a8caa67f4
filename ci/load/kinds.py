"""The kinds of requests: what a client sends, how, and which statuses are right answers to it."""

import json
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import numpy as np

from helpers.serve import arrays, reach

BUSY = {503}  # the queue is full
SCENES = [
    {"blocks": {"red": (0.2, 0.1 + 0.08 * k), "blue": (0.8, 0.9 - 0.08 * k)}, "gripper": (0.5, 0.5), "size": 96}
    for k in range(8)
]
PICTURES = [reach.picture(**scene) for scene in SCENES]
NAMES = ("red", "blue")
ACTIONS = {(k, name): reach.Reach().predict(picture, name)[0] for k, picture in enumerate(PICTURES) for name in NAMES}


class Sent(NamedTuple):
    """What one client does.

    right: statuses of a right answer; empty if the client does not wait for one. action: what an answer of 200 holds.
    pieces: (bytes, seconds to wait before they are sent). read: how the action is taken from the body.
    """

    kind: str
    pieces: list[tuple[bytes, float]]
    right: set[int]
    action: np.ndarray | None = None
    read: Callable | None = None


def make(random: Random, body_limit: int, upload: float) -> Sent:
    """One request, chosen by a random source."""
    kind = random.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
    return KINDS[kind][1](kind, random, body_limit, upload)


def http(body: bytes, path: str = "/act", method: str = "POST", kind: str = "application/json") -> bytes:
    """The bytes of an HTTP request."""
    head = f"{method} {path} HTTP/1.1\r\nhost: load\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _payload(random, form):
    """(request as an object, what its action is, how it is read)."""
    k, name = random.randrange(len(SCENES)), random.choice(NAMES)
    image, words = arrays.encode(PICTURES[k]), f"move to the {name} block"
    if form != "tensorrt-openvla":
        return {"image": image, "instruction": words}, ACTIONS[k, name], lambda body: json.loads(body)
    prompt = f"In: What action should the robot take to {words}?\nOut:"
    request = {"image": json.dumps(image), "instruction": random.choice((words, prompt)), "return_ids": False}
    return request, ACTIONS[k, name], lambda body: json.loads(json.loads(body))["action"]


def _good(form):
    def made(kind, random, body_limit, upload):
        request, action, read = _payload(random, form)
        if form == "encoded":
            request, read = {"encoded": json.dumps(request)}, lambda body: json.loads(json.loads(body))
        return Sent(kind, [(http(json.dumps(request).encode()), 0)], {200, *BUSY}, action, read)

    return made


def _bad(change, status):
    """A request whose object is changed; `change` returns the body."""

    def made(kind, random, body_limit, upload):
        request, _, _ = _payload(random, "openvla")
        body = change(request, random)
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Sent(kind, [(http(body), 0)], {status, *BUSY})

    return made


def _image(**fields):
    return lambda request, random: request | {"image": request["image"] | fields}


def _cut(request, random):
    body = json.dumps(request).encode()
    return body[: random.randrange(1, len(body) - 1)]


def _giant(kind, random, body_limit, upload):
    body = b'{"image": "' + b"A" * (body_limit + random.randrange(body_limit)) + b'"}'
    return Sent(kind, [(http(body), 0)], {413, *BUSY})


def _other(path, method, content, status):
    return lambda kind, random, body_limit, upload: Sent(kind, [(http(b"{}", path, method, content), 0)], {status})


def _pieces(random, bytes_, seconds, count=5):
    size = len(bytes_) // count + 1
    return [(bytes_[k : k + size], seconds / count) for k in range(0, len(bytes_), size)]


def _slow(share, right):
    """A request that takes `share` of the time there is for it."""

    def made(kind, random, body_limit, upload):
        request, action, read = _payload(random, "openvla")
        return Sent(kind, _pieces(random, http(json.dumps(request).encode()), share * upload), right, action, read)

    return made


def _gone(share):
    """A client that leaves after a share of its request, or before the answer to all of it."""

    def made(kind, random, body_limit, upload):
        whole = http(json.dumps(_payload(random, "openvla")[0]).encode())
        return Sent(kind, [(whole[: max(1, int(share * len(whole)))], 0), (b"", 0.02 * random.random())], set())

    return made


KINDS = {
    "tensorrt-openvla": (30, _good("tensorrt-openvla")),
    "openvla": (15, _good("openvla")),
    "encoded": (5, _good("encoded")),
    "cut off": (5, _bad(_cut, 400)),
    "no UTF-8": (2, _bad(lambda request, random: b'{"image": "\xff\xfe"}', 400)),
    "nested": (2, _bad(lambda request, random: b"[" * 15_000, 400)),
    "many objects": (1, _bad(lambda request, random: b"[" + b"{}," * 100_000 + b"{}]", 400)),
    "a list": (2, _bad(lambda request, random: [request], 422)),
    "no image": (3, _bad(lambda request, random: {"instruction": "red"}, 422)),
    "float image": (4, _bad(_image(dtype="<f4"), 422)),
    "object image": (2, _bad(_image(dtype="|O"), 422)),
    "gray image": (3, _bad(_image(shape=[96, 288]), 422)),
    "giant by its shape": (3, _bad(_image(shape=[1 << 40, 1 << 40, 3]), 422)),
    "no base64": (2, _bad(_image(__numpy__="*" * 36864), 422)),
    "no color": (4, _bad(lambda request, random: request | {"instruction": "up"}, 422)),
    "giant body": (2, _giant),
    "plain text": (2, _other("/act", "POST", "text/plain", 415)),
    "GET": (2, _other("/act", "GET", "application/json", 405)),
    "no route": (2, _other("/nothing", "POST", "application/json", 404)),
    "slow": (3, _slow(0.5, {200, *BUSY})),
    "too slow": (1, _slow(2.5, {408})),
    "gone in its head": (1, _gone(0.0005)),
    "gone in its body": (2, _gone(0.5)),
    "gone before the answer": (4, _gone(1)),
}
