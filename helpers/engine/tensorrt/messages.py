"""TensorRT's messages, kept so that an error can show them, with what its builder says of tactics that it skips."""

import collections
import contextlib
import functools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

REASON = "Skipping tactic"  # said in detail alone, and the only thing that tells why there is no implementation


@functools.lru_cache(maxsize=1)
def logger() -> Any:
    """The one logger of this process: TensorRT keeps the first that it is given, so it must outlive everything."""
    import tensorrt

    return recorder(tensorrt)


def recorder(trt: Any, skip: str | None = None) -> Any:
    """A logger of the module `trt` that keeps warnings and errors in `messages`, except those that contain `skip`, and
    the last reasons for which tactics were skipped in `reasons`.
    """

    class Logger(trt.ILogger):
        def __init__(self):
            super().__init__()
            self.messages, self.reasons = [], collections.deque(maxlen=3)

        def log(self, severity, message):
            wanted = skip is None or skip not in message
            if severity.value <= trt.ILogger.Severity.WARNING.value and wanted:
                self.messages.append((severity.name, message))
            elif REASON in message and message not in self.reasons:
                self.reasons.append(message)

    return Logger()


@contextlib.contextmanager
def captured() -> Iterator["Messages"]:
    """Yield `Messages`, which hold what TensorRT says from here on."""
    log = logger()
    del log.messages[:]
    log.reasons.clear()
    yield Messages(log.messages, log.reasons)


def recent() -> "Messages":
    """`Messages` since the last `captured`."""
    return Messages(logger().messages, logger().reasons)


class Messages:
    """Warnings and errors in the order they came; shown with the last reasons for which tactics were skipped."""

    def __init__(self, messages: Sequence[tuple[str, str]], reasons: Collection[str] = ()) -> None:
        self._messages, self._reasons = messages, reasons

    def warnings(self) -> list[str]:
        """Each message once."""
        return list(dict.fromkeys(message for _, message in self._messages))

    def __str__(self) -> str:
        shown = [*self._messages[-20:], *(("VERBOSE", reason) for reason in self._reasons)]
        return "\n".join(f"  {name}: {message}" for name, message in shown) or "  (no message)"
