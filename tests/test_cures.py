"""What errors name as their fix is carried out, and cures; tests/fixes.toml lists which test does it for which fix."""

import json
import os
import re
import shlex
import shutil
import subprocess
from functools import partial
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from data_scripts import make_minidrive
from helpers import __main__ as cli
from helpers import engine, graph, models
from helpers.cli import engine as engine_command
from helpers.dataset import occupancy, open_dataset
from helpers.engine.tensorrt import builder, profiles
from helpers.environment.doctor import checks
from helpers.environment.doctor.report import FAIL, OK
from helpers.errors import BadInput
from tests.builders import graphs
from tests.helpers.environment.doctor.builders import machine

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 3\n"
PARTS = ("v1.0-mini/ego_pose.json", "maps", "can_bus", "can_bus/scene-0103_pose.json", "samples/CAM_FRONT")


def fix_of(function, *args, **options):
    """The fix of the error that a call ends in."""
    with pytest.raises(BadInput) as caught:
        function(*args, **options)
    return caught.value.fix


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def root(minidrive, tmp_path):
    return shutil.copytree(minidrive, tmp_path / "a data root", copy_function=os.link)


@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_minidrive_is_made_again_in_its_place(root, part):
    remove(root / part)
    *command, place = shlex.split(fix_of(open_dataset, root), comments=True)
    assert command == ["python", "-m", "data_scripts.make_minidrive", "--out"] and place == str(root)


def test_making_minidrive_again_cures(root):
    remove(root / PARTS[0])
    remove(next((root / "samples/CAM_FRONT").iterdir()))
    _, _, _, *options = shlex.split(fix_of(open_dataset, root), comments=True)
    assert make_minidrive.main([*options, "--scenes", "1", "--frames", "2", "--workers", "1"]) == 0
    assert len(open_dataset(root, split="all")) == 2


def test_making_minidrive_again_brings_labels_of_occupancy(root):
    frame = open_dataset(root, split="all")[0]
    remove(root / "gts")
    _, _, _, *options = shlex.split(fix_of(occupancy.read, root, frame), comments=True)
    assert options == ["--out", str(root)]  # what `test_making_minidrive_again_cures` carries out


def test_a_path_without_a_folder_can_become_a_minidrive(tmp_path, minidrive, monkeypatch):
    fix = fix_of(open_dataset, tmp_path / "no such")
    _, command = fix.split(": ")
    monkeypatch.setattr(make_minidrive, "make", lambda out, **_: shutil.copytree(minidrive, out))
    assert make_minidrive.main(shlex.split(command)[3:]) == 0 and open_dataset(tmp_path / "no such")


@pytest.mark.parametrize("part", PARTS)
def test_nuscenes_is_unpacked_again_and_never_turned_into_minidrive(root, minidrive, part):
    (root / "minidrive.json").unlink()
    remove(root / part)
    fix = fix_of(open_dataset, root)
    assert fix.startswith("unpack ") and str(root) in fix and "minidrive" not in fix.lower().replace(str(root), "")
    (shutil.copytree if (minidrive / part).is_dir() else shutil.copy)(minidrive / part, root / part)
    assert open_dataset(root)


def test_tables_elsewhere_are_found_by_the_fix(root, tmp_path):
    assert fix_of(open_dataset, root, version="v1.0-trainval") == "pass version='v1.0-mini'"
    assert open_dataset(root, version="v1.0-mini")
    folder = fix_of(open_dataset, tmp_path).removeprefix("open ").removesuffix(", which has them")
    assert open_dataset(folder)
    (root / "minidrive.json").unlink()
    (root / "v1.0-mini").rename(tmp_path / "away")
    assert fix_of(open_dataset, root).startswith("unpack the metadata archive of nuScenes")


