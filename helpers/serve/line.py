"""The line before the policy: one request is served, a few wait, the next is told to come again."""

import asyncio
import contextlib
import math
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from helpers.errors import BadInput
from helpers.serve.limits import Limits
from helpers.serve.metrics import Metrics
from helpers.serve.protocol import Act, Prediction
from helpers.serve.refused import Refused
from helpers.serve.worker import Gone, Policy, Untouched, Worker

PAUSES = (0.0, 0.1, 0.5, 1.0, 5.0)  # seconds before a worker is started that has ended so many times in a row
SHARE = 0.2  # of the newest time in the mean of the policy's times


class Done(NamedTuple):
    """A prediction, the seconds it waited for its turn, and those the policy took."""

    prediction: Prediction
    queue: float
    inference: float


class Line:
    """Requests in the order in which they came, and the worker that serves them. Lives in one event loop.

    A caller of `ask` that is canceled gives its place back. A worker that ends is started again; the request it was
    serving is refused, those that wait keep their places.
    """

    def __init__(self, policy: Policy, limits: Limits) -> None:
        self.policy, self.limits, self.service = policy, limits, 0.0
        self.metrics = Metrics(lambda: len(self._places))
        self.worker: Worker | None = None
        self._ended: int | None = None
        self.ready, self.stopping = asyncio.Event(), False
        self._places: deque[asyncio.Future[None]] = deque()
        self._busy = False
        self._thread = ThreadPoolExecutor(1, "worker")
        self._restart: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[tuple[Prediction, float]]] = set()

    async def open(self) -> None:
        """Start the worker, and return when it is ready; BadInput if the policy cannot be loaded."""
        try:
            await self._start()
        except Gone as error:
            raise BadInput("policy", f"its process ended ({error})", "a policy that can be loaded",
                           "look at what it printed") from error  # fmt: skip

    def stop(self) -> None:
        """Refuse who waits and who comes; what is being served is finished."""
        self.stopping = True
        while self._places:
            if not (place := self._places.popleft()).done():
                place.set_exception(self._stopped())

    async def close(self) -> None:
        """`stop`, and end the worker at once."""
        self.stop()
        if self._restart:
            self._restart.cancel()
        if self.worker:
            await asyncio.to_thread(self.worker.end)  # `call` returns then
            for task in self._calls:
                task.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)
        if self.worker:
            self._forget()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._places)

    def admit(self) -> None:
        """Refused with 503 if there is no place for one more request."""
        if self.stopping:
            raise self._stopped()
        if self._busy and self.waiting >= self.limits.queue:
            retry = max(1, math.ceil((self.waiting + 1) * self.service))
            raise Refused(503, "the queue", f"{self.waiting} requests wait", "a free place",
                          f"send it again in {retry} s", retry)  # fmt: skip

    async def ask(self, act: Act) -> Done:
        """The prediction for a request, in its turn.

        Raises:
            Refused: 503 if the queue is full or the server stops, 504 after the deadline, 500 if the worker or the
                policy fails, 422 for what the policy refuses.
        """
        self.admit()
        loop = asyncio.get_running_loop()
        came = loop.time()
        try:
            async with asyncio.timeout(self.limits.deadline):
                await self._turn()
                turned = loop.time()
                prediction, seconds = await asyncio.shield(self._called(act))
        except TimeoutError as error:
            raise Refused(504, "the deadline", f"no answer after {self.limits.deadline:g} s", "an answer",
                          "send it when there is less to do, or raise the deadline") from error  # fmt: skip
        self.metrics.seconds.labels("queue").observe(turned - came)
        self.metrics.seconds.labels("inference").observe(seconds)
        self.service += (seconds - self.service) * (SHARE if self.service else 1)
        return Done(prediction, turned - came, seconds)

    async def _turn(self):
        """Return when it is this request's turn and the worker is ready."""
        if self._busy:
            place = asyncio.get_running_loop().create_future()
            self._places.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.cancelled():
                    with contextlib.suppress(ValueError):
                        self._places.remove(place)
                else:  # the turn came at the same moment
                    self._next()
                raise
        self._busy = True
        try:
            await self.ready.wait()
        except asyncio.CancelledError:
            self._next()
            raise

    def _next(self):
        """Give the turn to who waits longest."""
        while self._places:
            if not (place := self._places.popleft()).done():
                place.set_result(None)
                return
        self._busy = False

    def _called(self, act):
        """A task that ends when the worker is free again, whoever still waits for it."""
        task = asyncio.create_task(self._call(act))
        self._calls.add(task)
        task.add_done_callback(self._returned)
        return task

    def _returned(self, task):
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also when the client has gone
        self._next()

    async def _call(self, act):
        while True:
            await self.ready.wait()
            worker = self.worker
            try:
                return await self._within(worker, act)
            except Untouched:
                if self.stopping:
                    raise self._stopped() from None
                if self.worker is worker:
                    self.ready.clear()
            except Gone as error:
                raise Refused(500, "the worker", f"it ended ({error}) while it served this request", "an action",
                              "look at what the server printed; the worker is started again") from error  # fmt: skip

    async def _within(self, worker, act):
        """What the worker returns; one that is stuck is killed."""
        call = asyncio.get_running_loop().run_in_executor(self._thread, worker.call, act)
        call.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, also when nobody waits
        try:
            async with asyncio.timeout(self.limits.stuck):
                return await asyncio.shield(call)
        except TimeoutError:
            await asyncio.to_thread(worker.end)
            return await call

    @staticmethod
    def _stopped():
        return Refused(503, "the server", "it stops", "a server that runs", "send it to another server", 1)

    async def _start(self):
        """Start a worker, and watch for its end."""
        self.worker = worker = Worker(self.policy)
        self.metrics.starts.inc()
        self._ended = os.pidfd_open(worker.guarded.process.pid)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, worker.wait_ready)
        loop.add_reader(self._ended, self._lost)
        self.ready.set()

    def _lost(self):
        """The worker has ended: start another one."""
        self.ready.clear()
        assert self._ended is not None
        asyncio.get_running_loop().remove_reader(self._ended)
        if not self.stopping:
            self._restart = asyncio.create_task(self._again())

    async def _again(self):
        for attempt in range(1 << 30):
            await asyncio.get_running_loop().run_in_executor(self._thread, int)  # `call` has returned
            self._forget()
            await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
            with contextlib.suppress(Gone, BadInput, OSError):  # the machine may lack memory for a process
                return await self._start()

    def _forget(self):
        """Close what belongs to the worker that has ended, as far as it was made."""
        if self._ended is not None:
            asyncio.get_running_loop().remove_reader(self._ended)
            os.close(self._ended)
        self._ended = None
        if self.worker:
            self.worker.close()
        self.worker = None
