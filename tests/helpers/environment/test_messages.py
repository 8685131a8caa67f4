import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import onnx
import pytest

from helpers.display import table as html
from helpers.environment.messages import TABLE, Message, explain, rows, search, table
from helpers.errors import BadInput
from helpers.files import ROOT

ENTRIES = table()
IDS = [entry.id for entry in ENTRIES]
REAL = tomllib.loads(Path(__file__).with_name("real_messages.toml").read_text(encoding="utf-8"))["message"]
COPIES = {
    "as posted": lambda text: text,
    "Windows": lambda text: text.replace("\n", "\r\n"),
    "colors": lambda text: "\n".join(f"\x1b[1;31m{line}\x1b[0m" for line in text.split("\n")),
    "prefixes": lambda text: "\n".join(f"2024-05-01T12:00:00.123Z worker[17]: {line}" for line in text.split("\n")),
    "in a long log": lambda text: "step 1\n" * 500 + text + "\nstep 2" * 500,
}
LONG = "x" * 200_000
ADVERSARIES = (
    LONG,
    "undefined symbol: " * 5_000,
    "flash_attn flash-attn " * 4_000,
    "modelopt/torch/export inference_tensor_parallel " * 2_000,
    "version `GLIBCXX_" + "3." * 50_000,
    "_Z8nvinfer1" * 10_000,
    "libnvinfer_" * 10_000,
    "should be stored in " * 5_000,
    " " * 100_000 + "\n" * 100_000,
)
# What the tools print besides the sample of the table: (id of the first explanation, text).
MORE = [
    ("libnvinfer-missing", "ImportError: libnvinfer_plugin.so.10: cannot open shared object file: No such file"),
    ("libnvinfer-missing", "[TRT] [E] Unable to load library: libnvinfer_builder_resource.so.8.6.1: file not found"),
    ("plugin-not-found", "In node 7: UNSUPPORTED_NODE: Assertion failed: creator && \"Plugin not found, are the plugin "
     "name, version, and namespace correct?\""),
    ("plugin-not-found", "NonZero plugin creator version 1 was not found in plugin registry"),
    ("plugin-api-removed", "AttributeError: 'IPluginRegistry' object has no attribute 'plugin_creator_list'"),
    ("engine-other-version", "6: The engine plan file is not compatible with this version of TensorRT, expecting "
     "library version 8.0.0 got 8.0.1, please rebuild."),
    ("engine-other-gpu", "WARNING: Using an engine plan file across different models of devices is not recommended"),
    ("precision-flags-removed", "[E] Unknown option: --fp16"),
    ("binding-api-removed", "AttributeError: 'tensorrt.tensorrt.Builder' object has no attribute 'build_engine'"),
    ("driver-too-old", "onnxruntime ... CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"),
    ("cudnn-missing", "Could not load library libcudnn_ops_infer.so.8. Error: "
     "libcudnn_ops_infer.so.8: cannot open shared object file: No such file or directory"),
    ("torch-symbol", "flash_attn_2_cuda.so: undefined symbol: _ZN3c104cuda9SetDeviceEi"),
    ("tensorrt-symbol", "libplugins.so: undefined symbol: _ZTIN8nvinfer119IPluginV2DynamicExtE"),
    ("glibcxx", "ImportError: libstdc++.so.6: version ‘CXXABI_1.3.13’ not found"),
    ("wrong-architecture", "bash: ./trtexec: cannot execute binary file: Exec format error"),
    ("numpy-size-changed", "ValueError: numpy.ndarray size changed, may indicate binary incompatibility. "
     "Expected 88 from C header, got 80 from PyObject"),
    ("git-lfs-pointer", "_pickle.UnpicklingError: invalid load key, 'v'."),
    ("mpi-missing", "import tensorrt_llm\nRuntimeError: cannot load MPI library"),
    ("trtllm-build-gone", "bash: trtllm-build: command not found"),
    ("trtllm-unsupported-architecture", "trtllm-build ...\nKeyError: 'Qwen2ForCausalLM'"),
    ("nuscenes-numpy-pin", "nuscenes-devkit 1.2.0 has requirement numpy<2.0.0,>=1.22.0, but you have numpy 2.3.5."),
    ("ort-half-removed", "AttributeError: module 'onnxruntime' has no attribute 'SessionOptions'"),
    ("attention-one-output", "The KV cache tensor must have a static sequence length dimension."),
    ("ort-provider-load", "Failed to load library /opt/ort/libonnxruntime_providers_tensorrt.so with error: "
     "libnvinfer.so.10: cannot open shared object file"),
    ("tensorrt-rtx-half-installed", "No module named 'tensorrt_rtx_cu13_libs'"),
    ("tensorrt-no-wheel-for-python", "ERROR: Could not find a version that satisfies the requirement tensorrt==8.6.1 "
     "(from versions: none)"),
    ("ptx-too-new", "[cudaErrorUnsupportedPtxVersion] at kernels.cu:406"),
    ("ptx-too-new", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"),
    ("numpy-alias-removed", "AttributeError: module 'numpy' has no attribute 'object'."),
    ("checkpoint-of-a-gpu", "RuntimeError: Attempting to deserialize object on CUDA device 1 but "
     "torch.cuda.device_count() is 1."),
]  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES, ids=IDS)
def test_every_sample_is_explained_by_its_own_entry_first(entry):
    found = explain(entry.sample)
    assert found[0].id == entry.id
    assert found[0].matched and found[0].matched in entry.sample


