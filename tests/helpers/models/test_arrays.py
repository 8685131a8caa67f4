"""Layered weights as NumPy arrays."""

import numpy as np
import pytest
import torch

from helpers.errors import BadInput
from helpers.models import arrays, layered


def test_numbers_are_read_without_torch(tmp_path):
    """As float32, whole ones as they are; what no definition takes is refused by its file."""
    kinds = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool)
    state = {str(kind): torch.tensor([[1.5, -2.0, 0.25]]).to(kind) for kind in kinds} | {"scalar": torch.tensor(7)}
    found = arrays.read(layered.save(state, tmp_path / "c"))
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].dtype == (np.float32 if tensor.is_floating_point() else tensor.numpy().dtype)
        np.testing.assert_array_equal(found[name], tensor.float().numpy())
    for number, (tensor, said) in enumerate(
        (
            (torch.tensor([1.0, torch.nan]), "not[\\s\\S]*finite"),
            (torch.zeros(2).to(torch.float8_e5m2), "plain numbers"),
        )
    ):
        folder = layered.save({"net.x": tensor}, tmp_path / str(number))
        with pytest.raises(BadInput, match=rf"net/x.bin[\s\S]*{said}"):
            arrays.read(folder)
    with pytest.raises(BadInput, match="nothing but zeros in 1 tensors"):
        arrays.read(layered.save({"net.x": torch.zeros(2), "count": torch.tensor(3)}, tmp_path / "zeros"))
    (tmp_path / "c/scalar.bin").write_bytes(b"8" * 8)
    with pytest.raises(BadInput, match=r"scalar.bin[\s\S]*SHA-256"):
        arrays.read(tmp_path / "c")
