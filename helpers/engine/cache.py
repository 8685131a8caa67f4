"""A content-addressed cache of engines.

An entry is a folder `<model>-<runtime>-<key>` with the engine, a JSON metadata file beside it (`<engine>.json`), and
the external weight files where the engine is an ONNX file that has them. The key is the SHA-256 of the entry's
identity: ONNX bytes, external weights, runtime and version, compute capabilities and options.
"""

import contextlib
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, atomic, check_distinct, found_at, read_json, sha256, stays_inside
from helpers.kinds import kind_of

REBUILD = "python -m helpers engine build --onnx=MODEL.onnx --runtime={runtime}"
IDENTITY = ("onnx_sha256", "external", "runtime", "version", "compute_capabilities", "options")


def read_model(path: PathLike) -> Any:
    """The ModelProto at `path`, its external weights not read into it.

    Raises:
        BadInput: the file is absent, not whole ONNX or damaged, has weights that are no numbers, or sizes that no
            runtime finds out.
    """
    from helpers.graph.file import parse  # onnx, which running an engine does without
    from helpers.graph.inference import check_inference

    model = parse(path, weights=False)
    check_inference(model, path)
    return model


def external_files(path: PathLike, model: Any) -> list[str]:
    """Relative names of the external weight files of `model`, which was read from `path`.

    Raises:
        BadInput: a file is absent, lies outside the folder of `path`, or has a name that the cache needs.
    """
    from helpers.graph import file

    names = file.external_files(path, model)
    taken = f"{Path(path).stem}.onnx", f"{Path(path).stem}.onnx.json"
    for name in names:
        if str(Path(name)) in taken:
            raise BadInput(path, f"external weights at {name!r}", f"another name than {taken}", "save the model again")
    return names


def identity(
    path: PathLike, model: Any, runtime: str, version: str, compute_capabilities: list[str], options: dict[str, Any]
) -> dict[str, Any]:
    """What an entry is made from; two builds with equal identity are the same engine."""
    external = {name: sha256(Path(path).parent / name) for name in external_files(path, model)}
    values = (sha256(path), external, runtime, version, list(compute_capabilities), options)
    return json.loads(json.dumps(dict(zip(IDENTITY, values, strict=True))))


def key(made_from: dict[str, Any]) -> str:
    """Hex digest of an identity."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


@typed
def metadata_file(engine: PathLike) -> Path:
    """Path of the JSON metadata file of `engine`."""
    engine = Path(engine)
    return engine.parent / f"{engine.name}.json"


def entry_path(out_dir: PathLike, onnx_path: PathLike, made_from: dict[str, Any], suffix: str) -> Path:
    """Where the engine of this identity lies in the cache folder."""
    stem = Path(onnx_path).stem
    return Path(out_dir) / f"{stem}-{made_from['runtime']}-{key(made_from)[:16]}" / f"{stem}{suffix}"


def fetch(
    out_dir: PathLike,
    onnx_path: PathLike,
    made_from: dict[str, Any],
    suffix: str,
    make: Callable[[Path], dict[str, Any]],
) -> Path:
    """The engine of this identity: the entry that is there if it is whole, else a new one.

    Of several runs that build it at once the first one's stays: an entry that another run may be using never changes.

    Args:
        make: function of a path that writes the engine there (and its external files beside it) and returns what the
            metadata file should say besides the identity.
    """
    engine = entry_path(out_dir, onnx_path, made_from, suffix)
    if as_path(engine.parent, fix="give the model a shorter name, or choose another cache").exists():
        reason = damage(engine, made_from)
        if reason is None:
            return engine
        print(f"engine cache: {engine.parent} is rebuilt: {reason}", file=sys.stderr)
    with contextlib.suppress(_Built), atomic(engine.parent, folder=True) as folder:
        part = folder / engine.name
        start = time.perf_counter()
        details = make(part)
        seconds = time.perf_counter() - start
        meta = metadata(
            made_from, part, seconds, {"onnx": Path(onnx_path).name, "beside": _beside(folder, part)} | details
        )
        write_meta(metadata_file(part), meta)
        if damage(engine, made_from) is None:
            raise _Built
    return engine


def metadata(made_from: dict[str, Any], engine: Path, seconds: float, details: dict[str, Any]) -> dict[str, Any]:
    """The content of the metadata file of an engine that took so long to build."""
    return {
        **made_from,
        "key": key(made_from),
        "sha256": sha256(engine),
        "beside": {},
        "size_bytes": engine.stat().st_size,
        "build_seconds": round(seconds, 3),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        **details,
    }


def write_meta(path: Path, meta: dict[str, Any]) -> None:
    """Write a metadata file."""
    path.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


class _Built(Exception):
    """Another run has built this engine meanwhile."""


def _beside(folder, engine):
    """Digests of the files beside an engine, by their names in its folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != engine)
    return {str(file.relative_to(folder)): sha256(file) for file in files}


