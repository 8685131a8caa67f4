"""What the server takes, and how long it waits."""

from dataclasses import dataclass, fields

from helpers.arguments import typed
from helpers.errors import BadInput

MOST = 1 << 40  # bytes, seconds, requests


@typed
@dataclass(frozen=True)
class Limits:
    """Sizes and times of the server; BadInput unless all are above zero (`queue` may be zero) and finite.

    Attributes:
        body: bytes of a request.
        pixels: of an image, height times width.
        characters: of an instruction.
        queue: requests that wait while one is served; the next is told to come again.
        reading: requests whose bodies are read at the same time.
        connections: open at the same time.
        upload: seconds for a body to arrive.
        deadline: seconds from the whole body to the answer.
        stuck: seconds after which a worker that has not answered is killed.
    """

    body: int = 16 << 20
    pixels: int = 1 << 22
    characters: int = 4096
    queue: int = 8
    reading: int = 32
    connections: int = 256
    upload: float = 5.0
    deadline: float = 10.0
    stuck: float = 20.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (0 < value <= MOST or (field.name == "queue" and value == 0)):
                expected = f"a number above zero, at most {MOST:,}"
                raise BadInput(f"limit {field.name}", value, expected, "give another limit")
