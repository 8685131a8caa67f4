"""The proof of the operators on the CPU, computed once."""

import pytest

from plugins import check


@pytest.fixture(scope="session")
def proof(host_library):
    """The rows of `plugins.check` over the kernels that were compiled for the host."""
    return list(check.rows(host_library, "cpu"))
