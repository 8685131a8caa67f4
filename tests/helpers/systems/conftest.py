"""FB-OCC in its tiny configuration, exported once."""

import pytest


@pytest.fixture(scope="session")
def tiny_fbocc(tmp_path_factory):
    """(FB-OCC in PyTorch, path of its portable graph); not to be changed."""
    from helpers import export, models  # torch, which tests of a bare Python do without
    from tests.helpers.systems.fbocc.tiny import TINY

    model = models.create("fbocc", TINY)
    return model, export.export(model, tmp_path_factory.mktemp("fbocc") / "tiny.onnx")
