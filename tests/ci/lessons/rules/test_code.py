"""What the code of a lesson may not do."""

import pytest

from ci.lessons.rules import code
from tests.ci.lessons.courses import breaches_of, replaced


@pytest.mark.parametrize(
    ("source", "breach"),
    [
        ("environment.begin(TIER)\nx = 1", "does not show what environment.begin returns"),
        ("x = 1  # fmt: skip", "'# fmt: skip'"),
        ("# fmt: off\nx = 1", "'# fmt: off'"),
        ("f = lambda: 1  # noqa: E731", "'# noqa'"),
        ("%pip install torch", "'%pip install torch' (no magic"),
        ("  !pip install torch", "'!pip install torch' (no magic"),
        ("%%bash\nconda install torch", "'%%bash' (no magic"),
        ("x = !ls", "is no Python"),
        ("get_ipython().run_line_magic('pip', 'install torch')", "uses get_ipython"),
        ("import pip", "imports pip (the lock installs packages)"),
        ("import runpy\nrunpy.run_module('pip')", "imports pip (the lock"),
        ("subprocess.run([sys.executable, '-m', 'pip', 'install', 'torch'])", "runs pip"),
        ("command = [sys.executable, '-m', 'pip', *words]", "runs pip"),
        ("command = ('conda', 'install', 'torch')", "runs conda"),
        ("run('-m', 'pip', 'check')", "runs pip"),
        ("run(['uv', 'pip', 'install', 'torch'])", "runs uv"),
        ("os.system('pip install torch')", "runs 'pip install'"),
        ("os.system(f'{sys.executable} -m pip install {name}')", "runs '-m pip'"),
        ("command = f'{sys.executable} -m pip install torch'", "runs '-m pip'"),
        ("subprocess.run('cd x && conda install torch', shell=True)", "runs 'conda install'"),
        ("os.system('curl localhost')", "runs 'curl'"),
        ("subprocess.run(['git', 'clone', 'there'])", "runs 'git clone'"),
        ("import requests", "imports requests (no lesson asks the network)"),
        ("import urllib.request as r", "imports urllib.request"),
        ("from urllib import request", "imports urllib.request"),
        ("from urllib.request import urlopen", "imports urllib.request.urlopen"),
        ("import urllib\nurllib.request.urlopen(x)", "uses urllib.request"),
        ("from importlib import import_module\nimport_module('httpx')", "imports httpx"),
        ("torch.hub.load('a', 'b')", "uses torch.hub"),
        ("pandas.read_csv('https://example.org/a.csv')", "has an outside address in 'https://example.org/a.csv'"),
        ("URL = f'http://{host}/a'", "has an outside address"),
        ("HTML('<img src=\"https://example.org/a.png\">')", "has an outside address"),
        ("HTML('<script src=//example.org/a.js></script>')", "has an outside address"),
        ("def f():\n    import not_in_the_lock", "imports not_in_the_lock, which the lock (cpu.txt)"),
        ("try:\n    import seaborn.x\nexcept ImportError:\n    pass", "imports seaborn, which the lock"),
        ("import tests", "imports tests, which the lock"),
    ],
)
def test_what_a_cell_may_not_do_is_told(source, breach):
    assert breach in "\n".join(code.cell_breaches(source))


@pytest.mark.parametrize(
    "source",
    [
        "import json, os.path\nimport numpy as np\nfrom PIL import Image\nimport yaml, cv2, onnx.inliner",
        "from helpers import display\nfrom data_scripts import make_minidrive\nfrom IPython.display import HTML",
        "import urllib.parse, http",
        "await display.shown()",
        "print('pip install', locked)",
        "assert cure == 'pip install torch', 'what pip understands'",
        '"""What `python -m pip uninstall` does, see https://example.org."""',
        "# see https://example.org",
        "Markdown('[the paper](https://example.org) and <a href=\"https://example.org\">more</a>')",
        "x = serve('http://localhost:8000', 'http://127.0.0.1:1')",
        "tools = ['pip', 'conda']",
        "SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>')",
        "subprocess.run(['nvidia-smi', '--list'])\nsubprocess.run(['git', 'apply', 'x.patch'])",
        "x = 7\nx %= 3\ny = (x\n     % 3)",
    ],
)
def test_what_a_cell_may_do_is_not(source):
    assert list(code.cell_breaches(source)) == []


@pytest.mark.parametrize(
    "text",
    ["![a picture](https://example.org/a.png)", '<iframe src="https://example.org">', "<img src='//example.org/a'>"],
)
def test_markdown_shows_nothing_from_outside(text):
    assert list(code.markdown_breaches(text)) == ["shows something from another site (no page asks the network)"]


def test_markdown_may_link_and_show_its_own():
    text = "[a paper](https://example.org) ![a picture](pictures/a.png) `<img src='https://example.org'>`"
    assert list(code.markdown_breaches(text)) == []


def test_breaches_name_their_cell(tmp_path):
    (found,) = breaches_of(tmp_path, replaced(2, "import math", "import requests_oauthlib"))
    assert found.startswith("cell 3: imports requests_oauthlib, ")


def test_names_of_the_lock_are_normal(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("# a lock\nruamel.yaml==1 --hash=sha256:1\nPy_Yaml[a]==2\n")
    assert code.locked(lock) == {"ruamel-yaml", "py-yaml"}
