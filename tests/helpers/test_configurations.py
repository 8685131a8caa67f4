"""What is no configuration, and what a file's table has of another type, is refused wherever it comes in."""

import json

import numpy as np
import pytest

from helpers import calibration, models
from helpers.calibration import samples
from helpers.dataset import stream
from helpers.dataset.images import preprocess
from helpers.dataset.preparation import Preparation
from helpers.errors import BadInput, entry
from helpers.graph import ends
from helpers.llm import folder
from helpers.llm.tensorrt_llm import fields
from helpers.metrics import detection, driven
from helpers.pipeline import Pipeline
from helpers.systems.openvla import published
from tests.builders.graphs import free_batch

IMAGES = np.zeros((1, 4, 4, 3), np.uint8)
VERBS = {
    "add_ends": lambda c, tmp: ends.add_ends(tmp / "absent.onnx", tmp / "out.onnx", c),
    "with_pictures": lambda c, tmp: ends.with_pictures(free_batch("N"), c),
    "with_boxes": lambda c, tmp: ends.with_boxes(free_batch("N"), c),
    "stream": lambda c, tmp: next(stream([], c)),
    "preprocess": lambda c, tmp: preprocess(IMAGES, c),
    "preparation": lambda c, tmp: Preparation.of(c),
    "collect": lambda c, tmp: calibration.collect(dict, [], tmp / "out.npz", c),
    "dump": lambda c, tmp: samples.dump([], tmp / "out", c),
    "read_shapes": lambda c, tmp: samples.read_shapes(tmp, c),
    "profile": lambda c, tmp: samples.profile([], c),
    "detect": lambda c, tmp: list(detection.detect(dict, [], c)),
    "decoded": lambda c, tmp: list(driven.decoded(dict, [], c)),
    "pipeline": lambda c, tmp: Pipeline(None, c),
}
WRONG = {"none": None, "name": "mini", "module": models, "table": {"name": "mini"}, "numbers": [1], "class": None}


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_no_configuration_is_refused_by_every_verb(verb, tmp_path):
    kind = type(models.config("bevformer", "mini"))
    for name, wrong in WRONG.items():
        with pytest.raises(BadInput, match=r"^config\n(.*\n)+.*models.config\(SYSTEM, NAME\)"):
            VERBS[verb](kind if name == "class" else wrong, tmp_path)
    assert not any(tmp_path.iterdir())


LLAMA = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
NO_TABLE = ([], 0, "", False, [1], "llama", 1.5)


@pytest.mark.parametrize("key", ["text_config", "llm_config", "rope_parameters"])
def test_a_part_of_a_config_that_is_no_table_is_refused(tmp_path, key):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA | {key: None}))
    sizes, _ = folder.read_config(tmp_path)
    assert sizes.num_key_value_heads == 2
    for wrong in NO_TABLE:
        path.write_text(json.dumps(LLAMA | {key: wrong}))
        with pytest.raises(BadInput, match=rf"config\.json\n.*{key}.*\n.*a table"):
            folder.read_config(tmp_path)
    path.write_text(json.dumps(LLAMA | {"num_key_value_heads": 0}))
    with pytest.raises(BadInput, match="num_key_value_heads 0"):
        folder.read_config(tmp_path)


def test_parts_of_the_other_forms_of_a_config_that_are_no_tables_are_refused():
    table = published.table_of(models.config("openvla", "published"), {})
    for wrong in NO_TABLE:
        with pytest.raises(BadInput, match=r"text_config .*\n.*a table"):
            published.config_of(table | {"text_config": wrong}, "config.json")
        for key in ("quantization", "mapping"):
            with pytest.raises(BadInput, match=rf"{key} .*\n.*a table"):
                fields.check_handled({"architecture": "LlamaForCausalLM", key: wrong}, "config.json")
        with pytest.raises(BadInput, match=r"rope_parameters .*\n.*a table"):
            fields.correct({}, [], {"rope_parameters": wrong})
    with pytest.raises(BadInput, match=r"reasoning 'no'\n.*true or false"):
        published.config_of(table | {"reasoning": "no"}, "config.json")
    with pytest.raises(BadInput, match="num_key_value_heads 0"):
        fields.llama_config(LLAMA | {"num_key_value_heads": 0, "norm_epsilon": 1e-6, "rotary_base": 1e4}, "c")


def test_an_entry_is_of_its_type_or_absent():
    assert (
        entry({}, "a", 3, "f", "x") == entry({"a": None}, "a", 3, "f", "x") == 3
        and entry({"a": 4}, "a", 3, "f", "x") == 4
    )
    for wrong in (True, 3.0, "3"):
        with pytest.raises(BadInput, match=r"^f\n.*a .*\n.*a whole number\n.*x"):
            entry({"a": wrong}, "a", 3, "f", "x")
