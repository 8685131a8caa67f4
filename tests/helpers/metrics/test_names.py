"""The measures by their names."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import metrics
from helpers.files import ROOT


def test_a_measure_is_an_attribute_and_no_other_is_loaded():
    code = (
        "import sys; from helpers import metrics; found = metrics.detection.score;"
        "assert 'helpers.metrics.occupancy' not in sys.modules and 'torch' not in sys.modules; print(found.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("score\n", 0), done.stderr


def test_all_measures_are_named_and_another_name_is_told():
    folder = Path(metrics.__file__).parent
    assert set(metrics.MEASURES) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    with pytest.raises(AttributeError, match="its measures are actions, detection"):
        metrics.detections  # noqa: B018
