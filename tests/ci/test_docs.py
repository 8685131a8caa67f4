"""README and docs: links lead somewhere, commands exist, and the lessons are all named."""

import importlib.util
import re
import textwrap
import tomllib

import onnx
import onnx.parser
import pytest

from helpers import models
from helpers.calibration import samples
from helpers.files import ROOT

PAGES = ["README.md", "checkpoints/README.md", "plugins/README.md", "ci/results/template.md"]
PAGES = [name for name in PAGES if (ROOT / name).is_file()] + [f"docs/{path.name}" for path in ROOT.glob("docs/*.md")]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)[^)]*\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def text_of(name):
    return (ROOT / name).read_text()


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    folder = (ROOT / name).parent if "template" not in name else ROOT / "docs"
    text = CODE.sub("", text_of(name))
    missing = [link for link in LINK.findall(text) if not (folder / link).exists()]
    assert not missing


@pytest.mark.parametrize("name", PAGES)
def test_modules_and_targets_that_are_named_exist(name):
    text = text_of(name)
    modules = set(re.findall(r"python(?:3[.\d]*)? -m ((?:benchmarks|ci|data_scripts|helpers|tests)[\w.]*\w)", text))
    assert not [module for module in modules if importlib.util.find_spec(module) is None]
    targets = set(re.findall(r"(?:^    |`)make ([a-z]+)", text, re.MULTILINE))
    assert not targets - TARGETS


@pytest.mark.parametrize(
    ("system", "page", "section", "exported", "written"),
    [
        ("bevformer", "drive", "## The graph and the engine", "bevformer", "bevformer_target"),
        ("fbocc", "fbocc", "trtexec builds it too", "fbocc_mini", "fbocc_mini_8.6"),
    ],
)
def test_the_file_for_trtexec_keeps_in_fp32_what_must(
    system, page, section, exported, written, tmp_path, monkeypatch, capsys
):
    text = text_of(f"docs/{page}.md").split(section)[1]
    program = textwrap.dedent(re.search(r"<<'END'\n(.*?)\n    END", text, re.DOTALL)[1])
    kept = [pattern.replace("*", "Neg") for pattern in models.config(system).fp32]
    chain = " ".join(f"t{k + 1} = Neg(t{k})" for k in range(len(kept)))
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": 18]>
        small (float[2] x) => (float[2] t{len(kept)}) {{ t0 = Relu(x) {chain} }}""")
    for node, name in zip(model.graph.node, ("/img_backbone/Relu", *kept), strict=True):
        node.name = name
    onnx.save(model, tmp_path / f"{exported}.onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(samples, "flags", lambda folder, config: [])
    exec(program, {})
    made = onnx.load(f"{written}.onnx")
    assert [node.name for node in made.graph.node] == ["/img_backbone/Relu", *(f"{name}_FORCEFP32" for name in kept)]
    assert made.opset_import[0].version == 17
    assert textwrap.indent(capsys.readouterr().out.strip(), "    ") in text


def test_readme_takes_two_minutes():
    assert len(text_of("README.md").splitlines()) <= 90


def test_readme_names_every_lesson():
    named = re.findall(r"^\| \[[\w/]+\]\((notebooks/[\w/]+\.ipynb)\)", text_of("README.md"), re.MULTILINE)
    there = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("notebooks/**/[!.]*.ipynb")
                   if ".ipynb_checkpoints" not in path.parts)  # fmt: skip
    assert sorted(named) == there


def test_pages_agree_with_the_table_of_tiers():
    tiers = tomllib.loads(text_of("requirements/tiers.toml"))
    rows = re.findall(r"^\| `(\w+)` \| .* \| ([\d.]+) \| (.*) \|$", text_of("docs/environments.md"), re.MULTILINE)
    assert [name for name, _, _ in rows] == list(tiers)
    for name, python, needs in rows:
        tier = tiers[name]
        most = f" to {tier['sm_most']}" if "sm_most" in tier else ""
        assert python == tier["python"]
        assert needs == (f"{tier['driver']}, {tier['sm']}{most}" if "driver" in tier else "none")
