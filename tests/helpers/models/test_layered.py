"""Layered weights: bit by bit the checkpoint, one file a tensor, and every damage told."""

import json
import os
import shutil
import sys

import pytest
import torch
from safetensors.torch import save_file

from helpers import models
from helpers.cli import weights
from helpers.errors import BadInput
from helpers.files import ROOT
from helpers.llm import folder as llama
from helpers.models import layered
from helpers.models.checkpoints import read_checkpoint

HOSTILE = ("../up", "/etc/x", "a..b", ".", "..", "", "a/b", "a%2Fb", "A.b", "a.B", "a\0b", "\ud800", "é.weight", "a.",
           "x" * 300, ".".join("abcd" * 300), "index.json", "a.weight", "a.weight.bin", "%long.x", "a\nb",
           "con")  # fmt: skip


def every_dtype():
    """Tensors of all types that files hold, with random bits: NaN with a payload, -0, subnormal numbers."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (96,), dtype=torch.uint8, generator=generator)
    kinds = {name: getattr(torch, name) for name in layered.DTYPES if hasattr(torch, name)}
    bits = {name: (noise % 2 if name == "bool" else noise).view(kind) for name, kind in kinds.items()}
    return {f"all.{name}": tensor.reshape(2, -1) for name, tensor in bits.items()}


def bits(tensor):
    return tensor.resolve_conj().contiguous().reshape(-1).view(torch.uint8)


def same(found, state):
    return list(found) == list(state) and all(
        found[name].dtype == tensor.dtype
        and found[name].shape == tensor.shape
        and torch.equal(bits(found[name]), bits(tensor))
        for name, tensor in state.items()
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """(state, folder); the folder is not to be changed."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = every_dtype() | {
        "net.turned": base.T,
        "net.part": base[1:3, ::2],
        "net.conjugate": torch.complex(base, -base).conj(),
        "net.spread": base[0, :1].expand(5, 3),
        "net.parameter": torch.nn.Parameter(base),
        "scalar": torch.tensor(7),
        "net.empty": torch.empty(0, 3),
    }
    return state, layered.save(state, tmp_path_factory.mktemp("layered") / "c-model")


def test_every_type_comes_back_bit_by_bit(tree):
    state, folder = tree
    assert same(layered.read(folder), state) and len(state) == len(layered.DTYPES) + 7
    assert folder.joinpath("net/part.bin").read_bytes() == state["net.part"].numpy().tobytes()


def test_a_module_is_read_alone(tree, tmp_path):
    state, folder = tree
    shutil.copytree(folder, tmp_path / "c")
    (tmp_path / "c/scalar.bin").write_bytes(b"8" * 8)  # not read, so not noticed
    part = layered.read(tmp_path / "c", "net")
    assert same(part, {name: tensor for name, tensor in state.items() if name.startswith("net.")})
    for module in ("ne", "net.part.x", "nothing"):
        with pytest.raises(BadInput, match=r"a module of .* such as all, net, scalar"):
            layered.read(tmp_path / "c", module)


def test_no_name_is_written_outside_or_over_another(tmp_path):
    state = {name: torch.tensor([float(k)]) for k, name in enumerate(HOSTILE)}
    folder = layered.save(state, tmp_path / "deep/c-model")
    assert same(layered.read(folder), state)
    assert len({layered.file_of(name) for name in HOSTILE}) == len(HOSTILE)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"] and os.listdir(tmp_path / "deep") == ["c-model"]


def test_a_tree_that_another_run_wrote_meanwhile_stays(tmp_path, monkeypatch):
    out, written = tmp_path / "c-model", layered._bytes_of
    monkeypatch.setattr(layered, "_check_free", lambda *words: None)

    def meanwhile(name, tensor):
        if name == "second":
            layered.save({"first": torch.zeros(1)}, out)
        return written(name, tensor)

    monkeypatch.setattr(layered, "_bytes_of", meanwhile)
    with pytest.raises(BadInput, match="came meanwhile"):
        layered.save({"second": torch.ones(1)}, out)
    assert list(layered.read(out)) == ["first"]


@pytest.mark.parametrize(
    "checkpoint", ["bevformer_mini.safetensors", "fbocc_mini.safetensors", "llama_mini", "openvla_mini"]
)
def test_the_checkpoint_of_every_system(tmp_path, capsys, checkpoint):
    source, out = ROOT / "checkpoints" / checkpoint, tmp_path / "c-model"
    state = llama.read_weights(source) if source.is_dir() else read_checkpoint(source)
    assert weights.main(["split", str(source), "--out_dir", str(out)]) == 0
    assert same(layered.read(out), state) and f"{sum(t.nbytes for t in state.values()):,}" in capsys.readouterr().out
    assert weights.main(["join", str(out), "--out", str(tmp_path / "again.safetensors")]) == 0
    again = read_checkpoint(tmp_path / "again.safetensors")
    assert same({name: again[name] for name in state}, state)


def test_a_network_is_loaded_from_a_tree(tmp_path):
    source = ROOT / "checkpoints/fbocc_mini.safetensors"
    folder = layered.save({f"module.{k}": v for k, v in read_checkpoint(source).items()}, tmp_path / "c-model")
    model = models.load_checkpoint(models.create("fbocc", "mini", seed=5), folder)
    assert same(model.state_dict(), models.load_checkpoint(models.create("fbocc", "mini"), source).state_dict())


# ---------------------------------------------------------------- damage


def edit(change):
    def damage(folder):
        table = json.loads((folder / "index.json").read_text())
        change(table["tensors"])
        (folder / "index.json").write_text(json.dumps(table))

    return damage


def flip(folder):
    path = folder / "net/turned.bin"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)


