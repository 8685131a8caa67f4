"""Requests and answers of both protocols, and what is none."""

import json

import numpy as np
import pytest

from helpers.serve import arrays, protocol
from helpers.serve.limits import Limits
from helpers.serve.refused import Refused
from tests.helpers.serve.conftest import PICTURE, body

LIMITS = Limits(pixels=1000, characters=200)
PREDICTION = protocol.Prediction(np.arange(7.0), np.array([31744, 31999], np.int32), 'TASK: "it"')


def parsed(payload):
    return protocol.parse(json.dumps(payload).encode(), LIMITS)


def test_the_three_forms_of_a_request_hold_the_same():
    plain = parsed(body(unnorm_key="bridge_orig"))
    prompted = parsed(body(unnorm_key="bridge_orig") | {"image": json.dumps(arrays.encode(PICTURE))})
    encoded = parsed({"encoded": json.dumps(body(unnorm_key="bridge_orig"))})
    for act in (plain, prompted, encoded):
        assert np.array_equal(act.image, PICTURE) and act.image.dtype == np.uint8
        assert act[1:4] == ("go", "bridge_orig", False)
    assert [(act.as_text, act.encoded) for act in (plain, prompted, encoded)] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_answers_have_the_form_of_their_requests():
    image = json.dumps(arrays.encode(PICTURE))
    action, ids = arrays.encode(PREDICTION.action), arrays.encode(PREDICTION.ids)

    def answered(payload):
        return json.loads(protocol.answer(parsed(payload), PREDICTION))

    assert answered(body()) == action
    assert json.loads(answered({"encoded": json.dumps(body())})) == action
    assert json.loads(answered(body() | {"image": image})) == {"action": action, "generated": 'TASK: "it"'}
    assert json.loads(answered(body(return_ids=True) | {"image": image})) == {"action": action, "generated": ids}


@pytest.mark.parametrize(
    "prompt",
    [
        "In: What action should the robot take to Put it down?\nOut:",
        "A chat with an assistant. USER: What action should the robot take to Put it down? ASSISTANT:",
        "A chat. USER: What action should the robot take to Put it down? ASSISTANT: TASK:",
        "Put it down",
    ],
)
def test_the_instruction_is_taken_out_of_a_prompt(prompt):
    assert parsed(body(prompt)).instruction == "Put it down"


def test_words_that_only_begin_as_a_prompt_stay():
    text = "What action should the robot take to go? Say it"
    assert parsed(body(text)).instruction == text


@pytest.mark.parametrize(
    ("sent", "status", "named"),
    [
        (b"", 400, "the body"),
        (b"{", 400, "the body"),
        (b"\xff", 400, "the body"),
        (b"\xef\xbb\xbf{}", 400, "the body"),
        (b'{"a": NaN}', 400, "NaN"),
        (b'{"instruction": "left", "instruction": "right"}', 400, "stands twice"),
        (b"[" * 15_000, 400, "nested"),
        (b"[" + b"[]," * 20_000 + b"[]]", 400, "20,000"),
        (b"9" * 5000, 400, "the body"),
        ([], 422, "list"),
        ({}, 422, "image"),
        (body(more=1), 422, "more"),
        ({"encoded": "{", "image": 1}, 422, "one key"),
        ({"encoded": "{"}, 422, "encoded"),
        ({"encoded": 3}, 422, "encoded"),
        ({"encoded": '{"encoded": "{}"}'}, 422, "encoded"),
        (body(image=PICTURE.astype(np.float32)), 422, "dtype"),
        (body(image=PICTURE[..., 0]), 422, "image: shape"),
        (body(image=PICTURE[:0]), 422, "image: shape"),
        (body(image=np.zeros((100, 100, 3), np.uint8)), 422, "at most 3,000"),
        (body() | {"image": "{"}, 422, "image"),
        (body() | {"image": None}, 422, "image"),
        (body() | {"image": arrays.encode(PICTURE) | {"shape": [0, 10**30, 3]}}, 422, "image: shape"),
        (body() | {"image": arrays.encode(PICTURE) | {"shape": [int("9" * 4000)] * 3}}, 422, "image: shape"),
        (body(""), 422, "instruction"),
        (body("In: What action should the robot take to ?\nOut:"), 422, "instruction"),
        (body("x" * 201), 422, "instruction"),
        (body(" \n\t"), 422, "instruction\n.*white space"),
        (body("In: What action should the robot take to  \u2003?\nOut:"), 422, "instruction\n.*a prompt without one"),
        (body(unnorm_key="x" * 201), 422, "unnorm_key\n.*201 characters"),
        (body(3), 422, "instruction"),
        (body("\ud800"), 422, "instruction"),
        (body(unnorm_key=3), 422, "unnorm_key"),
        (body(unnorm_key="\ud800"), 422, "unnorm_key"),
        (body(return_ids=1), 422, "return_ids"),
        (body(return_ids="yes"), 422, "return_ids"),
    ],
)
def test_what_is_no_request_is_refused_by_name(sent, status, named):
    with pytest.raises(Refused, match=named) as refused:
        protocol.parse(sent if isinstance(sent, bytes) else json.dumps(sent).encode(), LIMITS)
    assert refused.value.status == status
