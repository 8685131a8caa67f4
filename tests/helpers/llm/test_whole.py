"""A network and its language model in one file, and both out of it again, bit by bit."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers import __main__ as cli
from helpers import models
from helpers.errors import BadInput
from helpers.llm import build, folder, merge, tensorrt_llm
from helpers.llm.whole import save_whole
from tests.helpers.layers.test_llama import ids, tiny
from tests.helpers.llm.test_merge import TABLE, same
from tests.helpers.systems.omnidrive.tiny import TINY, network


@pytest.fixture
def apart(tmp_path):
    """(file of OmniDrive's vision part in half precision, folder of a language model)."""
    state = {name: tensor.half() for name, tensor in network().state_dict().items()}
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, tmp_path / "vision.safetensors")
    return tmp_path / "vision.safetensors", folder.save(tmp_path / "llm", tiny(seed=3).state_dict(), TABLE)


def test_one_file_holds_both_and_gives_both_back(apart, tmp_path):
    """As the published checkpoint: the vision part by its own names, `lm_head.model.*` and `lm_head.lm_head.weight`."""
    vision, language = apart
    whole = tmp_path / "whole.safetensors"
    words = ["llm", "join", str(language), f"--checkpoint={vision}", f"--out={whole}"]
    assert cli.main(words) == 0
    stored, own = load_file(whole), load_file(vision)
    assert {name.split(".")[1] for name in stored if name.startswith("lm_head.")} == {"model", "lm_head"}
    assert same({name: tensor for name, tensor in stored.items() if not name.startswith("lm_head.")}, own)
    loaded = models.load_checkpoint(models.create("omnidrive", TINY, seed=1), whole)
    assert same(loaded.state_dict(), {name: tensor.float() for name, tensor in own.items()})
    other = folder.save(tmp_path / "base", tiny(seed=4).state_dict(), TABLE)
    out = merge.save_language_model(other, tmp_path / "out", whole, TINY.elsewhere[0])
    assert same(folder.load(out).state_dict(), tiny(seed=3).state_dict())


def test_from_one_file_to_the_build_of_both_engines(apart, tmp_path):
    """What the published steps do: out of the file, FP16 and four bits, the architecture put right, the command."""
    vision, language = apart
    whole = save_whole(vision, language, tmp_path / "whole.safetensors", "lm_head.")
    plain = folder.load(merge.save_language_model(language, tmp_path / "plain", whole))
    for form in ("fp16", "w4a16"):
        quantized = tensorrt_llm.quantize(plain, form)
        checkpoint = tensorrt_llm.write(quantized, tmp_path / form, form)
        table = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text(json.dumps(table | {"architecture": "LlavaLlamaForCausalLM"}))
        wanted = build.DESCRIPTIONS["omnidrive"]
        with pytest.raises(BadInput, match="LlavaLlamaForCausalLM"):
            build.check_checkpoint(wanted, checkpoint)
        assert cli.main(["llm", "read", str(checkpoint), f"--out_dir={tmp_path / (form + '_right')}"]) == 0
        assert build.check_checkpoint(wanted, tmp_path / f"{form}_right") == 1
        composed = build.compose(wanted, tmp_path / f"{form}_right", tmp_path / "engine")
        words = " ".join(build.command(composed))
        assert "--max_prompt_embedding_table_size 1024" in words and words.endswith("--max_multimodal_len 2048")
        assert "--max_batch_size 1" in words and "--gemm_plugin float16" in words
        with torch.no_grad():
            read = tensorrt_llm.read(tmp_path / f"{form}_right")
            assert torch.allclose(read(ids()), quantized(ids()), atol=1e-5)


def test_what_does_not_fit_is_refused_and_nothing_written(apart, tmp_path):
    vision, language = apart
    whole = save_whole(vision, language, tmp_path / "whole.safetensors", "lm_head.")
    (tmp_path / "other").mkdir()
    save_file({"model.embed_tokens.weight": torch.zeros(2, 2)}, tmp_path / "other/llm.safetensors")
    broken = folder.save(tmp_path / "broken", {k: v for k, v in tiny().state_dict().items() if "norm" not in k}, TABLE)
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "new.safetensors"
    for given, found in (
        ((whole, language, out, "lm_head."), "such as lm_head"),
        ((tmp_path / "other/llm.safetensors", language, out, "lm_head."), "model.embed_tokens.weight"),
        ((vision, broken, out, "lm_head."), "norm"),
        ((vision, language, out, "lm_head"), "ends with a dot"),
        ((vision, language, tmp_path / "new.pth", "lm_head."), "'.pth'"),
        ((vision, language, vision, "lm_head."), "also an input"),
    ):
        with pytest.raises(BadInput, match=found):
            save_whole(*given)
    assert sorted(tmp_path.rglob("*")) == before
