"""The order of weights in weight-only kernels, against loops that follow the published steps element by element."""

import pytest
import torch

from helpers.errors import BadInput
from helpers.llm.tensorrt_llm import mixed_gemm

INT8 = [0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15]
INT4 = [k + 8 * eight for pair in range(4) for eight in range(4) for k in (2 * pair, 2 * pair + 1)]


def codes(bits, rows=128, columns=16):
    half = 2 ** (bits - 1)
    random = torch.Generator().manual_seed(bits)
    return torch.randint(-half, half, (rows, columns), generator=random, dtype=torch.int8)


def by_loops(matrix, bits, interleaved):
    """Bytes, in the order of memory, of the steps as they are written down."""
    rows, columns = matrix.shape
    group = INT8 if bits == 8 else INT4
    permuted = [matrix[row // len(group) * len(group) + group[row % len(group)]].tolist() for row in range(rows)]
    stream = [permuted[row][column] for column in range(columns) for row in range(rows)]
    if interleaved:
        count = 16 // bits
        stream = [
            stream[(block * count + k) * rows + tile * 64 + element]
            for block in range(columns // count)
            for tile in range(rows // 64)
            for k in range(count)
            for element in range(64)
        ]
    stream = [value + 2 ** (bits - 1) for value in stream]
    order = [0, 2, 1, 3] if bits == 8 else [0, 2, 4, 6, 1, 3, 5, 7]
    words = [stream[start + k] for start in range(0, len(stream), len(order)) for k in order]
    return words if bits == 8 else [low | high << 4 for low, high in zip(words[::2], words[1::2], strict=True)]


@pytest.mark.parametrize("sm", [80, 90])
@pytest.mark.parametrize("bits", [8, 4])
def test_the_bytes_are_those_of_the_published_steps(bits, sm):
    packed = mixed_gemm.pack(codes(bits), bits, sm)
    assert packed.shape == (128, 16 * bits // 8) and packed.dtype == torch.int8
    assert packed.view(torch.uint8).flatten().tolist() == by_loops(codes(bits), bits, sm < 90)


@pytest.mark.parametrize("bits", [8, 4])
def test_what_is_packed_comes_back_for_its_own_gpu_alone(bits):
    for sm in (75, 80, 89, 90):
        assert torch.equal(mixed_gemm.unpack(mixed_gemm.pack(codes(bits), bits, sm), bits, sm), codes(bits))
    other = mixed_gemm.unpack(mixed_gemm.pack(codes(bits), bits, 80), bits, 90)
    assert not torch.equal(other, codes(bits))


def test_nibbles_hold_the_even_columns_in_their_low_halves():
    packed = mixed_gemm.nibbles(torch.tensor([[1, -1, -8, 7]], dtype=torch.int8))
    assert packed.view(torch.uint8).tolist() == [[0xF1, 0x78]]
    assert mixed_gemm.split_nibbles(packed).tolist() == [[1, -1, -8, 7]]


@pytest.mark.parametrize("sm", [70, 100, 120])
def test_a_gpu_whose_order_is_not_established_is_refused(sm):
    with pytest.raises(BadInput, match=f"{sm}"):
        mixed_gemm.pack(codes(8), 8, sm)


@pytest.mark.parametrize("shape", [(96, 16), (128, 12)])
def test_sizes_that_the_kernel_cannot_take_are_refused(shape):
    with pytest.raises(BadInput, match="multiples of 64 and 8"):
        mixed_gemm.pack(torch.zeros(shape, dtype=torch.int8), 8, 80)
