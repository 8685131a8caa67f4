"""An option that would do nothing is refused by its name: who gave it believes that it counts."""

import pytest

from helpers import __main__ as cli


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ("patch apply rotate --clone . --file x.patch --dry-run", "--dry-run"),
        ("patch list --dry-run", "--dry-run"),
        ("patch apply rotate --clone . --file x.patch --site .", "--site"),
        ("patch revert --clone . --commit abc", "--commit"),
        ("patch revert rotate --clone .", "ID"),
        ("builder uniad --config mini -i . -o x.plan --noTF32", "--noTF32"),
        (
            "builder uniad --config mini -i . -o x.plan --runtime tensorrt --computeCapability 8.6",
            "--computeCapability",
        ),
        ("evaluate bevformer --weights README.md --plugins x.so --out out", "--plugins"),
        ("run bevformer --weights README.md --plugins x.so --out out", "--plugins"),
        ("engine run --loadEngine x.engine --fp16", "--fp16"),
        ("engine run --loadEngine x.engine --optShapes x:1", "--optShapes"),
        ("engine bench --loadEngine x.engine --saveEngine y.engine", "--saveEngine"),
        ("engine bench --loadEngine x.engine --runtime tensorrt", "--runtime"),
        ("engine run --onnx x.onnx --loadInputs x.npz --seed 3", "--seed"),
        ("graph x.onnx --depth 2", "--depth"),
        ("graph x.onnx --postprocess --shapes", "--shapes"),
        ("graph x.onnx --postprocess --blocks", "--blocks"),
        ("quantize --onnx_path x.onnx --samples 5", "--samples"),
        ("explain something --search words", "TEXT"),
        ("llm convert . --out_dir out --calibration x.npz", "--calibration"),
        ("llm convert . --out_dir out --format awq --sm 86", "--sm"),
        ("llm export . --out x.onnx --calibration x.npz", "--calibration"),
        ("llm export . --out x.onnx --flavor {flavor} --version 10.9", "--version"),
        ("llm export . --out x.onnx --flavor {flavor} --runtime tensorrt", "--runtime"),
        ("llm generate . --ids 1 --seed 4", "--seed"),
    ],
)
def test_an_option_of_no_effect_is_refused(words, flag, capsys, tmp_path, monkeypatch):
    from helpers.llm.flavors import FLAVORS

    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("no checkpoint")
    assert cli.main(words.format(flavor=next(iter(FLAVORS))).split()) == 2
    assert f"option {flag}\n  found:    given, and of no effect here" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
