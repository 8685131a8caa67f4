"""The HTTP side of the server: what is read of a request, and what is answered."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from helpers.serve import protocol, schema
from helpers.serve.limits import Limits
from helpers.serve.line import Done, Line
from helpers.serve.refused import Refused

JSON = "application/json"
DRAINED = 4  # times the limit: so much of a body that is too large is read, so that its client reads the answer
TOLD = 2000  # characters of each part of a refusal
LEFT = 499  # the status, in the counters alone, of a client that did not wait for its answer


class Act:
    """The handler of /act.

    Args:
        token: what a client must send as `Authorization: Bearer TOKEN`; None asks for nothing.
        legacy: answer whatever goes wrong with 200 and "error", as the public servers do.
    """

    def __init__(self, line: Line, limits: Limits, token: str | None, legacy: bool) -> None:
        self.line, self.limits, self.legacy, self.reading = line, limits, legacy, 0
        self._digest = hashlib.sha256(token.encode()).digest() if token is not None else None

    async def __call__(self, request: Request) -> Response:
        """The answer to one request, counted by its status."""
        try:
            body = await self._body(request)
            self.line.admit()  # before it is parsed: a refusal costs next to nothing
            act = await asyncio.to_thread(protocol.parse, body, self.limits)
            done = await _unless_gone(request, self.line.ask(act))
            response = Response(protocol.answer(act, done.prediction), media_type=JSON, headers=_times(done))
            status = 200
        except Refused as error:
            response, status = self._refusal(error), error.status
        except ClientDisconnect:
            response, status = Response(status_code=LEFT), LEFT
        self.line.metrics.requests.labels(status).inc()
        return response

    def check_token(self, request: Request) -> None:
        """Refused with 401 if a token is asked for and this is not it; the comparison takes the same time always."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(hashlib.sha256(given.strip().encode()).digest(), self._digest or b"")
        if self._digest is not None and not (right and scheme.lower() == "bearer"):
            raise Refused(401, "Authorization", "another token, or none", "Bearer TOKEN", "send the server's token")

    def _early(self, request):
        """Why a request is refused by its head alone; None if it is not."""
        try:
            self.check_token(request)
        except Refused as error:
            return error
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON and not self.legacy:
            return Refused(415, "Content-Type", kind[:40] or "none", JSON, "send JSON, and say so")
        if self.reading >= self.limits.reading:
            found = f"{self.reading} bodies are being read"
            return Refused(503, "the server", found, "fewer at a time", "send it again in 1 s", 1)
        return None

    async def _body(self, request):
        """The body. It is read to its end before anything is answered, as clients expect that write it first."""
        early = self._early(request)
        self.reading += early is None
        try:
            async with asyncio.timeout(self.limits.upload):
                body = await self._read(request, 0 if early else self.limits.body)
        except TimeoutError as error:
            raise Refused(408, "the body", f"not complete after {self.limits.upload:g} s", "a whole body",
                          "send it faster, or a smaller one") from error  # fmt: skip
        finally:
            self.reading -= early is None
        if early:
            raise early
        return body

    async def _read(self, request, kept):
        """The body, of which so many bytes at most are kept."""
        body, size = bytearray(), 0
        async for chunk in _chunks(request):
            size += len(chunk)
            if size <= kept:
                body += chunk
            elif size > DRAINED * self.limits.body:
                break
        if size > self.limits.body:
            raise Refused(413, "the body", f"more than {self.limits.body:,} bytes", f"at most {self.limits.body:,}",
                          "send a smaller picture")  # fmt: skip
        return bytes(body)

    def _refusal(self, error):
        if self.legacy and error.status == 400:
            return Response('{"detail":"no JSON object"}', 422, media_type=JSON)
        if self.legacy and error.status != 401:
            return Response('"error"', media_type=JSON)
        return refusal(error)


def _cut(text):
    """A text that may hold what the client sent, such as a key of megabytes."""
    return text if len(text) <= TOLD else f"{text[:TOLD]} ..."


def refusal(error: Refused) -> Response:
    """What a client is told of a refusal."""
    headers = {"retry-after": str(error.retry)} if error.retry is not None else {}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status in (408, 413):
        headers["connection"] = "close"  # the rest of the body is not read
    told = {name: _cut(str(getattr(error, name))) for name in ("where", "found", "expected", "fix")}
    return Response(json.dumps({"error": told}), error.status, headers, JSON)


def create(line: Line, limits: Limits, token: str | None = None, legacy: bool = False) -> FastAPI:
    """The application: POST /act, GET /health, GET /metrics, and the schema at /openapi.json."""
    app = FastAPI(title="Onramp action server", version="1", docs_url=None, redoc_url=None)
    act = Act(line, limits, token, legacy)

    @app.post("/act", **schema.act(limits, token is not None))
    async def _act(request: Request) -> Response:
        """Predict an action from a picture and an instruction."""
        return await act(request)

    @app.get("/health", **schema.HEALTH)
    async def _health() -> Response:
        """Whether a request would be served now."""
        state = "stopping" if line.stopping else "ready" if line.ready.is_set() else "starting"
        told = {"status": state, "policy": line.policy.source, "waiting": line.waiting, "queue": limits.queue}
        return Response(json.dumps(told), 200 if state == "ready" else 503, media_type=JSON)

    @app.get("/metrics", **schema.METRICS)
    async def _metrics(request: Request) -> Response:
        """Counters and times, for Prometheus."""
        try:
            act.check_token(request)
        except Refused as error:
            return refusal(error)
        return Response(line.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Done]) -> Done:
    """The result of `work`, which is canceled if the client disappears; ClientDisconnect then."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request):
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _times(done: Done) -> dict[str, str]:
    return {"server-timing": f"queue;dur={1e3 * done.queue:.3f}, inference;dur={1e3 * done.inference:.3f}"}
