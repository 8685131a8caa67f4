"""PyTorch's exporter looks its functions up once in a process, and what it writes is what it writes without that."""

import torch
from onnxscript._internal import ast_utils
from torch.onnx._internal import _lazy_import

from helpers.export import library


class Smooth(torch.nn.Module):
    def forward(self, speed, mean):
        return torch.nn.functional.softplus(0.75 * mean + 0.25 * speed)


def written():
    given = {name: torch.ones(2, 3) for name in ("speed", "mean")}
    program = torch.onnx.export(Smooth().eval(), kwargs=given, dynamo=True, opset_version=18, verbose=False)
    return program.model_proto.SerializeToString(deterministic=True)


def test_sources_are_read_once_and_the_graph_is_the_same(monkeypatch):
    first, read, known = written(), [], ast_utils.get_src_and_ast
    monkeypatch.setattr(ast_utils, "get_src_and_ast", lambda function: read.append(function) or known(function))
    assert written() == first and not read
    monkeypatch.delattr(_lazy_import.onnxscript_apis, library.NAME)
    assert written() == first and len(read) > 100
