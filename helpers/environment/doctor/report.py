"""What the doctor reports: one Check for each thing that was looked at, and all of one visit as a Report."""

import dataclasses

OK, WARN, FAIL = "OK", "WARN", "FAIL"
COLORS = {OK: "#009E73", WARN: "#E69F00", FAIL: "#D55E00"}


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        topic: what it is about.
        status: "OK", "WARN" (something may not work, or was not checked) or "FAIL".
        found: what is there.
        cure: what to do about it: a shell command where there is one, else a sentence; "" if OK.
        details: more, in lines.
    """

    topic: str
    status: str
    found: str
    cure: str = ""
    details: str = ""


class Report(list[Check]):
    """The Checks of one visit; in a notebook, a table."""

    def count(self, status: object) -> int:
        """How many Checks have this status."""
        return sum(check.status == status for check in self)

    def _repr_html_(self) -> str:
        from helpers.display import table

        rows = [{"": check.status, "what": check.topic, "found": check.found, "cure": check.cure} for check in self]
        page = table(rows, caption=f"Doctor: {self}").data
        for status, color in COLORS.items():
            page = page.replace(f">{status}<", f"><b style='color:{color}'>{status}</b><")
        return page

    def __str__(self) -> str:
        return ", ".join(f"{self.count(status)} {status}" for status in (OK, WARN, FAIL))


def text(report: Report, seconds: float | None = None) -> str:
    """The report as text: a line for each check, the cure below what is not OK, and a summary."""
    width = max(len(check.topic) for check in report)
    lines = []
    for check in report:
        lines.append(f"{check.status:<4}  {check.topic:<{width}}  {check.found}")
        if check.status != OK:
            lines.append(f"{'':<6}{'':<{width}}  cure: {check.cure}")
    return "\n".join([*lines, "", f"{report}" + (f" in {seconds:.1f} s" if seconds is not None else "")])


def counted(number: int, noun: str) -> str:
    """The number and the noun, in the plural unless it is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