@pytest.mark.parametrize(("name", "text"), MORE, ids=[f"{name}-{k}" for k, (name, _) in enumerate(MORE)])
def test_other_forms_of_a_message(name, text):
    assert explain(text)[0].id == name


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("real", REAL, ids=[f"{k}-{'-'.join(real['answer'])}" for k, real in enumerate(REAL)])
def test_real_messages(real, copy):
    assert [found.id for found in explain(COPIES[copy](real["text"]))] == real["answer"]


def test_the_real_messages_are_many_and_a_third_are_near_misses():
    assert len(REAL) >= 60 and len({real["text"] for real in REAL}) == len(REAL)
    assert sum("why" in real for real in REAL) >= 25
    assert all(re.fullmatch(r"https://\S+", real["source"]) for real in REAL)
    assert all("why" in real for real in REAL if not real["answer"])


def test_a_wheel_that_is_only_named_is_not_the_one_that_fails():
    log = """
Collecting flash_attn (from -r requirements.txt (line 20))
Collecting xformers>=0.0.20 (from -r requirements.txt (line 21))
  Getting requirements to build wheel did not run successfully.
      ModuleNotFoundError: No module named 'torch'"""
    assert explain(log) == []
    assert [found.id for found in explain(log.replace("Collecting xformers", "Requirement xformers"))] == [
        "flash-attn-build"
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("trtexec: Kommando nicht gefunden.", ["trtexec-missing"]),
        ("bash: trtexec : commande introuvable", ["trtexec-missing"]),
        ("bash: trtexec：未找到命令", ["trtexec-missing"]),
        ("libnvinfer.so.10: Kann die Shared-Object-Datei nicht öffnen: Datei ...", ["libnvinfer-missing"]),
        ("libcudart.so.12: невозможно открыть разделяемый объектный файл", ["cuda-12-library"]),
        ("bash: ./trtexec: не удаётся запустить", []),
    ],
)
def test_the_language_of_the_system_does_not_matter(text, names):
    found = explain(text)
    assert [message.id for message in found] == names and all(message.matched == text for message in found)


def test_operators_that_a_later_opset_brings_are_onnx_operators():
    (entry,) = (entry for entry in ENTRIES if entry.id == "onnx-no-op")
    known = {s.name for s in onnx.defs.get_all_schemas_with_history() if s.domain == ""}
    brought = {s.name for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and s.since_version == 1}
    matched = {
        name for name in known if re.search(entry.pattern, f"No Op registered for {name} with domain_version of 9")
    }
    assert len(matched) >= 20 and not matched & brought
    assert not re.search(entry.pattern, "No Op registered for RotateTRT with domain_version of 13")


def test_the_wall_is_long_enough_and_complete():
    assert len(ENTRIES) >= 45 and len(set(IDS)) == len(IDS)
    for entry in ENTRIES:
        assert len(entry.cause) > 40 and entry.cure and all(entry.cure) and entry.versions and entry.topic, entry.id
        assert re.fullmatch(r"https://\S+", entry.source), entry.id
        assert any(step.startswith("$ ") or " " in step for step in entry.cure), entry.id
    assert sum(any("$ " in step for step in entry.cure) for entry in ENTRIES) >= 45


