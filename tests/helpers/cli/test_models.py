"""`python -m helpers models`."""

import pytest

from helpers.cli import models as command
from helpers.errors import BadInput


def test_the_command_lists_configurations(capsys):
    assert command.main([]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["system", "configuration", "parameters", "tensors"]
    assert ["bevformer", "published", "33,521,157", "643"] in lines
    assert any(line[:2] == ["bevformer", "mini"] for line in lines)


def test_the_command_prints_keys(capsys):
    assert command.main(["bevformer", "--config", "published", "--keys"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 643
    assert "img_backbone.conv1.weight [64,3,7,7] float32" in lines
    assert "img_backbone.bn1.num_batches_tracked [] int64" in lines


@pytest.mark.parametrize(
    "arguments",
    [["fbocd"], ["bevformer", "--config", "huge"], ["nothing", "--keys"], [""], ["bevformer", "--config", ""]],
)
def test_the_command_refuses_unknown_names(arguments):
    with pytest.raises(BadInput, match="one of"):
        command.main(arguments)