@pytest.fixture
def git_lfs(tmp_path, monkeypatch):
    """A git-lfs that puts the file `whole` into the place of every pointer of the folder."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/git-lfs"
    fake.write_text("#!/bin/sh\nfor file in $(grep -l ^version.https://git-lfs *); do cp whole $file; done\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    (folder := tmp_path / "clone").mkdir()
    return folder


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "weights.pth"])
def test_git_lfs_pull_brings_what_a_pointer_stands_for(git_lfs, name):
    network = torch.nn.Linear(2, 2)
    read = graph.parse if name.endswith(".onnx") else partial(models.load_checkpoint, network)
    if name.endswith(".onnx"):
        onnx.save(graphs.captures(), git_lfs / "whole")
    elif name.endswith(".pth"):
        torch.save(network.state_dict(), git_lfs / "whole")
    else:
        save_file(network.state_dict(), git_lfs / "whole")
    (git_lfs / name).write_text(POINTER)
    fix = fix_of(read, git_lfs / name)
    subprocess.run(fix, shell=True, cwd=git_lfs, check=True)
    assert fix == "git lfs pull" and read(git_lfs / name)


@pytest.mark.parametrize("damage", ["absent", "short"])
def test_external_weights_copied_beside_the_file_cure(tmp_path, damage):
    (source := tmp_path / "source").mkdir()
    options = {"save_as_external_data": True, "location": "net.data", "size_threshold": 0}
    nodes, weight = [onnx.helper.make_node("Add", ["x", "w"], ["y"])], np.ones(64, np.float32)
    model = graphs.model(nodes, {"x": [64]}, {"y": [64]}, [onnx.numpy_helper.from_array(weight, "w")])
    onnx.save(model, source / "net.onnx", **options)
    copy = shutil.copy(source / "net.onnx", tmp_path / "net.onnx")
    if damage == "short":
        (tmp_path / "net.data").write_bytes((source / "net.data").read_bytes()[:100])
    assert fix_of(graph.parse, copy).startswith("copy ") and fix_of(graph.parse, copy).endswith("beside the ONNX file")
    shutil.copy(source / "net.data", tmp_path)
    assert graph.parse(copy).graph.initializer


def test_copying_a_damaged_onnx_file_again_cures(tmp_path):
    onnx.save(graphs.captures(), whole := tmp_path / "whole.onnx")
    (short := tmp_path / "short.onnx").write_bytes(whole.read_bytes()[:40])
    assert "copy the file again" in fix_of(graph.parse, short)
    assert graph.parse(shutil.copy(whole, short))


def test_building_a_damaged_engine_again_cures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(graphs.captures(), "model.onnx")
    path = engine.build("model.onnx", "onnxruntime", "build/engines")
    path.write_bytes(path.read_bytes()[:-10])
    _, _, _, *options = shlex.split(fix_of(engine.load, path).replace("MODEL.onnx", "model.onnx"))
    assert cli.main(options) == 0
    with engine.load(path):
        pass


def test_postprocessing_cures_an_operator_in_the_wrong_domain(tmp_path, capsys):
    nodes = [onnx.helper.make_node("RotateTRT2", ["x", "angle", "center"], ["y"], "rotate", interpolation=1)]
    shapes = {"x": [1, 4, 4], "angle": [1], "center": [2]}
    onnx.save(graphs.model(nodes, shapes, {"y": [1, 4, 4]}), path := tmp_path / "net.onnx")
    command, _ = fix_of(graph.load, path).split(" puts it")
    assert cli.main(shlex.split(command)[3:]) == 0
    (made,) = set(tmp_path.glob("*.onnx")) - {path}
    assert graph.load(made)


def test_restoring_the_checkpoints_cures(tmp_path):
    (weights := tmp_path / "checkpoints/net.safetensors").parent.mkdir()
    save_file({"w": torch.ones(1)}, weights)
    identity = ["-c", "user.name=n", "-c", "user.email=n@n", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "weights"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    weights.unlink()
    check = checks.checkpoints(machine(tmp_path), ["00_start_here"])
    assert check.status == FAIL
    subprocess.run(check.cure, shell=True, cwd=tmp_path, check=True)
    assert checks.checkpoints(machine(tmp_path), ["00_start_here"]).status == OK


@pytest.mark.parametrize("given", [[[1, 8], [4, 2], [2, 4]], [[2, 1], [1, 1], [3, 1]]])
def test_shapes_in_the_order_of_the_fix_are_taken(given):
    fix = fix_of(profiles.checked, {"x": given})
    assert profiles.checked({"x": json.loads(fix.removeprefix("pass "))})["x"][0] == [1, min(given[0][1], 2)]
    assert "as many dimensions" in fix_of(profiles.checked, {"x": [[1, 2]]})


def test_the_options_that_the_fix_adds_complete_the_shapes(tmp_path, monkeypatch):
    nodes = [onnx.helper.make_node("Relu", ["x"], ["y"], "/relu")]
    onnx.save(graphs.model(nodes, {"x": ["n", 2]}, {"y": ["n", 2]}), tmp_path / "m.onnx")
    command = ["build", f"--onnx={tmp_path / 'm.onnx'}", "--runtime=tensorrt", "--optShapes=x:2x2"]
    fix = fix_of(engine_command.main, command)
    assert fix == "add --minShapes=x:SHAPE --maxShapes=x:SHAPE"
    taken = []
    monkeypatch.setattr(engine, "build", lambda *_, **options: taken.append(options["shapes"]) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        engine_command.main([*command, *fix.replace("SHAPE", "2x2").split()[1:]])
    assert taken == [[{"x": ((2, 2), (2, 2), (2, 2))}]]


def test_a_checkpoint_of_one_set_of_names_is_read(tmp_path):
    network = torch.nn.Linear(2, 2)
    state = network.state_dict()
    torch.save(state | {f"teacher.{name}": tensor for name, tensor in state.items()}, path := tmp_path / "both.pth")
    fix = fix_of(models.load_checkpoint, network, path)
    prefix = re.search("begin with '(.*?)'", fix)[1]
    for kept in (True, False):
        torch.save(
            {name: t for name, t in torch.load(path).items() if name.startswith(prefix) == kept}, tmp_path / "1.pth"
        )
        assert models.load_checkpoint(network, tmp_path / "1.pth")


def test_one_model_is_named(tmp_path):
    onnx.save(graphs.captures(), path := tmp_path / "m.onnx")
    option = fix_of(engine_command.main, ["run"]).removeprefix("add ").split(" or ")[0]
    cache = f"--cache={tmp_path / 'cache'}"
    assert engine_command.main(["run", option.replace("FILE", str(path)), cache]) == 0
    both = [f"--onnx={path}", f"--loadEngine={path}"]
    assert fix_of(engine_command.main, ["run", *both]) == "leave one of them out"
    assert engine_command.main(["run", both[0], cache]) == 0


@pytest.mark.parametrize("options", [{"precision": "fp16"}, {"precision": "best", "calibration": "set.npz"}])
def test_what_does_not_go_with_a_quantized_graph_is_changed_as_the_fix_says(options):
    given = options | {"calibration": options.get("calibration")}
    fix = fix_of(builder._check_graph, "m.onnx", SimpleNamespace(**given), True)
    changed = given | ({"calibration": None} if fix == "leave calibration out" else {})
    for precision in re.findall("explicit|best|obey", fix) or [given["precision"]]:
        builder._check_graph("m.onnx", SimpleNamespace(**changed | {"precision": precision}), True)
