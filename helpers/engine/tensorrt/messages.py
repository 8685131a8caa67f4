"""TensorRT's messages, kept so that an error can show them."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any


@functools.lru_cache(maxsize=1)
def logger() -> Any:
    """The one logger of this process: TensorRT keeps the first that it is given, so it must outlive everything."""
    import tensorrt

    return recorder(tensorrt)


def recorder(trt: Any, skip: str | None = None) -> Any:
    """A logger of the module `trt` that keeps warnings and errors in `messages`, except those that contain `skip`."""

    class Logger(trt.ILogger):
        def __init__(self):
            super().__init__()
            self.messages = []

        def log(self, severity, message):
            wanted = skip is None or skip not in message
            if severity.value <= trt.ILogger.Severity.WARNING.value and wanted:
                self.messages.append((severity.name, message))

    return Logger()


@contextlib.contextmanager
def captured() -> Iterator["Messages"]:
    """Yield `Messages`, which hold what TensorRT says from here on."""
    log = logger()
    del log.messages[:]
    yield Messages(log.messages)


def recent() -> "Messages":
    """`Messages` since the last `captured`."""
    return Messages(logger().messages)


class Messages:
    """Warnings and errors in the order they came."""

    def __init__(self, messages: Sequence[tuple[str, str]]) -> None:
        self._messages = messages

    def warnings(self) -> list[str]:
        """Each message once."""
        return list(dict.fromkeys(message for _, message in self._messages))

    def __str__(self) -> str:
        return "\n".join(f"  {name}: {message}" for name, message in self._messages[-20:]) or "  (no message)"
