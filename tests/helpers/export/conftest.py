"""The toy, exported once."""

import pytest

from helpers import export
from tests.builders.bevformer import scrambled
from tests.helpers.export.toy import Toy


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    model = scrambled(Toy().eval())
    return model, export.export(model, tmp_path_factory.mktemp("toy") / "toy.onnx")
