"""The command of trtllm-build: the published ones, explained, checked against the recorded parser, and run."""

import importlib.metadata
import json
import shlex

import pytest

from helpers.errors import BadInput
from helpers.llm import build

PUBLISHED = {  # as their READMEs have them
    "omnidrive": "--checkpoint_dir c --output_dir e --max_prompt_embedding_table_size 1024 --max_batch_size 1 "
    "--max_multimodal_len 2048 --gemm_plugin float16",
    "openvla": "--checkpoint_dir c --output_dir e --gemm_plugin auto --max_input_len 512 --max_batch_size 1 "
    "--max_num_tokens 1024 --max_prompt_embedding_table_size 256",
    "openvla_fp8": "--checkpoint_dir c --output_dir e --gemm_plugin fp8 --max_input_len 512 --max_batch_size 1 "
    "--max_num_tokens 1024 --use_fp8_context_fmha enable --max_prompt_embedding_table_size 256",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_composed_command_is_the_published_one(name):
    options = build.compose(build.DESCRIPTIONS[name], "c", "e")
    pairs = shlex.split(PUBLISHED[name])
    assert sorted((f"--{o.name}", o.value) for o in options) == sorted(zip(pairs[::2], pairs[1::2], strict=True))
    assert build.check(build.command(options)[1:]) == build.check(pairs)
    assert all(option.why for option in options) and build.command(options)[0] == "trtllm-build"


def test_of_two_names_of_one_option_the_last_one_counts():
    assert build.check(shlex.split(PUBLISHED["omnidrive"]))["max_prompt_embedding_table_size"] == "2048"


def test_two_gpus_get_two_workers():
    assert ("workers", "2") in [option[:2] for option in build.compose(build.DESCRIPTIONS["openvla"], "c", "e", 2)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--use_fused_mlpx enable", "--use_fused_mlpx"),
        ("--enable_xqa enable", "--enable_xqa"),
        ("engine", "engine"),
        ("--max_batch_size", "None"),
        ("--max_batch_size one", "whole number"),
        ("--gemm_plugin int4", "'int4'"),
        ("--use_fp8_context_fmha true", "'true'"),
        ("--output_dir --strip_plan", "None"),
        ("--strip_plan yes", "yes"),
    ],
)
def test_what_the_parser_does_not_take_is_refused(words, said):
    with pytest.raises(BadInput, match=said):
        build.check(words.split())
    assert build.check(["--strip_plan", "--max_batch_size=1"]) == {"strip_plan": "", "max_batch_size": "1"}


def test_a_table_that_is_too_small_is_refused():
    with pytest.raises(BadInput, match="at least 513"):
        build.compose(build.Description(513, table=256), "c", "e")


@pytest.fixture
def checkpoint(tmp_path):
    def make(**fields):
        table = {"architecture": "LlamaForCausalLM", "max_position_embeddings": 2048, "mapping": {"tp_size": 2}}
        (tmp_path / "config.json").write_text(json.dumps(table | fields))
        return tmp_path

    return make


def test_a_checkpoint_that_does_not_fit_the_build_is_refused(checkpoint):
    fp8 = build.DESCRIPTIONS["openvla_fp8"]
    quantized = {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}
    assert build.check_checkpoint(fp8, checkpoint(quantization=quantized)) == 2
    for fields, said in (
        ({"architecture": "LlavaLlamaForCausalLM"}, r"LlavaLlamaForCausalLM(.|\n)*llm read --out_dir"),
        ({"architecture": None, "architectures": ["LlamaForCausalLM"]}, r"architecture None(.|\n)*llm convert"),
        ({"quantization": {"quant_algo": "W8A16"}}, "quant_algo 'W8A16'"),
        ({"quantization": quantized | {"kv_cache_quant_algo": None}}, "kv_cache_quant_algo None"),
        ({"quantization": quantized, "max_position_embeddings": 256}, "256 positions"),
        ({"quantization": quantized, "max_position_embeddings": "4096"}, "'4096' positions"),
        ({"quantization": quantized, "mapping": {"tp_size": "2"}}, "tp_size '2'"),
        ({"quantization": quantized, "mapping": {"tp_size": 10**9}}, "1 to 64 GPUs"),
        ({"quantization": [1]}, "no table"),
    ):
        with pytest.raises(BadInput, match=said):
            build.check_checkpoint(fp8, checkpoint(**fields))


@pytest.mark.parametrize(
    ("version", "possible", "said"),
    [(None, False, "not installed"), ("1.2.1", True, "1.2.1 is installed"), ("1.3.0rc21", False, "no such step"),
     ("0.21.0", True, "0.21.0"), ("2.0", False, "no such step")],
)  # fmt: skip
def test_it_runs_up_to_the_last_release_that_has_it(tmp_path, monkeypatch, version, possible, said):
    def found(name):
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", found)
    program = tmp_path / "bin" / "trtllm-build"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/said"\nexit 3\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    assert build.installed()[0] == possible and said in build.installed()[1]
    options = build.compose(build.DESCRIPTIONS["openvla"], tmp_path / "c", tmp_path / "e")
    if possible:
        assert build.run(options) == 3
        assert (program.parent / "said").read_text().split() == build.command(options)[1:]
    else:
        with pytest.raises(BadInput, match=said):
            build.run(options)
        assert not (program.parent / "said").exists()


def test_folders_that_are_none_or_the_same_are_refused_before_a_command_is_shown(tmp_path):
    (file := tmp_path / "file").touch()
    for checkpoint, engine, said in ((file, tmp_path / "e", "a file"), (tmp_path, file, "a file"),
                                     (tmp_path, tmp_path, "also an input")):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            build.compose(build.DESCRIPTIONS["openvla"], checkpoint, engine)