def link(folder):
    path = folder / "scalar.bin"
    shutil.move(path, folder.parent / "elsewhere.bin")
    path.symlink_to("../elsewhere.bin")


DAMAGES = {
    "a file is missing": (lambda f: (f / "net/part.bin").unlink(), r"net/part\.bin\n  found:    no such file"),
    "a bit flipped": (flip, r"net/turned\.bin\n  found:    content of another SHA-256"),
    "a file cut": (lambda f: os.truncate(f / "scalar.bin", 4),
                   r"scalar\.bin\n  found:    4 bytes\n  expected: 8 bytes: int64"),
    "a file more": (lambda f: (f / "net/more.bin").touch(), r"net/more\.bin\n  found:    1 files that the index"),
    "a link to elsewhere": (link, r"scalar\.bin\n  found:    a link"),
    "a folder for a file": (lambda f: ((f / "scalar.bin").unlink(), (f / "scalar.bin").mkdir()),
                            r"scalar\.bin\n  found:    a folder"),
    "no index": (lambda f: (f / "index.json").unlink(), r"index\.json\n  found:    no such file"),
    "half an index": (lambda f: os.truncate(f / "index.json", 300), "not JSON"),
    "another table": (lambda f: (f / "index.json").write_text('{"weight_map": {}}'), "no table of tensors"),
    "another shape": (edit(lambda t: t["net.turned"].update(shape=[4, 6])), "entries that are not those"),
    "another size": (edit(lambda t: t["net.turned"].update(shape=[4, -6])), r"'net\.turned': shape \[4, -6\]"),
    "another type": (edit(lambda t: t["scalar"].update(dtype="qint8")), "'scalar': dtype 'qint8'"),
    "another digest": (edit(lambda t: t["scalar"].update(sha256="0" * 64)), "entries that are not those"),
    "a path": (edit(lambda t: t["scalar"].update(file="../scalar.bin")), r"'scalar': file '\.\./scalar\.bin'"),
    "an entry less": (edit(lambda t: t.pop("scalar")), "entries that are not those"),
    "another order": (edit(lambda t: t.update(scalar=t.pop("scalar"), first=t.pop("net.empty"))), "net/empty.bin"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_told(tree, tmp_path, damage):
    folder = shutil.copytree(tree[1], tmp_path / "c-model")
    change, said = DAMAGES[damage]
    change(folder)
    with pytest.raises(BadInput, match=said) as caught:
        layered.read(folder)
    assert str(folder) in caught.value.where and caught.value.fix


@pytest.mark.parametrize("kind", ["sparse", "meta", "quantized", "nested", "number", "key", "none"])
def test_what_is_no_dense_tensor_is_refused_and_nothing_is_written(tmp_path, kind):
    dense = torch.ones(3)
    bad = {
        "sparse": lambda: {"b": dense.to_sparse()},
        "meta": lambda: {"b": dense.to("meta")},
        "quantized": lambda: {"b": torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8)},
        "nested": lambda: {"b": torch.nested.nested_tensor([dense, dense])},
        "number": lambda: {"b": 1.0},
        "key": lambda: {3: dense},
        "none": dict,
    }[kind]()
    with pytest.raises(BadInput):
        layered.save({"a": dense} | bad if bad else bad, tmp_path / "c-model")
    assert not list(tmp_path.iterdir())


def test_what_exists_gives_way_only_where_it_is_a_tree_and_that_is_asked_for(tmp_path):
    state, out = {"a.b": torch.ones(2)}, tmp_path / "c-model"
    layered.save(state, out)
    with pytest.raises(BadInput, match="a folder is there already"):
        layered.save({"a.b": torch.zeros(2)}, out)
    assert same(layered.read(out), state)
    layered.save({"c": torch.zeros(2)}, out, replace=True)
    assert list(layered.read(out)) == ["c"]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"notes\.txt"):
        layered.save(state, out, replace=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="a file is there already"):
        layered.save(state, tmp_path / "file", replace=True)
    assert (out / "notes.txt").read_text() == "mine" and (tmp_path / "file").read_text() == "x"


def test_the_command_names_what_it_does_not_write(tmp_path):
    out = layered.save({"a.b": torch.ones(2), "a.c": torch.ones(1, dtype=torch.complex128)}, tmp_path / "c-model")
    for target, said in (
        ("x.pth", "ends in"),
        ("c-model/x.safetensors", "the input"),
        ("x.safetensors", "safetensors has"),
    ):
        with pytest.raises(BadInput, match=said):
            weights.main(["join", str(out), "--out", str(tmp_path / target)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c-model"]


def test_an_index_is_read_without_torch(tree, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    entry = layered.index(tree[1])["net.turned"]
    assert (entry.file, entry.shape, entry.dtype, entry.nbytes) == ("net/turned.bin", (6, 4), "float32", 96)


def test_a_tree_is_not_written_into_its_source(tmp_path):
    source = layered.save({"a": torch.ones(1)}, tmp_path / "tree")
    with pytest.raises(BadInput, match="the input"):
        weights.main(["split", str(source), "--out_dir", str(source / "in")])
    assert list(layered.read(source)) == ["a"]
    with pytest.raises(BadInput, match=r"a folder with '|can be listed"):
        layered.save({"a": torch.ones(1)}, "/proc", replace=True)


def test_a_file_of_safetensors_is_read_in_the_order_of_names_whatever_the_types(tmp_path):
    names = ["head.layers.2.weight", "head.layers.10.count", "head.layers.10.weight", "neck"]
    state = {name: torch.zeros(2, dtype=torch.int64 if "count" in name else torch.float16) for name in names}
    save_file(state, tmp_path / "some.safetensors")
    assert list(read_checkpoint(tmp_path / "some.safetensors")) == names
