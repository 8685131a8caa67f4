"""A file of another kind is called by its kind, by every door that it is given to."""

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from helpers import engine, npz
from helpers.engine import cache
from helpers.errors import BadInput
from helpers.kinds import PLAN, kind_of
from helpers.models.checkpoints import read_checkpoint
from tests.helpers.engine.builders import save_conv


@pytest.fixture
def files(tmp_path):
    """Kind -> a file of it, whose name says nothing."""
    names = {}

    def made(kind):
        names[kind] = tmp_path / f"file{len(names)}"
        return names[kind]

    for kind, content in (("an empty file", b""), ("text", b"KeyError\t101\n"), ("a picture", b"\xff\xd8\xff\xe0"),
                          ("", b"\x80\x02\x8a\nl\xfc"), ("an engine of TensorRT", PLAN + bytes(8))):  # fmt: skip
        made(kind).write_bytes(content)
    save_file({"a": torch.zeros(3)}, made("a file of safetensors"))
    np.savez(archive := tmp_path / "x.npz", x=np.zeros(3))
    archive.rename(made("a zip archive"))
    with open(made("one array of NumPy"), "wb") as stream:
        np.save(stream, np.zeros(3))
    onnx.save(onnx.load(save_conv(tmp_path / "conv.onnx")[0]), made("an ONNX file"), format="protobuf")
    return names


def test_every_kind_is_told_by_how_it_begins(files, tmp_path):
    assert {kind: kind_of(path) for kind, path in files.items()} == {kind: kind for kind in files}
    assert kind_of(tmp_path / "absent") == ""
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pth")
    assert kind_of(tmp_path / "a.pth") == "a zip archive" and set(read_checkpoint(tmp_path / "a.pth")) == {"a"}


def test_doors_name_what_they_were_given(files):
    for kind in ("an empty file", "text", "an ONNX file", "one array of NumPy", "a file of safetensors"):
        for door in (read_checkpoint, npz.members):
            with pytest.raises(BadInput, match=f"{files[kind].name}\n  found: +{kind}\n"):
                door(files[kind])
        with pytest.raises(BadInput, match=f"{files[kind].name}\n  found: +{kind}, and no .*json"):
            cache.read_meta(files[kind])
    renamed = files["an ONNX file"].rename(files["an ONNX file"].with_suffix(".safetensors"))
    with pytest.raises(BadInput, match=r"found: +an ONNX file"):
        read_checkpoint(renamed)


def test_a_name_that_is_not_utf_8_is_said_to_be_so(tmp_path):
    path = save_conv(tmp_path / "conv.onnx")[0].rename(tmp_path / "c\udcff.onnx")
    with pytest.raises(BadInput, match=r"c\\udcff\.onnx\n  found: +a name that is not UTF-8"):
        engine.load(path)
