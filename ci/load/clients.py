"""Clients that send requests as raw bytes, so that they can be wrong, and judge every answer."""

import asyncio
import collections
import dataclasses
import time
from random import Random
from urllib.parse import urlsplit

import numpy as np

from ci.load import kinds
from helpers.serve import arrays

SECONDS = 30  # an answer that takes longer hangs
KILLED = {500}  # of the request that the worker was serving


@dataclasses.dataclass
class Report:
    """What came of the requests: counts of (kind, status), faults in words, ms of the right answers with an action."""

    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: list = dataclasses.field(default_factory=list)
    times: list = dataclasses.field(default_factory=list)
    kills: int = 0

    def status(self, wanted):
        """How many requests were answered so."""
        return sum(count for (_, status), count in self.counts.items() if status == wanted)


async def load(url, count, clients, seed, limits, kill=None, kills=0):
    """Send `count` requests from `clients` clients at once; `kill()` is called `kills` times meanwhile.

    Returns a `Report`. Every request has its number, and is made from it and the seed alone.
    """
    report, numbers = Report(), iter(range(count))
    moments = {round(count * (k + 1) / (kills + 1)) for k in range(kills)}
    address = urlsplit(url)

    async def client():
        stream = None
        for number in numbers:
            if number in moments:
                kill()
                report.kills += 1
            sent = kinds.make(Random(f"{seed} {number}"), limits.body, limits.upload)
            stream = await _once(address, stream, sent, report)
        if stream:
            stream[1].close()

    await asyncio.gather(*(client() for _ in range(clients)))
    if (lost := report.status(500)) > report.kills:
        report.faults.append(f"{lost} requests failed, the worker was killed {report.kills} times")
    return report


async def _once(address, stream, sent, report):
    """Send one request and judge its answer; returns the connection if it can be used again."""
    try:
        async with asyncio.timeout(SECONDS):
            stream = stream or await asyncio.open_connection(address.hostname, address.port)
            started = time.perf_counter()
            status, headers, body = await _exchanged(stream, sent)
    except TimeoutError:
        status, headers, body = "hangs", {}, b""
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        status, headers, body = type(error).__name__, {}, str(error).encode()
    report.counts[sent.kind, status] += 1
    if fault := _fault(sent, status, headers, body):
        report.faults.append(f"{sent.kind}: {fault}")
    elif status == 200 and "slow" not in sent.kind:
        report.times.append(1e3 * (time.perf_counter() - started))
    if stream and (not sent.right or headers.get("connection") == "close" or not headers):
        stream[1].close()
        return None
    return stream


async def _exchanged(stream, sent):
    """(status, headers, body) of the answer; ("left", {}, b"") of a client that does not wait for one."""
    reader, writer = stream
    reading = asyncio.create_task(_answer(reader))
    try:
        for piece, pause in sent.pieces:
            await asyncio.sleep(pause)
            if reading.done():  # the server has answered before it has read all
                break
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    if sent.right:
        return await reading
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return "left", {}, b""


async def _answer(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    if "content-length" not in headers:
        raise ValueError(f"{head}")
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


def _fault(sent, status, headers, body):
    """What is wrong with an answer, or None."""
    if status == "left" or (status in KILLED and 200 in sent.right):
        return None
    if status not in sent.right:
        return f"{status} {body[:200]!r}, expected {sorted(sent.right)}"
    if status == 503 and not headers.get("retry-after", "").isdigit():
        return "503 without Retry-After"
    if status == 200:
        found = arrays.decode(sent.read(body), "action", ["<f8"], 1000)
        return None if np.array_equal(found, sent.action) else f"another request's action: {found}"
    return None
