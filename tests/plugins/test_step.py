"""A decode step of the kernels alone: its values, the bytes of its floor, and what the command writes of it."""

import pytest
import torch
import torch.nn.functional as F

from helpers import records
from helpers.errors import BadInput
from helpers.ops import add_rms_norm, cached_attention, library, matvec, matvec_int4
from plugins.check import __main__ as command
from plugins.check import record, step

STEP = step.Step
TINY = step.Shape(layers=2, hidden=256, heads=8, kv_heads=2, dims=32, ffn=512, vocab=64, slots=48, length=40)


@pytest.fixture
def tiny(host_library):
    torch.manual_seed(0)
    return lambda four: STEP(TINY, four, library.load(host_library), "cpu")


@pytest.mark.parametrize("four", [False, True])
def test_a_step_is_the_whole_network_and_gives_the_same_twice(tiny, four):
    one = tiny(four)
    caches = [tuple(cache.clone() for cache in pair) for pair in one.caches]
    logits = one.run().clone()
    assert torch.equal(one.run(), logits)

    def product(name, layer, x):
        weight = one.weights[name][layer]
        return (matvec_int4 if len(weight) == 2 else matvec).reference(x, *weight, name == "gate_up")

    more, total = one.x, one.residual
    for layer, cache in enumerate(caches):
        x, total = add_rms_norm.reference(more, total, one.norms[2 * layer], step.EPSILON)
        qkv = product("qkv", layer, x)[None]
        attended, *_ = cached_attention.reference(qkv, one.lengths, one.rotation, *cache)
        more = product("o", layer, attended[0])
        x, total = add_rms_norm.reference(more, total, one.norms[2 * layer + 1], step.EPSILON)
        more = product("down", layer, product("gate_up", layer, x))
    expected = product("head", 0, add_rms_norm.reference(more, total, one.norms[-1], step.EPSILON)[0])
    assert F.cosine_similarity(logits.float(), expected.float()).item() > 0.9999
    torch.testing.assert_close(logits, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))


def test_the_floor_counts_every_weight_and_the_filled_slots(tiny):
    rows = 8 * 32 + 2 * 2 * 32
    products, head = rows * 256 + 256 * 256 + 1024 * 256 + 256 * 512, 64 * 256
    cache = 2 * 40 * 2 * 2 * 32 * 2
    assert tiny(False).least() == (2 * (2 * products + head), cache)
    groups = 2 * rows + 2 * 256 + 2 * 1024 + 4 * 256
    assert tiny(True).least() == (2 * products // 2 + 2 * (2 * groups + head), cache)


@pytest.mark.parametrize("four", [False, True])
def test_every_division_computes_the_same(tiny, four):
    one = tiny(four)
    for name in step.PRODUCTS:
        expected = one.multiply(name, 0).clone()
        for division in step.DIVISIONS[len(one.weights[name][0]) == 2]:
            one.divided[name] = division
            one.outputs[name].fill_(float("nan"))
            torch.testing.assert_close(one.multiply(name, 0), expected, rtol=0.01, atol=0.01)


def test_times_of_a_step_become_records(tiny, host_library, tmp_path, monkeypatch, capsys):
    """Without a GPU: the clock, which would need one, says 10 microseconds for every graph."""
    ran = []
    monkeypatch.setattr(step, "captured_microseconds", lambda work, launches, rounds: ran.append(work()) or 10.0)
    monkeypatch.setattr(step, "_pytorch", lambda one: [("fp16_norm", [lambda: None] * 2)])
    monkeypatch.setattr(step, "Step", lambda shape, four, loaded: tiny(four))
    monkeypatch.setattr(step.times, "copy_gb_per_s", lambda: 4000.0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA X")
    monkeypatch.setattr(command, "check_device", lambda device: None)
    monkeypatch.setattr(record, "driver", lambda: "580.1")
    assert command.main([str(host_library), "--step", "1.1b", "--record", str(tmp_path)]) == 0
    assert "fp16_step_ms" in capsys.readouterr().out and len(ran) == 16 + 1 + 5 * 4 + 4 * 8 + 4 + 2
    kernels, beside = sorted(records.read_all(tmp_path), key=lambda one: one.name)
    assert (kernels.name, beside.name) == ("decode-step-1.1b", "decode-step-1.1b-pytorch")
    found = kernels.metrics
    assert (found["fp16_step_ms"], found["int4_qkv_us"], found["int4_head_us"]) == (0.01, 5.0, 10.0)
    assert found["int4_best"].startswith("qkv 1x1; o 1x1") and found["fp16_best_step_ms"] == 0.01
    assert {"fp16_head_across4_us", "int4_down_across4x2_us", "int4_head_2_us"} <= found.keys()
    assert found["fp16_qkv_share"] == pytest.approx(2 * 384 * 256 / 5 / 1e3 / 4000, abs=1e-4)
    assert beside.metrics == {"fp16_norm_us": 5.0} and kernels.device == "NVIDIA X, driver 580.1"
    with pytest.raises(SystemExit):
        command.main([str(host_library), "--step", "1.1b", "--device", "cpu"])
    assert "only a GPU" in capsys.readouterr().err


def test_what_pytorch_refuses_costs_no_figure_of_the_kernels(tiny, host_library, monkeypatch, capsys):
    def refuses(one):
        raise RuntimeError("_convert_weight_to_int4pack is not there")

    monkeypatch.setattr(step, "captured_microseconds", lambda work, launches, rounds: 10.0)
    monkeypatch.setattr(step, "pytorch", refuses)
    monkeypatch.setattr(step, "Step", lambda shape, four, loaded: tiny(four))
    monkeypatch.setattr(step.times, "copy_gb_per_s", lambda: 4000.0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA X")
    found = step.summary(host_library, "7b")
    assert list(found["records"]) == ["decode-step-7b"]
    step.show(found)
    assert "pytorch: not timed (_convert_weight_to_int4pack is not there)" in capsys.readouterr().out


def test_a_record_is_written_without_the_drivers_version(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert record.driver() == ""


def test_where_no_record_can_be_written_nothing_is_timed(host_library, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(step, "summary", lambda *_: pytest.fail("it was timed"))
    with pytest.raises(BadInput, match="a folder that you may write to"):
        command.main([str(host_library), "--step", "1.1b", "--record", str(tmp_path / "file")])


def test_what_pytorch_is_timed_with_is_of_the_same_sizes(tiny, monkeypatch):
    monkeypatch.setattr(torch, "_convert_weight_to_int4pack", lambda codes, tiles: codes)  # a GPU alone has it
    one = tiny(False)
    shapes = {name: calls[0]().shape[1:] for name, calls in step._pytorch(one) if name.startswith("fp16")}
    sizes = TINY.products() | {"norm": (256,)}
    assert {name: shapes[f"fp16_{name}"][0] for name in sizes} == {name: size[0] for name, size in sizes.items()}
    assert shapes["fp16_attention"] == (8, 1, 32)
