"""The server's program: from a policy to a socket that answers, and back to nothing."""

import asyncio
import contextlib
import functools
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.serve import app
from helpers.serve.connection import Connection
from helpers.serve.limits import Limits
from helpers.serve.line import Line
from helpers.serve.worker import Policy

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
IDLE = 5  # seconds that a connection without a request stays open


class _Uvicorn(uvicorn.Server):
    """One that refuses who waits when it is told to stop, answers what is served, and ends with no signal raised."""

    should_exit: bool
    force_exit: bool

    def __init__(self, config: uvicorn.Config, line: Line, ready: Callable[[Any], object]) -> None:
        super().__init__(config)
        self.line, self.ready = line, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as error:  # another one bound the port, too, and was the first to listen
            raise BadInput(
                "the server's port", error.strerror, "a free one", "give another, or stop its server"
            ) from error
        self.ready(self)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.line.stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.told)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def told(self) -> None:
        """Stop; the second time, at once."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def run(
    policy: Policy,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits = Limits(),  # noqa: B008
    token: str | None = None,
    legacy: bool = False,
    ready: Callable[[str], object] = print,
) -> None:
    """Serve until TERM, INT or HUP; then refuse who waits, answer what is served, and return.

    Args:
        ready: told the server's address once it answers.

    Raises:
        BadInput: the policy cannot be loaded, or the address cannot be had.
    """
    with bind(host, port) as bound:
        asyncio.run(_serve(policy, bound, limits, token, legacy, lambda _: ready(address(bound))))


@typed
def bind(host: str, port: int) -> socket.socket:
    """A socket bound to an address, `port` 0 being any free one; BadInput if it cannot be had."""
    try:
        family, kind, _, _, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, socket.IPPROTO_TCP)  # else asyncio leaves Nagle's 40 ms in each answer
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(name)
    except (OSError, UnicodeError) as error:
        found = getattr(error, "strerror", None) or error
        raise BadInput(f"{host}:{port}", found, "a free port of this machine", "give another host or port") from error
    return bound


def address(bound: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _serve(policy, bound, limits, token, legacy, started):
    """Open the line, serve until stopped, close it. `started` is given the uvicorn.Server once it answers."""
    line = Line(policy, limits)
    try:
        await line.open()
        made = app.create(line, limits, token, legacy)
        connection: Any = functools.partial(Connection, limits)
        patience = int(limits.deadline + 2 * limits.upload) + 1
        config = uvicorn.Config(made, http=connection, ws="none", lifespan="off",
                                log_config=None, log_level="error", access_log=False, server_header=False,
                                timeout_keep_alive=IDLE, timeout_graceful_shutdown=patience)  # fmt: skip
        await _Uvicorn(config, line, started).serve([bound])
    finally:
        await line.close()


class Running:
    """A server in a thread of this process, on a free port of loopback; `with` stops it.

    Args:
        source: "module:name" of the policy. options: its arguments.
        limits, token, legacy: as of `run`.

    Attributes:
        url: where it answers.

    Raises:
        BadInput: as `run`.
    """

    @typed
    def __init__(
        self, source: str, options: dict[str, Any] | None = None, limits: Limits | None = None,
        token: str | None = None, legacy: bool = False, port: int = 0,
    ) -> None:  # fmt: skip
        self._bound, self._began = bind("127.0.0.1", port), threading.Event()
        self._served: Any = None
        self._error: BaseException | None = None
        self.url = address(self._bound)
        settings = Policy(source, options or {}), self._bound, limits or Limits(), token, legacy, self._started
        self._thread = threading.Thread(target=self._run, args=settings, daemon=True)
        self._thread.start()
        self._began.wait()
        if self._error:
            self._thread.join()
            raise self._error

    @property
    def worker(self) -> int:
        """The id of the process that runs the policy; 0 while it is started again."""
        worker = self._served.line.worker
        return (worker.pid if worker else 0) or 0

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return self._served.line.waiting

    def kill_worker(self) -> None:
        """Kill the process that runs the policy, as a lack of memory would."""
        if worker := self.worker:  # asked once: 0, which it may become at any moment, is this process's whole group
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)

    def stop(self) -> None:
        """Refuse who waits, answer what is served, end the worker, and return when all is gone."""
        if self._served:
            self._served.should_exit = True
        self._thread.join()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _started(self, served):
        self._served = served
        self._began.set()

    def _run(self, *settings):
        try:
            with self._bound:
                asyncio.run(_serve(*settings))
        except BaseException as error:
            self._error = error
        finally:
            self._began.set()
