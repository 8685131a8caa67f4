"""The library of compiled operators: built, found, loaded once, chosen; what cannot be loaded is refused."""

import os
import shutil
import subprocess
import warnings

import pytest

from helpers.errors import BadInput
from helpers.ops import library as plugins

SOURCE = f"""extern "C" const char* onramp_plugins_info() {{
              return "onramp_plugins abi=%s tensorrt=10.13 arch=sm_90 sources={plugins.sources()}"; }}
            extern "C" const char* onramp_error(int) {{ return ""; }}"""


def _compiled(folder, name, source, *options):
    path = folder / name
    command = ["g++", "-shared", "-fPIC", "-x", "c++", "-", "-o", path, *options]
    subprocess.run(command, input=source, text=True, check=True)
    return path


def test_what_cannot_be_loaded_is_refused_with_the_reason(tmp_path, host_library):
    with pytest.raises(BadInput, match="No such file"):
        plugins.load(tmp_path / "absent.so")
    (tmp_path / "text.so").write_text("not a library")
    with pytest.raises(BadInput, match=r"text\.so"):
        plugins.load(tmp_path / "text.so")
    with pytest.raises(BadInput, match="no onramp_plugins_info"):
        plugins.load(_compiled(tmp_path, "other.so", "int other;"))
    needed = _compiled(tmp_path, "libabsent.so.9", "int needed;", "-Wl,-soname,libabsent.so.9")
    needs = _compiled(tmp_path, "needs.so", "", "-Wl,--no-as-needed", "-x", "none", str(needed))
    needed.unlink()
    with pytest.raises(BadInput, match=r"needs libabsent\.so\.9"):
        plugins.load(needs)
    with pytest.raises(BadInput, match="interface 0"):
        plugins.load(_compiled(tmp_path, "old.so", SOURCE % 0))
    ten = _compiled(tmp_path, "ten.so", SOURCE % plugins.ABI)
    assert plugins.info(plugins.load(ten, tensorrt="10.3.0"))["tensorrt"] == "10.13"
    with pytest.raises(BadInput, match=r"built for TensorRT 10\.13"):
        plugins.load(ten, tensorrt="8.6.0")
    assert plugins.info(plugins.load(host_library))["arch"] == "host"


def test_the_library_is_found_where_it_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "FOLDER", tmp_path)
    assert plugins.find() is None
    (tmp_path / "build").mkdir()
    (tmp_path / "build/libonramp_plugins.so").touch()
    assert plugins.find() == tmp_path / "build/libonramp_plugins.so"
    assert plugins.find("kernels", out=tmp_path / "elsewhere") is None


def test_what_cannot_be_built_is_refused_with_the_reason(tmp_path):
    with pytest.raises(BadInput, match="no TensorRT headers in"):
        plugins.build(out=tmp_path, TENSORRT_INCLUDE=tmp_path)
    with pytest.raises(BadInput, match="one of plugins, kernels, host"):
        plugins.build("everything")


def test_what_make_would_misunderstand_is_refused(tmp_path):
    with pytest.raises(BadInput, match="without spaces"):
        plugins.build("host", out=tmp_path / "two words")
    with pytest.raises(BadInput, match=r"variables \['CXXX'\]"):
        plugins.build("host", out=tmp_path, CXXX="g++")
    with pytest.raises(BadInput, match="nothing"):
        plugins.find("nothing")
    with pytest.raises(BadInput, match="absent"):
        plugins.identity("absent.so")


def test_files_of_the_same_bytes_are_loaded_once(tmp_path):
    first = _compiled(tmp_path, "first.so", SOURCE % plugins.ABI)
    copy = shutil.copy(first, tmp_path / "copy.so")
    loaded = plugins.load(first)
    assert plugins.load(copy) is loaded is plugins.load(first)
    asked = []
    assert plugins.load_once(copy, "another way", asked.append) is plugins.load_once(first, "another way", asked.append)
    assert asked == [str(copy)]
    other = _compiled(tmp_path, "other.so", SOURCE % plugins.ABI + "int more;")
    assert plugins.load(other) is not loaded
    (one,), (two,) = plugins.identity([first]), plugins.identity([copy])
    assert one["sha256"] == two["sha256"] and (one["file"], two["file"]) == ("first.so", "copy.so")
    with pytest.raises(BadInput, match="a folder"):
        plugins.identity([tmp_path])


def test_a_choice_holds_for_a_block_or_until_the_next(host_library):
    assert plugins.kernels("cpu") is None
    loaded = plugins.load(host_library)
    with plugins.use(host_library):
        assert plugins.kernels("cpu") is loaded and plugins.kernels("cuda") is None
        with plugins.use(None):
            assert plugins.kernels("cpu") is None
        with pytest.raises(BadInput, match="absent"):
            plugins.use("absent.so")
        assert plugins.kernels("cpu") is loaded
    assert plugins.kernels("cpu") is None
    before = plugins.use(host_library)
    assert plugins.kernels("cpu") is loaded
    before.__exit__()
    assert plugins.kernels("cpu") is None


@pytest.fixture
def build_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "FOLDER", tmp_path)
    plugins._newest.cache_clear()
    yield tmp_path / "build"
    plugins._newest.cache_clear()


def test_the_newest_library_is_taken_by_itself(build_folder):
    (build_folder / "kernels").mkdir(parents=True)
    old = _compiled(build_folder, plugins.OUTPUTS["plugins"], SOURCE % plugins.ABI)
    new = _compiled(build_folder, plugins.OUTPUTS["kernels"], SOURCE % plugins.ABI + "int newer;")
    os.utime(old, (1, 1))
    assert plugins.kernels("cuda") is plugins.load(new) is not plugins.load(old)
    assert plugins.kernels("cpu") is None  # what was built for a GPU
    with plugins.use(None):
        assert plugins.kernels("cuda") is None


def test_a_library_that_does_not_load_is_said_once_and_left_out(build_folder):
    assert plugins.kernels("cuda") is None
    plugins._newest.cache_clear()
    build_folder.mkdir()
    (build_folder / plugins.OUTPUTS["plugins"]).write_text("not a library")
    with pytest.warns(UserWarning, match=r"without their compiled kernels: .*libonramp_plugins\.so"):
        assert plugins.kernels("cuda") is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plugins.kernels("cuda") is None


def test_a_library_of_other_sources_is_said(tmp_path, host_library, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plugins.info(plugins.load(host_library))["sources"] == plugins.sources()
    with pytest.warns(UserWarning, match=f"sources that it does not name.* {plugins.sources()}"):
        plugins.load(_compiled(tmp_path, "old.so", SOURCE.replace(" sources=", "") % plugins.ABI))
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels/rotate.cu").write_text("another")
    monkeypatch.setattr(plugins, "FOLDER", tmp_path)
    with pytest.warns(UserWarning, match=f"those in {tmp_path} are {plugins.sources()}"):
        plugins.load(host_library)


def test_a_library_without_an_operator_is_refused(host_library):
    with pytest.raises(BadInput, match=r"libonramp_kernels\.so\n  found:    no onramp_absent in it"):
        plugins.function(plugins.load(host_library), "onramp_absent")
