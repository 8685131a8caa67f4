"""The toy, exported once."""

import pytest

from helpers import export
from tests.builders.bevformer import scrambled
from tests.builders.shared import once
from tests.helpers.export.toy import Toy


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    model = scrambled(Toy().eval())
    return model, once(tmp_path_factory, "toy", lambda folder: export.export(model, folder / "toy.onnx"))
