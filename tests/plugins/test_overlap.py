"""The proof that kernels of a decode step wait for each other, on the CPU, where they always do."""

from helpers.ops import library
from plugins.check import overlap


def test_a_kernel_that_did_not_write_before_the_next_one_reads_is_seen(host_library, monkeypatch):
    loaded, attend, attended = library.load(host_library), overlap.Step.attend, []
    assert [row.right for row in overlap.rows(loaded, "cpu")] == [True, True]

    def late(step, layer):
        """Nothing in the second layer of each second step."""
        attended.append(layer)
        if len(attended) % (2 * overlap.SMALL.layers) != overlap.SMALL.layers + 2:
            attend(step, layer)

    monkeypatch.setattr(overlap.Step, "attend", late)
    assert [row.error for row in overlap.rows(loaded, "cpu")] == [float("inf")] * 2
