"""FB-OCC, OmniDrive, OpenVLA and UniAD in their tiny configurations, exported once."""

import pytest

from tests.builders.shared import once


@pytest.fixture(scope="session")
def tiny_fbocc(tmp_path_factory):
    """(FB-OCC in PyTorch, path of its portable graph); not to be changed."""
    from helpers import export, models  # torch, which tests of a bare Python do without
    from tests.helpers.systems.fbocc.tiny import TINY

    model = models.create("fbocc", TINY)
    return model, once(tmp_path_factory, "fbocc", lambda folder: export.export(model, folder / "tiny.onnx"))


@pytest.fixture(scope="session")
def tiny_omnidrive(tmp_path_factory):
    """(OmniDrive in PyTorch, path of the graph of its vision part); not to be changed."""
    from helpers import export
    from tests.helpers.systems.omnidrive.tiny import network

    model = network()
    path = once(tmp_path_factory, "omnidrive", lambda folder: export.export(model, folder / "tiny.onnx"))
    return model, path


@pytest.fixture(scope="session")
def tiny_openvla(tmp_path_factory):
    """(OpenVLA in PyTorch, path of the graph of its vision side); not to be changed."""
    from helpers import export, models
    from tests.helpers.systems.openvla.tiny import FUSED

    model = models.create("openvla", FUSED)
    return model, once(tmp_path_factory, "openvla", lambda folder: export.export(model, folder / "tiny.onnx"))


@pytest.fixture(scope="session")
def tiny_uniad(tmp_path_factory):
    """(UniAD in PyTorch with one layer of each kind as far as its tracks, path of its portable graph); not to be
    changed.
    """
    from helpers import export
    from tests.helpers.systems.uniad.tiny import SHORT, Tracked, network

    model = network(SHORT)
    model.__class__ = Tracked
    return model, once(tmp_path_factory, "uniad", lambda folder: export.export(model, folder / "tiny.onnx"))
