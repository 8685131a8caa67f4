"""`python -m helpers llm`: the way of a language model from a policy to the command that builds its engine."""

import json
import shlex

import numpy as np
import pytest
import torch

from helpers import __main__ as cli
from helpers.files import ROOT
from helpers.llm import folder
from tests.helpers.layers.test_llama import TINY, tiny
from tests.helpers.llm.test_merge import TABLE


@pytest.fixture
def base(tmp_path):
    return folder.save(tmp_path / "base", tiny().state_dict(), TABLE)


def llm(*words):
    return cli.main(["llm", *map(str, words)])


def test_from_a_policy_to_the_command(base, tmp_path, capsys):
    state = {f"language_model.{name}": tensor for name, tensor in tiny(seed=5).state_dict().items()}
    torch.save(state, tmp_path / "policy.pth")
    plain, converted, engine = (tmp_path / name for name in ("plain", "converted", "engine"))
    policy = f"--checkpoint={tmp_path / 'policy.pth'}"
    assert llm("save", base, policy, f"--out_dir={plain}", "--shard=1000000", "--test-load") == 0
    assert "1,230,080 parameters" in capsys.readouterr().out and len(list(plain.glob("*.safetensors"))) > 3
    np.savez(tmp_path / "ids.npz", ids=np.random.default_rng(0).integers(0, TINY.vocab_size, (2, 8)))
    fp8 = ("--format=fp8", f"--calibration={tmp_path / 'ids.npz'}", "--dtype=bfloat16", "--tp=2")
    assert llm("convert", plain, f"--out_dir={converted}", *fp8) == 0
    assert llm("build", "openvla_fp8", f"--checkpoint_dir={converted}", f"--output_dir={engine}") == 0
    said = capsys.readouterr().out
    assert "--use_fp8_context_fmha enable" in said and "--workers 2" in said and "not installed" in said
    assert not engine.exists()


def test_the_commands_of_the_page_run_as_they_stand(tmp_path, capsys, monkeypatch):
    """All but the proof, which takes longer and has a test of its own."""
    text = (ROOT / "docs/commands.md").read_text().partition("\n### llm\n")[2].partition("\n<!-- ")[0]
    lines = text.replace("\\\n", "").replace(" build/", f" {tmp_path}/").splitlines()
    commands = [shlex.split(line, comments=True)[3:] for line in lines if line.startswith("    python -m helpers")]
    assert len(commands) == 10
    monkeypatch.chdir(ROOT)
    said = {}
    for words in commands:
        if words[1] != "prove":
            assert (cli.main(words) == 0) == (words[1] != "exported"), words
            said[words[1]] = capsys.readouterr().out
    assert said["generate"].startswith("30 35 28 1 \n") and "--max_multimodal_len 2048" in said["build"]
    assert said["read"].endswith("every field is right\n")


def test_fields_are_put_right_in_a_new_folder(base, tmp_path, capsys):
    converted, new = tmp_path / "converted", tmp_path / "new"
    assert llm("convert", base, f"--out_dir={converted}") == 0
    table = json.loads((converted / "config.json").read_text())
    (converted / "config.json").write_text(json.dumps(table | {"architecture": "LlavaLlamaForCausalLM"}))
    assert llm("read", converted, f"--base={base}", f"--out_dir={new}") == 0
    said = capsys.readouterr().out
    assert 'architecture: "LlavaLlamaForCausalLM" should be "LlamaForCausalLM"' in said and "every field" not in said
    assert json.loads((new / "config.json").read_text()) == table
    assert (new / "rank0.safetensors").read_bytes() == (converted / "rank0.safetensors").read_bytes()


