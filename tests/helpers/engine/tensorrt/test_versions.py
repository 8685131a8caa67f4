"""What the versions differ in, held against their recorded APIs."""

import json

import pytest

from helpers.engine.tensorrt import versions
from helpers.errors import BadInput
from tests.fakes import tensorrt as fake_tensorrt


@pytest.mark.parametrize("version", ["8.5.3", "7.2.1"])
def test_older_versions_are_refused(version):
    with pytest.raises(BadInput, match=f"{version}(.|\n)*8.6"):
        versions.facts(version)


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
def test_facts_agree_with_the_recorded_api(version):
    api = json.loads((fake_tensorrt.DESCRIPTIONS / f"{version}.json").read_text())
    known, enums, classes = versions.facts(version), api["enums"], api["classes"]
    flags = enums["BuilderFlag"]
    assert known.weak_typing == all(name in flags for name in ("FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"))
    assert known.weak_typing == ("int8_calibrator" in classes["IBuilderConfig"] and "precision" in classes["ILayer"])
    assert known.strong_typing == ("STRONGLY_TYPED" in enums["NetworkDefinitionCreationFlag"])
    assert known.int64 == ("INT64" in enums["DataType"])
    assert set(known.tactic_sources) == set(enums["TacticSource"])
    assert {"NONE", *known.hardware_levels} == set(enums["HardwareCompatibilityLevel"])
    assert known.device_memory in classes["ICudaEngine"]
    assert known.registry_loads_plugins == ("all_creators" in classes["IPluginRegistry"])
    if known.explicit_batch_flag:
        assert "EXPLICIT_BATCH" in enums["NetworkDefinitionCreationFlag"]
    if known.weak_typing:
        assert set(known.best_flags) <= set(flags)
