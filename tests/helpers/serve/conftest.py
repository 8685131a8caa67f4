import http.client
import json
from urllib.parse import urlsplit

import numpy as np
import pytest

from helpers.serve import arrays
from helpers.serve.limits import Limits
from helpers.serve.server import Running
from tests.builders.waiting import HANG

SCRIPTED = "tests.helpers.serve.policies:Scripted"
PICTURE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
# Of time so much as only what hangs takes; a test of a limit of time gives it to a server of its own.
LIMITS = Limits(body=1 << 16, pixels=1000, characters=200, queue=2, upload=HANG, deadline=HANG, stuck=HANG)


@pytest.fixture(scope="session")
def served():
    """A server of the scripted policy, shared by the tests that leave it as it was."""
    with Running(SCRIPTED, limits=LIMITS) as running:
        yield running


def body(instruction="go", image=PICTURE, **fields):
    """A request in the form of openvla, as an object."""
    return {"image": arrays.encode(image), "instruction": instruction, **fields}


def post(url, payload, **headers):
    """(status, headers, body read as JSON if it is) of one POST /act."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=HANG)
    sent = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    connection.request("POST", "/act", sent, {"content-type": "application/json"} | headers)
    return answer(connection)


def get(url, path, **headers):
    """As `post`, of one GET."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=HANG)
    connection.request("GET", path, headers=headers)
    return answer(connection)


def answer(connection):
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    found = json.loads(text) if response.headers["content-type"] == "application/json" else text
    return response.status, dict(response.headers.items()), found
