"""A request that is not answered with an action, and the HTTP status that says why."""

from helpers.errors import BadInput


class Refused(BadInput):
    """A BadInput with its HTTP status.

    Args:
        status: 400 and above.
        retry: seconds after which the same request may be sent again; None if that would not help.
    """

    def __init__(
        self, status: int, where: object, found: object, expected: object, fix: object, retry: int | None = None
    ) -> None:
        super().__init__(where, found, expected, fix)
        self.status, self.retry = status, retry
