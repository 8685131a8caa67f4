"""What several runs want at once: each new file is somebody's own, one has the first word, one has a folder."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers import shared
from helpers.errors import BadInput
from helpers.files import ROOT

HOLDS = """
import sys, time
from helpers import shared
with shared.alone(sys.argv[1], "a run", "wait"):
    print("held", flush=True)
    time.sleep(100)
"""


def test_a_new_file_never_takes_the_place_of_another(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    assert [shared.write_new(tmp_path / "a.txt", text).name for text in "bc"] == ["a-2.txt", "a-3.txt"]
    assert [(tmp_path / name).read_text() for name in ("a.txt", "a-2.txt", "a-3.txt")] == ["mine", "b", "c"]
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(BadInput, match=r"a\.txt[\s\S]*can be written"):
        shared.write_new(tmp_path / "a.txt" / "b.txt", "below a file")


def test_of_many_that_write_one_file_at_once_one_does(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(lambda number: shared.write_first(tmp_path / "a.txt", str(number) * 9), range(40)))
    assert sum(wrote) == 1 and (tmp_path / "a.txt").read_text() == str(wrote.index(True)) * 9
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_is_one_process_s_until_that_ends_however_it_does(tmp_path):
    folder = tmp_path / "new/out"
    process = subprocess.Popen([sys.executable, "-c", HOLDS, folder], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"held\n"
    refused = pytest.raises(BadInput, match=r"out\n  found: +a run that another process is at[\s\S]*or go elsewhere")
    with refused, shared.alone(folder, "a run", "go elsewhere"):
        pytest.fail("two at once")
    process.kill()
    process.communicate()
    with shared.alone(folder, "a run", "go elsewhere"), shared.alone(tmp_path / "other", "a run", "go elsewhere"):
        assert os.listdir(folder) == []
