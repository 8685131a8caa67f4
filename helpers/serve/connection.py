"""uvicorn's HTTP/1.1 connection, with an end to those that send too slowly or are too many."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from helpers.serve.limits import Limits

FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-type: application/json\r\n"
    b'connection: close\r\ncontent-length: 32\r\n\r\n{"error":"too many connections"}'
)
COMING = (h11.IDLE, h11.SEND_BODY)  # states of a client whose request is not complete


class Connection(H11Protocol):
    """Closed unless each request is complete within twice `limits.upload`, headers and body, from its first byte."""

    def __init__(self, limits: Limits, **settings: Any) -> None:
        super().__init__(**settings)
        self.limits = limits
        self.late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn's; one connection too many is told so, and closed."""
        if full := len(self.connections) >= self.limits.connections:
            transport.write(FULL)
            transport.close()
        super().connection_made(transport)
        if not full:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, which reads nothing from a connection that is being closed."""
        if self.transport.is_closing():
            return
        if self.late is None:
            self._watch()
        super().data_received(data)
        if self.conn.their_state not in COMING:
            self._unwatch()

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's."""
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self):
        self.late = self.loop.call_later(2 * self.limits.upload, self.transport.abort)

    def _unwatch(self):
        if self.late:
            self.late.cancel()
        self.late = None
