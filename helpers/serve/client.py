"""The client of an action server: picture in, action and reasoning out. Works with the public servers, too."""

import json
import re
import time
from types import TracebackType
from typing import Any, Literal, NamedTuple

import httpx
import numpy as np

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


class Client:
    """A connection to a server; `with` closes it.

    Args:
        url: of the server, such as http://127.0.0.1:8000.
        form: of the protocol: "openvla" for the reference server, which returns the action alone.
        timeout: seconds for a connection, and for an answer.
        patience: seconds for which a request is sent again when the server says 503 and when to come again.
    """

    def __init__(
        self, url: str, token: str | None = None, form: Form = "tensorrt-openvla", timeout: float = 30,
        patience: float = 0,
    ) -> None:  # fmt: skip
        self.url, self.form, self.patience = url, form, patience
        headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        self._http = httpx.Client(headers=headers, timeout=timeout, trust_env=False)

    def act(
        self, image: np.ndarray, instruction: str, unnorm_key: str | None = None, return_ids: bool = False
    ) -> Answer:
        """The action for a picture uint8 [H, W, 3] RGB and an instruction.

        Raises:
            BadInput: no server there, or one that refuses the request, with what it says; or an answer that is none.
        """
        encoded: Any = arrays.encode(image)
        request = {"image": json.dumps(encoded) if self.form == "tensorrt-openvla" else encoded,
                   "instruction": instruction}  # fmt: skip
        request |= {"unnorm_key": unnorm_key} if unnorm_key is not None else {}
        request |= {"return_ids": return_ids} if self.form == "tensorrt-openvla" else {}
        response, body = self._patiently(json.dumps(request).encode())
        if response.status_code != 200:
            raise self._refused(response.status_code, body)
        try:
            action, generated = self._read(protocol.strict_json(body))
            return Answer(action, generated, times(response.headers.get("server-timing", "")))
        except ValueError as error:
            fix = "look at what the server printed, and at what form of the protocol it speaks"
            raise BadInput(self.url, f"the answer {_short(body)}", "an action", fix) from error

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
            response, answer = self._sent(body)
            pause = response.headers.get("retry-after", "")
            if response.status_code != 503 or not pause.isdigit() or time.monotonic() + int(pause) > until:
                return response, answer
            time.sleep(int(pause))

    def _sent(self, body):
        """(response, its body) of one request."""
        try:
            headers = {"content-type": "application/json"}
            with self._http.stream("POST", f"{self.url.rstrip('/')}/act", content=body, headers=headers) as response:
                answer = bytearray()
                for chunk in response.iter_bytes():
                    answer += chunk
                    if len(answer) > MOST:
                        raise BadInput(self.url, f"more than {MOST:,} bytes", "an action", "look at the server")
                return response, bytes(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise BadInput(self.url, reason(error), "an action server that answers",
                           "start one: python -m helpers serve reach") from error  # fmt: skip

    def _read(self, answer):
        """(action, generated) of an answer."""
        if self.form == "openvla":
            return _numbers(answer).astype(np.float64), ""
        if not isinstance(answer, str):
            raise ValueError("no JSON in a string")
        told = protocol.strict_json(answer)
        generated = told["generated"] if isinstance(told, dict) and told.keys() >= {"action", "generated"} else None
        if generated is None:
            raise ValueError("no action and generated")
        text = isinstance(generated, str)
        return _numbers(told["action"]).astype(np.float64), generated if text else _numbers(generated)

    def _refused(self, status, body):
        try:
            told = json.loads(body)["error"]
            found, expected, fix = (str(told[key]) for key in ("found", "expected", "fix"))
            return BadInput(f"{self.url}: {told['where']}", f"{found} (HTTP {status})", expected, fix)
        except (ValueError, KeyError, TypeError):
            return BadInput(self.url, f"HTTP {status}: {_short(body)}", "an action", "look at the server")


def times(header: str) -> dict[str, float]:
    """Part -> ms of a Server-Timing header."""
    return {name: float(value) for name, value in re.findall(r"([a-z]+);dur=(\d+(?:\.\d+)?)", header)}


def _numbers(value):
    return arrays.decode(value, "the answer", TYPES, MOST)


def _short(body):
    return repr(printable(body[:80].decode("utf-8", "replace")))