def damage(engine: PathLike, made_from: dict[str, Any] | None = None) -> str | None:
    """Why the entry cannot be used (None if it can): a part is absent or its bytes are not those that were written."""
    engine = Path(engine)
    try:
        meta = read_meta(engine)
    except BadInput as error:
        return f"{Path(error.where).name}: {error.found}"
    stored = {name: meta[name] for name in IDENTITY}
    if key(stored) != meta["key"] or (made_from is not None and stored != made_from):
        return f"its metadata file {metadata_file(engine).name} was changed"
    for name, digest in {engine.name: meta["sha256"], **meta["beside"]}.items():
        file = engine.parent / name
        if not file.is_file():
            return f"{name} is absent"
        try:
            if sha256(file) != digest:
                return f"{name} is damaged: its SHA-256 is not the one noted when it was built"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def read_meta(engine: PathLike) -> dict[str, Any]:
    """The metadata file of `engine`; BadInput if it or the engine is absent, unreadable, or names foreign files."""
    engine, path = as_path(engine), metadata_file(engine)
    expected, rebuild = f"the metadata file that was written with {engine.name}", REBUILD.format(runtime="RUNTIME")
    if not engine.is_file():
        raise BadInput(engine, found_at(engine), "an engine", rebuild)
    if not path.exists():
        held, whole = kind_of(engine) or "a file", f"an engine with {path.name} beside it, or an ONNX file NAME.onnx"
        raise BadInput(engine, f"{held}, and no {path.name}", whole, rebuild)
    meta = read_json(path, expected, rebuild)
    names = (*IDENTITY, "key", "sha256", "beside")
    absent = [name for name in names if name not in meta] if isinstance(meta, dict) else names
    if absent or not isinstance(meta["beside"], dict):
        raise BadInput(path, f"no values of {', '.join(absent or ['beside'])}", expected, rebuild)
    for name in meta["beside"]:
        if not stays_inside(name, engine.parent) or Path(name) in (Path(engine.name), Path(path.name)):
            raise BadInput(path, f"a file at {name!r}", "files beside the engine", rebuild)
    return meta


def verify(
    engine: PathLike, runtime: str, version: str, compatible: Callable[[dict[str, Any], str], bool] | None = None
) -> dict[str, Any]:
    """The metadata of an engine that may be loaded by this runtime and version.

    Args:
        compatible: function of (metadata, version) that says whether another version's engine may be loaded.

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


def files_of(engine: PathLike) -> list[Path]:
    """The metadata file of `engine` and the files beside it that belong to it, as far as that file can be read."""
    with contextlib.suppress(BadInput):
        return [metadata_file(engine), *(Path(engine).parent / name for name in read_meta(engine)["beside"])]
    return [metadata_file(engine)]


@typed
def save_as(engine: PathLike, path: PathLike) -> Path:
    """Copy an engine of the cache, its metadata file and its external files to `path`; returns `path`.

    Raises:
        BadInput: `path` is the engine itself, or a place that an external file needs holds another one.
    """
    engine, path = Path(engine), Path(path)
    check_distinct(path, engine, *files_of(engine))
    meta = read_meta(engine)
    beside = [(engine.parent / name, path.parent / name) for name in meta["beside"]]
    for name in meta["beside"]:
        if not stays_inside(name, path.parent):
            raise BadInput(path.parent / name, "a link out of this folder", "a place in it", "choose another folder")
        if (target := path.parent / name).is_file() and sha256(target) != meta["beside"][name]:
            expected = f"the weights of {engine.name}, or no such file"
            raise BadInput(target, "a file of another content", expected, "choose another folder")
    with contextlib.ExitStack() as stack:  # left in reverse: the engine comes last, as metadata alone loads nothing
        for source, target in [(engine, path), (metadata_file(engine), metadata_file(path)), *beside]:
            shutil.copyfile(source, stack.enter_context(atomic(target)))
    return path
