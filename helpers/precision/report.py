"""What `helpers.precision.first_divergence` returns, and how it reads."""

from dataclasses import dataclass, field

from helpers.precision.errors import Range, number


@dataclass
class Input:
    """A tensor that the found one is computed from, or the found one: its ranges and its error on the worst frame."""

    name: str
    shape: tuple
    reference: Range
    candidate: Range
    error: float

    def __str__(self):
        return f"{self.name} {list(self.shape)}: {self.reference} | {self.candidate}, error {number(self.error)}"


@dataclass
class Divergence:
    """What `first_divergence` found: a tensor that exceeds its tolerance or, where there is none, one that is not a
    number in both runners (`kind` "nan", `error` NaN). With `found` False only the counts and the worst tensor mean
    something.

    `error` is relative to the tensor's scale, `share` the part of its elements that exceeds the tolerance. `between`
    are the candidate's nodes from the nearest tensors that were compared and are good up to the found one. `inputs` are
    those tensors, and last the found one. `local` is the error against what the reference makes of the candidate's own
    inputs (None where they are not of one engine): small if the error came in through them. Of engines that are built
    anew for every probe: `hides` are the tensors that take the fault away when they are marked as outputs, `refused`
    those with which marked no engine could be built, `log` all probes (`helpers.precision.marked.Probe`), `notes` what
    follows from them. `kind` is one word for the hint: overflow, accumulate, half, layout, mode, constant, decision
    (ties, thresholds), carried, nan or other.
    """

    found: bool
    strategy: str
    compared: int
    frames: int
    probes: int
    seconds: float
    worst: tuple = ("", 0.0)  # tensor and error, closest to its tolerance or furthest beyond
    unmatched: dict = field(default_factory=dict)
    tensor: str = ""
    frame: int = -1
    error: float = 0.0
    tolerance: float = 0.0
    share: float = 0.0
    node: str = ""
    op: str = ""
    module: str = ""
    shape: tuple = ()
    inputs: list = field(default_factory=list)
    between: list = field(default_factory=list)
    kind: str = ""
    hint: str = ""
    local: float | None = None
    hides: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    log: list = field(default_factory=list)

    def rows(self) -> list[dict]:
        """One row per input and one for the found tensor, for `helpers.display.table`."""
        return [
            {
                "tensor": item.name,
                "shape": item.shape,
                "reference": str(item.reference),
                "candidate": str(item.candidate),
                "error": item.error,
            }
            for item in self.inputs
        ]

    def __str__(self):
        counts = f"{self.compared} tensors compared over {self.frames} frames by {self.strategy}"
        counts += f", {self.probes} probes, {self.seconds:.1f} s"
        if self.unmatched:
            counts += f"; {len(self.unmatched)} modules have no tensor of their own (see .unmatched)"
        if not self.found:
            return f"no divergence: {counts}\n  worst:     {number(self.worst[1])} at {self.worst[0]}"
        if self.kind == "nan":
            return "\n".join([f"not a number in both runners: {self.tensor}", f"  node:      {self.node} ({self.op})",
                              f"  module:    {self.module or '(top)'}", f"  hint:      {self.hint}; frame {self.frame}",
                              f"  no divergence beside it: {counts}"])  # fmt: skip
        lines = [
            f"first divergence: {self.tensor} {list(self.shape)}",
            f"  node:      {self.node} ({self.op})",
            f"  module:    {self.module or '(top)'}",
            f"  error:     {number(self.error)} of the largest value, {number(self.tolerance)} is allowed; "
            f"{self.share:.2%} of the elements exceed it; frame {self.frame}",
            f"  hint:      {self.hint}",
            *([] if self.local is None else [f"  local:     {number(self.local)} from the candidate's own inputs"]),
            *(f"  note:      {note}" for note in self.notes),
            *(f"  input:     {item}" for item in self.inputs[:-1]),
            *(f"  result:    {item}" for item in self.inputs[-1:]),
            f"  {counts}",
        ]
        return "\n".join(lines)