def test_the_proof_is_a_table(base, tmp_path, capsys, monkeypatch):
    from helpers.llm import tensorrt_llm

    prove = tensorrt_llm.prove
    monkeypatch.setattr(tensorrt_llm, "prove", lambda *given: prove(*given, formats=["w8a16"], tps=[1]))
    assert llm("prove", base, f"--out_dir={tmp_path / 'proof'}") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:5] for line in lines[1:]] == [["w8a16", "1", sm, "0.0e+00", "1.000"] for sm in ("80", "90")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["save", "{base}", "--out_dir={base}"], "also an input"),
        (["convert", "{base}", "--out_dir={base}"], "also an input"),
        (["read", "{base}"], "no architecture"),
        (["build", "omnidrive", "--checkpoint_dir={base}", "--output_dir={base}/e"], "architecture None"),
        (["build", "omnidrive", "--checkpoint_dir=absent", "--output_dir=e", "--run"], "no such file"),
        (["convert", "{base}", "--out_dir={base}2", "--format=awq", "--calibration={base}/ids.npz"], "from 0 to 95"),
        (["convert", "{base}", "--out_dir={base}2", "--format=awq", "--calibration={base}/none.npz"], "no arrays"),
        (["export", "{base}", "--out={base}2.onnx", "--capacity=3000"], "1 to 2048 tokens"),
        (["export", "{base}", "--out={base}/model.safetensors"], "a file of the model that is read"),
        (["export", "{base}", "--out={base}2.onnx", "--runtime=tensorrt", "--version=eight"], "such as 10.15"),
        (["join", "{base}", "--checkpoint={base}/none.npz", "--out={base}/model.safetensors"], "a file of the model"),
        (["export", "{base}", "--out={base}2.onnx", "--runtime=tensorrt"], "runtime tensorrt"),
        (["generate", "{base}", "--ids", "96"], "from 0 to 95"),
        (["generate", "{base}", "--ids", "1", "--stop", "96"], "from 0 to 95"),
        (["generate", "{base}", "--ids", "1", "--embeddings={base}"], "leave it out"),
        (["generate", "{base}/config.json", "--ids", "1"], "config.json"),
    ],
)
def test_bad_input_is_named_and_nothing_written(base, capsys, words, said):
    np.savez(base / "ids.npz", ids=np.full((1, 4), 96))
    np.savez(base / "none.npz")
    before = sorted(base.rglob("*"))
    assert llm(*[word.format(base=base) for word in words]) == 2
    assert said in capsys.readouterr().err and sorted(base.rglob("*")) == before
    assert [path.name for path in base.parent.iterdir()] == ["base"]


def test_a_graph_goes_on_as_the_folder_it_was_exported_from(base, tmp_path, capsys):
    out = tmp_path / "llama.onnx"
    assert llm("export", base, f"--out={out}", "--inputs=table", "--capacity=32") == 0
    assert capsys.readouterr().out == f"flavor scatter\n{out}\n"
    table = np.random.default_rng(0).standard_normal((2, TINY.hidden_size)).astype(np.float32)
    np.savez(tmp_path / "table.npz", table=table)
    said = []
    for model in (base, out):
        words = ("--ids", 1, 96, 97, 5, "--tokens=6", "--temperature=0.8", "--top-k=9", "--seed=3")
        assert llm("generate", model, *words, f"--table={tmp_path / 'table.npz'}") == 0
        said.append(capsys.readouterr().out.splitlines())
    assert said[0][0] == said[1][0] and len(said[0][0].split()) == 6
    assert said[0][1].startswith("first token after ") and said[0][1].endswith(" ms a token")


def test_a_graph_for_another_runtime_and_format(base, tmp_path, capsys):
    words = ("--runtime=tensorrt", "--version=8.6.0", "--dtype=float16", "--format=w8a16")
    assert llm("export", base, f"--out={tmp_path / 'old.onnx'}", *words) == 0
    assert capsys.readouterr().out.startswith("flavor fixed\n")
    assert llm("generate", tmp_path / "old.onnx", "--ids", 1, 2, "--tokens=1") == 0
    assert "ms a token" not in capsys.readouterr().out
