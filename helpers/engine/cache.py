"""A content-addressed cache of engines.

An entry is a folder `<model>-<runtime>-<key>` with the engine, a JSON side file beside it (`<engine>.json`), and the
external weight files where the engine is an ONNX file that has them. The key is the SHA-256 of the entry's identity:
ONNX bytes, external weights, runtime and version, compute capabilities and options.
"""

import contextlib
import hashlib
import json
import shutil
import sys
import time
from pathlib import Path

from helpers.errors import BadInput
from helpers.files import atomic, sha256
from helpers.graph.walk import all_tensors

REBUILD = "python -m helpers engine build --onnx=MODEL.onnx --runtime={runtime}"
IDENTITY = ("onnx_sha256", "external", "runtime", "version", "compute_capabilities", "options")


def read_model(path):
    """The ModelProto at `path`, its external weights not read; BadInput if it is absent, not whole ONNX or damaged."""
    import onnx

    from helpers import graph

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # whatever it is, graph.parse meets it again and says what is wrong
        return graph.parse(path)
    return model if any(tensor.external_data for tensor in all_tensors(model)) else graph.parse(path)


def external_files(path, model):
    """Relative names of the external weight files of `model`, which was read from `path`; BadInput if one is absent."""
    names = sorted(
        {entry.value for tensor in all_tensors(model) for entry in tensor.external_data if entry.key == "location"}
    )
    root = Path(path).parent
    for name in names:
        if not (root / name).resolve().is_relative_to(root.resolve()):
            raise BadInput(path, f"external weights at {name!r}", "a file beside the ONNX file", "save the model again")
        if not (root / name).is_file():
            raise BadInput(
                root / name, "no such file", f"the external weights of {path}", "copy it beside the ONNX file"
            )
    return names


def identity(path, model, runtime, version, compute_capabilities, options):
    """What an entry is made from; two builds with equal identity are the same engine."""
    external = {name: sha256(Path(path).parent / name) for name in external_files(path, model)}
    values = (sha256(path), external, runtime, version, list(compute_capabilities), options)
    return json.loads(json.dumps(dict(zip(IDENTITY, values, strict=True))))


def key(made_from):
    """Hex digest of an identity."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def side_file(engine):
    """Path of the JSON side file of `engine`."""
    engine = Path(engine)
    return engine.with_name(engine.name + ".json")


def entry_path(out_dir, onnx_path, made_from, suffix):
    """Where the engine of this identity lies in the cache folder."""
    stem = Path(onnx_path).stem
    return Path(out_dir) / f"{stem}-{made_from['runtime']}-{key(made_from)[:16]}" / f"{stem}{suffix}"


def fetch(out_dir, onnx_path, made_from, suffix, make):
    """The engine of this identity: the entry that is there if it is whole, else a new one.

    Args:
        make: function of a path that writes the engine there (and its external files beside it) and returns what the
            side file should say besides the identity.
    """
    engine = entry_path(out_dir, onnx_path, made_from, suffix)
    if engine.parent.exists():
        reason = damage(engine, made_from)
        if reason is None:
            return engine
        print(f"engine cache: {engine.parent} is rebuilt: {reason}", file=sys.stderr)
    with atomic(engine.parent, folder=True) as folder:
        part = folder / engine.name
        start = time.perf_counter()
        details = make(part)
        meta = {
            **made_from,
            "key": key(made_from),
            "onnx": Path(onnx_path).name,
            "sha256": sha256(part),
            "beside": {str(file.relative_to(folder)): sha256(file) for file in _files(folder) if file != part},
            "size_bytes": part.stat().st_size,
            "build_seconds": round(time.perf_counter() - start, 3),
            "date": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
            **details,
        }
        side_file(part).write_text(json.dumps(meta, indent=1) + "\n")
    return engine


def _files(folder):
    return sorted(file for file in folder.rglob("*") if file.is_file())


def damage(engine, made_from=None):
    """Why the entry cannot be used (None if it can): a part is absent or its bytes are not those that were written."""
    engine = Path(engine)
    try:
        meta = json.loads(side_file(engine).read_text())
        stored = {name: meta[name] for name in IDENTITY}
        files = {engine.name: meta["sha256"], **meta["beside"]}
        if key(stored) != meta["key"] or (made_from is not None and stored != made_from):
            return f"its side file {side_file(engine).name} was changed"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its side file {side_file(engine).name} cannot be read ({type(error).__name__}: {error})"
    for name, digest in files.items():
        file = engine.parent / name
        if not file.is_file():
            return f"{name} is absent"
        if sha256(file) != digest:
            return f"{name} is damaged: its SHA-256 is not the one noted when it was built"
    return None


def read_meta(engine):
    """The side file of `engine` as a dict; BadInput if the engine or the side file is absent or unreadable."""
    engine, side = Path(engine), side_file(engine)
    rebuild = REBUILD.format(runtime="RUNTIME")
    if not engine.is_file():
        raise BadInput(engine, "no such file", "an engine", rebuild)
    if not side.is_file():
        raise BadInput(side, "no such file", f"the side file that was written with {engine.name}", rebuild)
    try:
        meta = json.loads(side.read_text())
        for name in (*IDENTITY, "key", "sha256", "beside"):
            meta[name]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(side, f"{type(error).__name__}: {error}", "the side file as it was written", rebuild) from error
    return meta


def verify(engine, runtime, version, compatible=None):
    """The side file's content of an engine that may be loaded by this runtime and version.

    Args:
        compatible: function of (side file's content, version) that says whether another version's engine may be loaded.

    Raises:
        BadInput: the engine is of another runtime or version (both are named), or is damaged.
    """
    meta, rebuild = read_meta(engine), REBUILD.format(runtime=runtime)
    built, here = f"{meta['runtime']} {meta['version']}", f"{runtime} {version}"
    another = built != here and not (meta["runtime"] == runtime and compatible and compatible(meta, version))
    if another:
        expected = f"an engine built by {here}, which is loading it"
        raise BadInput(engine, f"an engine built by {built}", expected, rebuild)
    reason = damage(engine)
    if reason:
        raise BadInput(engine, reason, "the engine as it was built", rebuild)
    return meta


def save_as(engine, path):
    """Copy an engine of the cache, its side file and its external files to `path`; returns `path`."""
    engine, path = Path(engine), Path(path)
    meta = read_meta(engine)
    beside = [(engine.parent / name, path.parent / name) for name in meta["beside"]]
    with contextlib.ExitStack() as stack:  # left in reverse: the engine comes last, as a side file alone loads nothing
        for source, target in [(engine, path), (side_file(engine), side_file(path)), *beside]:
            shutil.copyfile(source, stack.enter_context(atomic(target)))
    return path
