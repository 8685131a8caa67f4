"""What /openapi.json says of requests and answers."""

from typing import Any

from helpers.serve.limits import Limits

ARRAY = {
    "type": "object",
    "description": "an array as json-numpy writes it",
    "properties": {
        "__numpy__": {"type": "string", "contentEncoding": "base64"},
        "dtype": {"type": "string", "examples": ["|u1", "<f8"]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 8},
    },
    "required": ["__numpy__", "dtype", "shape"],
    "additionalProperties": False,
}
ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("where", "found", "expected", "fix")},
            "required": ["where", "found", "expected", "fix"],
        }
    },
    "required": ["error"],
}
REASONS = {
    400: "no JSON",
    401: "no token, or another one",
    408: "the body did not arrive in time",
    413: "the body is too large",
    415: "the body is not said to be JSON",
    422: "no request: a key, a type, a shape or a size is wrong",
    500: "the policy or its process failed",
    503: "the queue is full, or the server stops: Retry-After says when to come again",
    504: "no answer within the deadline",
}


def act(limits: Limits, token: bool) -> dict[str, Any]:
    """The arguments of FastAPI's route for POST /act."""
    image = {"description": "uint8 [H, W, 3] RGB", "oneOf": [ARRAY, {"type": "string", "contentSchema": ARRAY}]}
    key = {
        "type": ["string", "null"],
        "maxLength": limits.characters,
        "description": "whose statistics scale the action",
    }
    request = {
        "type": "object",
        "properties": {
            "image": image,
            "instruction": {"type": "string", "pattern": r"\S", "maxLength": limits.characters},
            "unnorm_key": key,
            "return_ids": {"type": "boolean", "default": False, "description": "ids in the place of text"},
        },
        "required": ["image", "instruction"],
        "additionalProperties": False,
    }
    encoded = {
        "type": "object",
        "properties": {"encoded": {"type": "string", "description": "the request as JSON in a string"}},
        "required": ["encoded"],
        "additionalProperties": False,
    }
    answers = [ARRAY, {"type": "string", "description": "JSON: an array, or an object of action and generated"}]
    body = {"required": True, "content": {"application/json": {"schema": {"oneOf": [request, encoded]}}}}
    extra: dict[str, Any] = {"requestBody": body}
    if token:
        extra["security"] = [{"token": []}]
    reasons = {code: text for code, text in REASONS.items() if token or code != 401}
    return {
        "openapi_extra": extra,
        "responses": {200: _answer("the action", {"oneOf": answers}), **_errors(reasons)},
        "operation_id": "act",
    }


def _answer(description, shape):
    return {"description": description, "content": {"application/json": {"schema": shape}}}


def _errors(reasons):
    return {code: _answer(text, ERROR) for code, text in reasons.items()}


STATE = {
    "type": "object",
    "properties": {
        "status": {"enum": ["ready", "starting", "stopping"]},
        "policy": {"type": "string"},
        "waiting": {"type": "integer", "minimum": 0},
        "queue": {"type": "integer", "minimum": 0},
    },
    "required": ["status", "policy", "waiting", "queue"],
}
HEALTH: dict[str, Any] = {
    "responses": {200: _answer("ready", STATE), 503: _answer("starting or stopping", STATE)},
    "operation_id": "health",
}
METRICS: dict[str, Any] = {
    "responses": {
        200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **_errors({401: REASONS[401]}),
    },
    "operation_id": "metrics",
}
