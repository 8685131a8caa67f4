"""The mini's engines of the network definition API, beside those of its ONNX graphs: weights as folders, and builds."""

from benchmarks.built import told
from benchmarks.spawned import run_spawned
from helpers import models
from helpers.engine.definition.build import Source, build
from helpers.files import sha256
from helpers.models import arrays, layered

ENGINES = {"definition": "fp32", "definition_fp16": "fp16"}  # name -> precision; layers that need FP32 say so


def names(options, shape):
    """Engines to build: of the mini, by TensorRT, where the system has a definition."""
    return list(ENGINES) if options.runtime == "tensorrt" and shape == "mini" and options.system.defined else []


def index(work, shape):
    """The file that lists the weights of a network; beside it lies one for each tensor."""
    return work / "models" / f"{shape}_weights" / layered.INDEX


def write(model, work, shape):
    """Write the network's weights; needs torch."""
    folder = index(work, shape).parent
    layered.save(model.state_dict(), folder, replace=True)
    return {"tensors": len(layered.index(folder))}


def made(shape, name):
    """Build one of `ENGINES` of an `engines.Shape`; where it lies and what its metadata file says of it."""
    source, path = index(shape.work, shape.shape), shape.work / "engines" / f"{shape.shape}-{name}.plan"
    given = shape.options.system.name, shape.config, source, path, ENGINES[name]
    settings = {key: value for key, value in shape.common().items() if value is not None}
    limit = shape.options.limit
    run_spawned(_build, *given, limit=limit, **settings) if limit else _build(*given, **settings)
    return {"engine": str(path.relative_to(shape.work))} | told(path)


def _build(system, config, source, path, precision, **settings):
    define = models.definition(system)
    about = {"system": system, "config": config.name, "weights_sha256": sha256(source)}
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = Source(lambda network: define(network, config), arrays.read(source.parent), {}, about)
    build(weights, path, "tensorrt", precision, **settings | {"tf32": precision != "fp32"})
