"""The cache of exports: its key holds whatever an export depends on, and what it cannot know is exported anew."""

import dataclasses
import errno

import pytest
import torch
from torch import nn

from helpers import export
from helpers.errors import BadInput
from helpers.export import cache
from tests.helpers.export.toy import Toy


@dataclasses.dataclass(frozen=True)
class Config:
    width: int = 4


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.config, self.layer, self.stride = Config(width), nn.Linear(4, 4), (1, 2)
        self.register_buffer("gain", torch.tensor(0.5), persistent=False)

    def forward(self, image):
        return (self.layer(image) * self.gain,)


@pytest.fixture
def known(monkeypatch):
    """The classes above count as our own."""
    monkeypatch.setattr(cache, "OWN", (*cache.OWN, "tests"))


def make(width=4):
    torch.manual_seed(0)
    return Net(width).eval()


def half(model):
    model.half()


def change(path, value):
    def changed(model):
        holder, _, name = path.rpartition(".")
        setattr(model.get_submodule(holder), name, value)

    return changed


def nudge(model):
    with torch.no_grad():
        model.layer.weight[0, 0] = torch.nextafter(model.layer.weight[0, 0], torch.tensor(9.0))


CHANGES = {
    "one bit of a weight": nudge,
    "a type": half,
    "a buffer that is not saved": change("gain", torch.tensor(0.25)),
    "the configuration": change("config", Config(5)),
    "a number beside the tensors": change("stride", (2, 1)),
    "the mode": change("layer.training", True),
}


def test_same_network_same_key(known):
    assert cache.key_of(make(), False, 18) == cache.key_of(make(), False, 18)


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes_the_network_changes_the_key(known, what):
    model = make()
    CHANGES[what](model)
    assert cache.key_of(model, False, 18) not in (None, cache.key_of(make(), False, 18))


def test_options_versions_and_our_source_are_in_the_key(known, tmp_path, monkeypatch):
    before = cache.key_of(make(), False, 18)
    keys = {before, cache.key_of(make(), True, 18), cache.key_of(make(), False, 17)}
    monkeypatch.setattr(cache.importlib.metadata, "version", lambda name: "0")
    keys.add(cache.key_of(make(), False, 18))
    monkeypatch.setattr(cache, "ROOT", tmp_path)
    (tmp_path / "helpers").mkdir()
    for text in ("a = 1", "a = 2"):
        (tmp_path / "helpers/network.py").write_text(text)
        keys.add(cache.key_of(make(), False, 18))
    assert len(keys) == 6


def test_weights_shared_by_two_layers_are_not_equal_ones(known):
    keys = set()
    for tied in (True, False):
        model = make()
        model.second = nn.Linear(4, 4)
        model.second.load_state_dict(model.layer.state_dict())
        if tied:
            model.second.weight = model.layer.weight
        keys.add(cache.key_of(model, False, 18))
    assert len(keys) == 2


UNKNOWN = {
    "a forward that was replaced": change("layer.forward", lambda x: x),
    "a tensor beside the buffers": lambda model: object.__setattr__(model, "table", torch.ones(4)),
    "an object": change("helper", object()),
    "a hook": lambda model: model.layer.register_forward_hook(lambda *a: None),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_the_key_cannot_know_has_none(known, what):
    model = make()
    UNKNOWN[what](model)
    assert cache.key_of(model, False, 18) is None


def test_a_class_from_elsewhere_has_no_key():
    assert cache.key_of(make(), False, 18) is None and cache.key_of(Toy().eval(), False, 18) is None


def test_a_network_is_exported_once_and_a_damaged_copy_again(toy, tmp_path, monkeypatch):
    model, path = toy
    exported = []

    def counted(model, out, plugin, opset):
        exported.append(out)
        out.write_bytes(path.read_bytes())

    monkeypatch.setattr(export, "export", counted)
    monkeypatch.setattr(cache, "key_of", lambda *a: "0" * 64)
    monkeypatch.setattr(cache.fetch, "__defaults__", (tmp_path / "kept",))
    monkeypatch.setattr(cache.keep, "__defaults__", (tmp_path / "kept",))
    for number in range(3):
        assert export.cached(model, tmp_path / f"{number}.onnx").read_bytes() == path.read_bytes()
    assert exported == [tmp_path / "0.onnx"]
    kept = next((tmp_path / "kept").glob("*.onnx"))
    kept.write_bytes(kept.read_bytes()[:-9])
    assert export.cached(model, tmp_path / "again.onnx").read_bytes() == path.read_bytes()
    assert len(exported) == 2 and kept.read_bytes() == path.read_bytes()


def test_the_graph_for_plugins_is_the_kept_portable_one_without_definitions(toy, tmp_path, monkeypatch):
    """Byte for byte what an export writes, and without one; with other options it is exported."""
    model, path = toy
    expected = export.export(model, tmp_path / "expected.onnx", plugin=True).read_bytes()
    monkeypatch.setattr(cache, "key_of", lambda model, plugin, opset, options: f"{plugin}{opset}{options}")
    for function in (cache.fetch, cache.keep):
        monkeypatch.setattr(function, "__defaults__", (tmp_path / "kept",))
    cache.keep(cache.key_of(model, False, export.OPSET, {}), path)
    monkeypatch.setattr(export, "export", lambda *a, **options: pytest.fail(f"exported {options}"))
    for name in ("first.onnx", "second.onnx"):
        assert export.cached(model, tmp_path / name, plugin=True).read_bytes() == expected
    assert len(list((tmp_path / "kept").glob("*.onnx"))) == 2
    with pytest.raises(pytest.fail.Exception, match="boxes"):
        export.cached(model, tmp_path / "boxes.onnx", plugin=True, boxes=True)


def test_a_network_without_a_key_is_exported_every_time_and_not_kept(toy, tmp_path, monkeypatch):
    model, path = toy
    monkeypatch.setattr(cache, "keep", lambda *a: pytest.fail("kept"))
    made = export.cached(model, tmp_path / "toy.onnx")
    assert made.read_bytes() == path.read_bytes()


def test_the_newest_exports_are_kept(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "MOST", 2)
    for number in range(3):
        cache.keep(str(number), toy[1], tmp_path)
    assert len(list(tmp_path.glob("*.onnx"))) == 2 and cache.fetch("2", tmp_path / "out/copy.onnx", tmp_path)


def test_a_cache_that_cannot_be_written_costs_no_export_but_a_full_disk_is_told(toy, tmp_path, monkeypatch):
    (tmp_path / "kept").touch()
    cache.keep("1", toy[1], tmp_path / "kept")
    cache.keep("1", toy[1], tmp_path)
    monkeypatch.setattr(cache.shutil, "copyfile", no_space)
    cache.keep("2", toy[1], tmp_path)
    with pytest.raises(BadInput, match=r"copy\.onnx\n  found:    the disk is full"):
        cache.fetch("1", tmp_path / "out/copy.onnx", tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*")) == ["1.onnx", "kept", "out"]


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_another_run_removes_meanwhile_is_not_there_and_no_error(toy, tmp_path, monkeypatch):
    gone = tmp_path / "gone.onnx"
    gone.symlink_to("nowhere")  # in the list of the folder, and gone when it is asked for
    cache.keep("1", toy[1], tmp_path)
    assert cache.fetch("1", tmp_path / "out/copy.onnx", tmp_path)
    monkeypatch.setattr(cache.graph, "load", lambda path: pytest.fail("read"))
    assert not cache.fetch("gone", tmp_path / "out/gone.onnx", tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["copy.onnx"]
