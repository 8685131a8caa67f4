"""The one error for bad input: it says where, what was found, what was expected, and how to mend it."""


class BadInput(ValueError):
    """Input that cannot be used.

    Args:
        where: the file, tensor, argument or cell at fault.
        found: what is there.
        expected: what should be there.
        fix: what the reader can do about it, as a command where there is one.
    """

    def __init__(self, where: object, found: object, expected: object, fix: object) -> None:
        self.where, self.found, self.expected, self.fix = str(where), str(found), str(expected), str(fix)
        super().__init__(f"{self.where}\n  found:    {self.found}\n  expected: {self.expected}\n  fix:      {self.fix}")