def test_what_cures_tensorrt_rtx_is_not_tensorrt():
    (found,) = explain("ModuleNotFoundError: No module named 'tensorrt_rtx_bindings'")
    steps = [step for step in found.cure if "pip install" in step]
    assert steps and all("tensorrt-rtx" in step and "tensorrt-cu1" not in step for step in steps)


def test_plugins_are_built_by_their_makefile():
    makefile = (ROOT / "plugins/Makefile").read_text()
    steps = [step for entry in ENTRIES for step in entry.cure]
    assert not any("cmake -D" in step for step in steps)
    builds = [step for step in steps if "make -C plugins" in step]
    names = {name for step in builds for name in re.findall(r"([A-Z_]+)=", step)}
    assert len(builds) >= 4 and names == {"TENSORRT_INCLUDE", "ARCH"}
    assert all(re.search(rf"^{name} \??=", makefile, re.MULTILINE) for name in names)


def test_ordinary_text_is_not_explained():
    for text in ("", "hello", "All checks passed!", "epoch 3: loss 0.12, CUDA 12.4, TensorRT 10.3, torch 2.13"):
        assert explain(text) == []
    prose = [ROOT / "README.md", ROOT / "Makefile", ROOT / "helpers/engine/base.py", ROOT / "requirements/cpu.txt"]
    assert [found.id for path in prose for found in explain(path.read_text())] == []


def test_a_log_with_several_faults_lists_them_in_order_and_the_vague_ones_last():
    log = (
        "AttributeError: 'NoneType' object has no attribute 'create_execution_context'\n"
        "[TRT] [E] Magic tag does not match\n"
        "ImportError: libfoo.so: undefined symbol: bar\n"
        "RuntimeError: CUDA out of memory\n"
    )
    names = [found.id for found in explain(log)]
    assert names == ["engine-not-an-engine", "cuda-out-of-memory", "engine-is-none", "undefined-symbol"]


def test_a_vague_message_is_left_out_where_another_explains_its_line():
    names = [found.id for found in explain("ImportError: libcudart.so.12: cannot open shared object file")]
    assert names == ["cuda-12-library"]


def test_colors_and_typographic_quotes_do_not_hide_a_message():
    text = "\x1b[31merror: ‘class nvinfer1::IPluginRegistry’ has no \x1b[1mmember named ‘getPluginCreator’\x1b[0m"
    assert explain(text)[0].id == "plugin-api-removed"


@pytest.mark.parametrize("text", ADVERSARIES, ids=range(len(ADVERSARIES)))
def test_long_texts_cost_little(text):
    started = time.process_time()  # what a busy machine adds is not its cost
    explain(text)
    assert time.process_time() - started < 2


def test_patterns_have_no_unbounded_repetition():
    for entry in ENTRIES:
        bare = re.sub(r"\\.|\[[^\]]{0,40}\]", "a", entry.pattern)
        assert not re.search(r"[*+]|\{\d*,\}", bare), entry.id


def test_search_wants_every_word_in_any_column():
    found = search("tensorrt-llm ABI torch")
    assert any("tensorrt_llm" in row["message"] for row in found)
    assert all("torch" in " ".join(row.values()).lower() for row in found)
    assert search("no such words anywhere in it") == []
    assert len(search("")) == len(rows()) == len(ENTRIES)


def test_the_wall_is_a_table():
    page = html(rows()).data
    assert "getPluginCreator could not find plugin" in page and page.count("<tr>") == len(ENTRIES) + 1


def test_an_explanation_reads_as_text():
    text = str(explain("import cv2\nImportError: libGL.so.1: cannot open shared object file")[0])
    for part in ("libGL.so.1", "cause:", "pip uninstall -y opencv-python", "https://github.com/opencv"):
        assert part in text


def test_what_is_not_text_is_refused():
    with pytest.raises(BadInput, match=r"ImportError\n.*as a str\n.*pass str"):
        explain(ImportError("x"))


def test_nothing_is_read_before_it_is_asked_for():
    code = "from helpers.environment.messages import table; print(table.cache_info().currsize)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "0"


def test_the_table_lies_beside_the_code():
    assert Path(sys.modules[Message.__module__].__file__).with_name("messages.toml") == TABLE and TABLE.is_file()
