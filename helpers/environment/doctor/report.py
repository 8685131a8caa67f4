"""What the doctor reports: one Check for each thing that was looked at, and all of one visit as a Report."""

import dataclasses

from helpers.arguments import typed

OK, WARN, FAIL = "OK", "WARN", "FAIL"
GROUNDS = {OK: "#00664A", WARN: "#7A4A00", FAIL: "#A33F00"}  # white on them can be read on any page

# What each line guards against, by the first part of its topic.
WHY = {
    "Python": "compiled packages are made for one minor version",
    "tools": "git applies patches, make, gcc and g++ compile",
    "folders": "without UTF-8 or a temporary folder, errors are odd and come late",
    "driver": "its version bounds the CUDA that can run",
    "GPU": "its compute capability decides which kernels run",
    "CUDA toolkit": "nvcc compiles plugins; running engines does not need it",
    "CUDA runtime": "libraries newer than the driver do not start",
    "torch": "a CPU build does not see a GPU, a CUDA build is 4 GB larger",
    "torch kernels": "without a kernel for this GPU the first operation fails",
    "tensorrt-rtx": "it parses and builds engines on the CPU tier",
    "tensorrt": "it builds and runs engines on the GPU tier",
    "TensorRT versions": "of two versions, the loader takes whichever it finds first",
    "ONNX Runtime": "two packages of it overwrite each other",
    "ModelOpt": "its ONNX part needs packages that pip does not bring by itself",
    "plugins": "a plugin library must fit this TensorRT and this GPU",
    "lock": "other versions than those that were tested",
    "memory": "a process that dies without a message mostly lacked memory",
    "disk": "a full disk leaves half written files",
    "MiniDrive": "a data set cut short fails in the middle of a lesson",
    "checkpoints": "a clone without git-lfs holds texts in place of the weights",
}


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
        from helpers.display import tables

        rows = [{"": check.status, "what": check.topic, "found": check.found, "cure": check.cure} for check in self]
        page = tables.table(rows, caption=f"Doctor: {self}").data
        for status, ground in GROUNDS.items():
            page = page.replace(f">{status}<", f"><b style='background:{ground};{tables.MARK}'>{status}</b><")
        return page

    def __str__(self) -> str:
        return ", ".join(f"{self.count(status)} {status}" for status in (OK, WARN, FAIL))


@typed
def why(topic: str) -> str:
    """What the line of that topic guards against; "" for a topic that is not known."""
    return WHY.get(topic.split(":")[0], "")


@typed
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
