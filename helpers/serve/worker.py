"""The process that runs the policy, and the server's end of the pipes to it. No FastAPI, no torch of its own.

A policy that crashes, or is killed, so ends only that process; whatever it has started ends with it.
"""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from helpers.errors import BadInput, foreign, reason
from helpers.files import ROOT
from helpers.processes import Guarded
from helpers.serve.protocol import Act, Prediction
from helpers.serve.refused import Refused

CODE = "import sys; from helpers.serve import worker; worker.serve(sys.argv[1], sys.argv[2])"
FIELD = re.compile(r"\b(image|instruction|unnorm_key)\b")  # of a request: a refusal that names one is for its client


class Policy(NamedTuple):
    """Where a policy comes from: "module:name", and the arguments that make one of it, of types that JSON has."""

    source: str
    options: dict[str, Any]


class Gone(Exception):
    """The worker has ended before it answered; says how."""


class Untouched(Gone):
    """It has ended before it began with the request, which another one may so be given."""


class Worker:
    """The process of one policy. `call` and `wait_ready` block; `end` may be called from another thread."""

    def __init__(self, policy: Policy) -> None:
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with foreign("options of the policy", "an object of JSON", "pass numbers, texts, lists and tables"):
            options = json.dumps(policy.options)
        command = [sys.executable, "-c", CODE, policy.source, options]
        self.guarded = Guarded(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                               env=os.environ | {"PYTHONPATH": paths})  # fmt: skip
        process = self.guarded.process
        assert process.stdin and process.stdout
        self._told = Connection(os.dup(process.stdin.fileno()), readable=False)
        self._heard = Connection(os.dup(process.stdout.fileno()), writable=False)
        process.stdin.close()
        process.stdout.close()
        self.pid: int | None = None

    def wait_ready(self) -> None:
        """Return when the policy is loaded; BadInput if it cannot be, Gone if the process has ended."""
        kind, value = self._receive()
        if kind == "failed":
            raise BadInput("policy", value, "a policy that can be loaded", "correct its name, options or files")
        self.pid = value

    def call(self, act: Act) -> tuple[Prediction, float]:
        """The prediction for a request, and the seconds it took.

        Raises:
            Refused: with 422 what the policy refuses in the request, with 500 when it fails. Gone, Untouched.
        """
        try:
            self._told.send((act.image, act.instruction, act.unnorm_key))
            self._receive()
        except (OSError, Gone) as error:
            raise Untouched(self._how()) from error
        kind, value = self._receive()
        if kind == "refused":
            raise Refused(422 if FIELD.search(" ".join(value[:2])) else 500, *value)
        if kind == "raised":
            raise Refused(500, "policy", value, "an action", "look at what the server printed")
        action, ids, text, seconds = value
        return Prediction(action, ids, text), seconds

    def end(self) -> None:
        """Kill the process and what it has started, and wait for it."""
        self.guarded.end()

    def close(self) -> None:
        """`end`, and close the pipes: when nobody is in `call`."""
        self.end()
        self._told.close()
        self._heard.close()

    def _receive(self):
        try:
            return self._heard.recv()
        except (EOFError, OSError) as error:
            raise Gone(self._how()) from error

    def _how(self):
        code = self.guarded.process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def load(source: str, options: dict[str, Any]) -> Any:
    """The policy that "module:name" makes of the options."""
    module, _, name = source.partition(":")
    return getattr(importlib.import_module(module), name)(**options)


def serve(source: str, options: str) -> None:
    """The worker's own program: load the policy, and predict until the server closes the pipe."""
    heard, told = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a library prints does not get between the answers
    try:
        policy = load(source, json.loads(options))
    except Exception as error:
        told.send(("failed", reason(error)))
        return
    told.send(("ready", os.getpid()))
    while True:
        try:
            request = heard.recv()
        except EOFError:
            return
        told.send(("begun", None))
        told.send(_answer(policy, request))


def _answer(policy, request):
    started = time.perf_counter()
    try:
        action, ids, text = policy.predict(*request)
        action, ids = np.asarray(action, np.float64), np.asarray(ids)
        if action.ndim != 1 or not np.isfinite(action).all() or ids.dtype.kind not in "iu":
            raise ValueError(f"action {action}, ids of {ids.dtype}: no finite numbers, or no ids")
        return "done", (action, ids, str(text), time.perf_counter() - started)
    except BadInput as error:
        return "refused", (error.where, error.found, error.expected, error.fix)
    except Exception as error:
        traceback.print_exc()
        return "raised", reason(error)
