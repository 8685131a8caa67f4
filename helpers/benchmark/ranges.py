"""NVTX ranges around the modules of a network: Nsight Systems draws them above the kernels that they start.

    nsys profile --trace=cuda,nvtx -o build/run python -m helpers run SYSTEM --weights FILE.pth \\
        --nvtx -o build/result

Ranges cost nothing where nobody records them. An engine of TensorRT marks its layers by itself.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from helpers.arguments import between, typed
from helpers.errors import check_network


class Nvtx(NamedTuple):
    """What begins a range with a name, and what ends the one that was begun last."""

    push: Callable[[str], Any]
    pop: Callable[[], Any]


def library() -> Nvtx | None:
    """NVTX as a CUDA build of PyTorch brings it; None where there is none."""
    try:
        from torch.cuda import nvtx

        nvtx.range_push("")
        nvtx.range_pop()
    except (ImportError, RuntimeError):  # a build for CPUs has the functions, and they raise
        return None
    return Nvtx(nvtx.range_push, nvtx.range_pop)


@contextlib.contextmanager
@typed
def marked(model: Any, depth: int = 2, nvtx: Nvtx | None = None) -> Iterator[list[str]]:
    """Mark every call of a module of `model` down to `depth` with a range of its name, and yield these names.

    Args:
        depth: 1 for `head`, 2 for `head.layers` too.
        nvtx: what marks; `library()` by default. Where there is none nothing is marked: no names.
    """
    check_network(model)
    between("depth", depth, 1, 50)
    found = nvtx or library()
    chosen, hooks = ({}, []) if found is None else _hooked(model, depth, found)
    try:
        yield list(chosen)
    finally:
        for hook in hooks:
            hook.remove()


def _hooked(model, depth, nvtx):
    """Name -> module of what is marked, and the hooks that do it."""
    chosen = {name: module for name, module in model.named_modules() if name and name.count(".") < depth}
    hooks = []
    for name, module in chosen.items():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: nvtx.push(name) and None))
        hooks.append(module.register_forward_hook(lambda *_: nvtx.pop() and None, always_call=True))
    return chosen, hooks
