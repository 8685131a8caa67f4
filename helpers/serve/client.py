"""The client of an action server: picture in, action and reasoning out. Works with the public servers, too."""

import json
import re
import time
from types import TracebackType
from typing import Any, Literal, NamedTuple

import httpx
import numpy as np

from helpers.arguments import between, typed
from helpers.errors import BadInput, printable, reason
from helpers.serve import arrays, protocol

MOST = 4 << 20  # bytes of an answer
TYPES = ("<f8", "<f4", "<i4", "<i8")
Form = Literal["tensorrt-openvla", "openvla"]


class Answer(NamedTuple):
    """action: float64 [n]. generated: the text, or ids [m]; "" of a server that sends none. times: part -> ms."""

    action: np.ndarray
    generated: str | np.ndarray
    times: dict[str, float]


class Reply(NamedTuple):
    """One answer as it came. retry: seconds of its Retry-After; None without. times: part -> ms of Server-Timing."""

    status: int
    body: bytes
    retry: int | None
    times: dict[str, float]


class Client:
    """A connection to a server; `with` closes it.

    Args:
        url: of the server, such as http://127.0.0.1:8000.
        form: of the protocol: "openvla" for the reference server, which returns the action alone.
        timeout: seconds for a connection, for each part of an answer, and for its body.
        patience: seconds for which a request is sent again when the server says 503 and when to come again.
    """

    @typed
    def __init__(
        self, url: str, token: str | None = None, form: Form = "tensorrt-openvla", timeout: float = 30,
        patience: float = 0,
    ) -> None:  # fmt: skip
        between("timeout", timeout, 1e-3, 86400)
        between("patience", patience, 0, 86400)
        if token is not None and not (token.isascii() and token.isprintable()):
            raise BadInput("token", f"{len(token)} characters", "printable ASCII in one line", "give another secret")
        self.url, self.form, self.timeout, self.patience = url, form, timeout, patience
        headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        secure = url.startswith("https:")  # without, no certificates need be read, which takes 30 ms
        self._http = httpx.Client(headers=headers, timeout=timeout, trust_env=False, verify=secure)

    @typed
    def act(
        self, image: np.ndarray, instruction: str, unnorm_key: str | None = None, return_ids: bool = False
    ) -> Answer:
        """The action for a picture uint8 [H, W, 3] RGB and an instruction.

        Raises:
            BadInput: no server there, or one that refuses the request, with what it says; or an answer that is none.
        """
        reply = self._patiently(body(image, instruction, unnorm_key, return_ids, self.form))
        if reply.status != 200:
            raise self._refused(reply.status, reply.body)
        try:
            action, generated = self._read(protocol.strict_json(reply.body))
            return Answer(action, generated, reply.times)
        except ValueError as error:
            fix = "look at what the server printed, and at what form of the protocol it speaks"
            raise BadInput(self.url, f"the answer {_short(reply.body)}", "an action", fix) from error

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _patiently(self, body):
        until = time.monotonic() + self.patience
        while True:
            reply = self.post(body)
            if reply.status != 503 or reply.retry is None or time.monotonic() + reply.retry > until:
                return reply
            time.sleep(reply.retry)

    def post(self, body: bytes) -> Reply:
        """The answer to these bytes, whatever its status; BadInput if there is no server, or one that is too slow."""
        if self._http.is_closed:
            raise BadInput(self.url, "a client that was closed", "one that is open", "open a new Client")
        try:
            headers = {"content-type": "application/json"}
            with self._http.stream("POST", f"{self.url.rstrip('/')}/act", content=body, headers=headers) as response:
                answer, until = bytearray(), time.monotonic() + self.timeout
                for chunk in response.iter_bytes():
                    answer += chunk
                    if len(answer) > MOST:
                        raise BadInput(self.url, f"more than {MOST:,} bytes", "an action", "look at the server")
                    if time.monotonic() > until:
                        found = f"a part of an answer after {self.timeout:g} s"
                        raise BadInput(self.url, found, "the whole of it", "look at the server and the way to it")
                pause = response.headers.get("retry-after", "")
                spent = times(response.headers.get("server-timing", ""))
                retry = int(pause) if re.fullmatch("[0-9]{1,9}", pause) else None
                return Reply(response.status_code, bytes(answer), retry, spent)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise BadInput(self.url, reason(error), "an action server that answers",
                           "start one: python -m helpers serve reach") from error  # fmt: skip

    def _read(self, answer):
        """(action, generated) of an answer."""
        if self.form == "openvla":
            return _action(answer), ""
        if not isinstance(answer, str):
            raise ValueError("no JSON in a string")
        told = protocol.strict_json(answer)
        generated = told["generated"] if isinstance(told, dict) and told.keys() >= {"action", "generated"} else None
        if generated is None:
            raise ValueError("no action and generated")
        text = isinstance(generated, str)
        return _action(told["action"]), generated if text else _numbers(generated)

    def _refused(self, status, body):
        try:
            told = protocol.strict_json(body)["error"]
            found, expected, fix = (str(told[key]) for key in ("found", "expected", "fix"))
            return BadInput(f"{self.url}: {told['where']}", f"{found} (HTTP {status})", expected, fix)
        except (ValueError, KeyError, TypeError):
            return BadInput(self.url, f"HTTP {status}: {_short(body)}", "an action", "look at the server")


@typed
def body(image: np.ndarray, instruction: str, unnorm_key: str | None = None, return_ids: bool = False,
         form: Form = "tensorrt-openvla") -> bytes:  # fmt: skip
    """The bytes of a request in a form of the protocol; arguments as of `Client.act`."""
    encoded: Any = arrays.encode(image)
    request: dict[str, Any] = {"image": encoded, "instruction": instruction}
    if unnorm_key is not None:
        request["unnorm_key"] = unnorm_key
    if form == "tensorrt-openvla":
        request |= {"image": json.dumps(encoded), "return_ids": return_ids}
    return json.dumps(request).encode()


def times(header: str) -> dict[str, float]:
    """Part -> ms of a Server-Timing header."""
    return {name: float(value) for name, value in re.findall(r"([a-z]+);dur=(\d+(?:\.\d+)?)", header)}


def _action(value):
    """float64 [n] of what an arm could do."""
    action = _numbers(value).astype(np.float64)
    if action.ndim != 1 or not action.size or not np.isfinite(action).all():
        raise ValueError("no finite numbers in a row")
    return action


def _numbers(value):
    return arrays.decode(value, "the answer", TYPES, MOST)


def _short(body):
    return repr(printable(body[:80].decode("utf-8", "replace")))
