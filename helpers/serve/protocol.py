"""The two protocols of OpenVLA's servers: the bytes of a request to an `Act`, a prediction to the bytes of its answer.

- tensorrt-openvla: `image` is a string that holds JSON, `instruction` the whole prompt; the answer is a string that
  holds `{"action": array, "generated": text or array}`.
- openvla: `image` is an object, `instruction` plain words; the answer is the action as an object. Or all of the
  request is a string, `{"encoded": "..."}`, and so is the answer.

Source: `scripts/deploy_server.py` of rail-berkeley/tensorrt-openvla, `vla-scripts/deploy.py` of openvla/openvla.
"""

import json
import re
from typing import Any, NamedTuple

import numpy as np

from helpers.arguments import typed
from helpers.errors import BadInput, reason
from helpers.files import each_once
from helpers.serve import arrays
from helpers.serve.limits import Limits
from helpers.serve.refused import Refused

PROMPT = re.compile(r".*What action should the robot take to (.*)\?(?:\n(?:Out:)| ASSISTANT:(?: TASK:)?)\s*", re.DOTALL)
STRUCTURE = 20_000  # commas and brackets of a body: what they become in memory is many times their size
KEYS = {"image", "instruction", "unnorm_key", "return_ids"}
EXPECTED = "an object with image, instruction and, if you like, unnorm_key and return_ids"


def _constant(name):
    raise ValueError(f"{name} is no JSON")


# json.loads may have been patched by json_numpy
DECODER = json.JSONDecoder(parse_constant=_constant, object_pairs_hook=each_once)


class Act(NamedTuple):
    """A request: image uint8 [H, W, 3] RGB, the instruction in plain words, and what its answer is to look like."""

    image: np.ndarray
    instruction: str
    unnorm_key: str | None = None
    return_ids: bool = False
    as_text: bool = True  # of tensorrt-openvla
    encoded: bool = False


class Prediction(NamedTuple):
    """What a policy returns: action float64 [n] in its units, ids int [m] of its tokens, and its text."""

    action: np.ndarray
    ids: np.ndarray
    text: str


@typed
def parse(body: bytes, limits: Limits) -> Act:
    """The request of a body; Refused with 400 if it is no JSON, with 422 if it is no request."""
    payload, encoded = _json(body, "the body", 400), False
    if isinstance(payload, dict) and "encoded" in payload:
        if len(payload) > 1 or not isinstance(payload["encoded"], str):
            raise _wrong("encoded", sorted(payload)[:5], "one key, whose value is a string", "encode the whole request")
        payload, encoded = _json(payload["encoded"], "encoded", 422), True
    if not isinstance(payload, dict) or not {"image", "instruction"} <= payload.keys() <= KEYS:
        found = f"an object of {sorted(payload)[:6]}" if isinstance(payload, dict) else type(payload).__name__
        raise _wrong("the body", found, EXPECTED, "see /openapi.json")
    image, as_text = payload["image"], isinstance(payload["image"], str)
    return Act(
        _image(_json(image, "image", 422) if as_text else image, limits),
        _instruction(payload["instruction"], limits),
        _key(_optional(payload, "unnorm_key", str, None), limits),
        _optional(payload, "return_ids", bool, False),
        as_text,
        encoded,
    )


def answer(act: Act, prediction: Prediction) -> bytes:
    """The body that answers `act`."""
    if act.as_text:
        generated = arrays.encode(prediction.ids) if act.return_ids else prediction.text
        text = json.dumps({"action": arrays.encode(prediction.action), "generated": generated})
        return json.dumps(text).encode()
    action = json.dumps(arrays.encode(prediction.action))
    return json.dumps(action).encode() if act.encoded else action.encode()


def strict_json(text: bytes | str) -> Any:
    """JSON in UTF-8 without NaN, of a structure that fits a request; ValueError for anything else."""
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    if sum(map(text.count, ",[{")) > STRUCTURE:
        raise ValueError(f"more than {STRUCTURE:,} commas and brackets")
    try:
        return DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _json(text, where, status):
    try:
        return strict_json(text)
    except ValueError as error:
        raise Refused(status, where, reason(error), "JSON in UTF-8", "encode it with json.dumps") from error


def _image(value, limits):
    try:
        image = arrays.decode(value, "image", ["|u1"], 3 * limits.pixels)
    except BadInput as error:
        raise Refused(422, error.where, error.found, error.expected, error.fix) from error
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise _wrong("image: shape", list(image.shape), "[height, width, 3]", "send an RGB picture, uint8")
    return image


def _instruction(text, limits):
    """Plain words: of a prompt of OpenVLA, what stands where the prompt has its instruction."""
    if not isinstance(text, str) or not 0 < len(text) <= limits.characters:
        found = f"{len(text):,} characters" if isinstance(text, str) else type(text).__name__
        raise _wrong("instruction", found, f"text of 1 to {limits.characters:,} characters", "say what is to be done")
    words = match[1] if (match := PROMPT.fullmatch(text)) else text
    if not words.strip():
        found = "white space" if words == text else "a prompt without one"
        raise _wrong("instruction", found, "words, in a prompt behind 'take to'", "say what is to be done")
    return _text(words, "instruction")


def _key(key, limits):
    if key is not None and len(key) > limits.characters:
        expected = f"at most {limits.characters:,}"
        raise _wrong("unnorm_key", f"{len(key):,} characters", expected, "name a data set of the policy")
    return key


def _text(text, where):
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _wrong(where, "half a character", "text that UTF-8 can hold", "correct the text") from error
    return text


def _optional(payload, key, kind, default):
    value = payload.get(key, default)
    if value is not default and type(value) is not kind:
        raise _wrong(key, type(value).__name__, f"{kind.__name__}, or leave it out", "correct the value")
    return _text(value, key) if isinstance(value, str) else value


def _wrong(where, found, expected, fix):
    return Refused(422, where, found, expected, fix)
