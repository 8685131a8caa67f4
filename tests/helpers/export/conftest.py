"""The toy, exported once."""

import pytest
import torch

from helpers import export
from tests.builders.bevformer import scrambled
from tests.builders.shared import once
from tests.helpers.export.toy import Toy


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(0)  # every process has this model, and one of them exports it for all
        model = scrambled(Toy().eval())
    return model, once(tmp_path_factory, "toy", lambda folder: export.export(model, folder / "toy.onnx"))
