"""Work that is queued again and again, captured once as a CUDA graph for each set of addresses that it reads."""

from collections.abc import Callable, Hashable

from helpers.engine import cuda


class Replay:
    """Graphs of one stream, by what tells their addresses apart."""

    def __init__(self, stream: cuda.Stream) -> None:
        self._stream, self._graphs = stream, dict[Hashable, cuda.Graph]()

    def queue(self, work: Callable[[], None], side: Hashable) -> None:
        """Queue `work`; as a graph, one for each `side`.

        The first run with new shapes is TensorRT's own preparation; it reads what the graph will read again.
        """
        if side not in self._graphs:
            work()
            self._stream.synchronize()
            with self._stream.capture() as self._graphs[side]:
                work()
        self._stream.launch(self._graphs[side])

    def clear(self) -> None:
        """Drop all graphs."""
        for graph in self._graphs.values():
            graph.close()
        self._graphs = {}
