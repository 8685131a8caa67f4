"""Stage `records`: the work folder as result records, and the table beside the published figures."""

import collections
import json
import re
from pathlib import Path

from benchmarks import comparison, measured, planned, roofline, scheduled, smoothed
from benchmarks.language import table
from helpers import records
from helpers.errors import BadInput
from helpers.files import ROOT

SCORED = ("NDS", "mAP", "frames")
PLAIN = "libjpeg-turbo"  # the decoder that a record's name leaves out
MODULE = re.compile(r"/(\w+)(?:\.\w+)*/")  # of a node such as /neck/fpn.0/Conv; the end of a block may be a bare /Conv


def run(session, options):
    """Write one record per engine and one for each other piece of evidence; print the table."""
    kind = "recorded" if options.out == ROOT / "results" else "measured"
    pieces = session.pieces()
    if not pieces:
        raise BadInput(session.work, "no pieces", "what the other stages measured", options.preparing)
    system = options.system
    name = system.recorded
    found = [*engines(pieces, name), *scaling(pieces, name), *gridsample(pieces), *divergence(pieces),
             *ceilings(pieces), *profiles(pieces, name, session.work), *end_to_end(pieces, name),
             *planned.records(pieces, name), *table.records(pieces), *steps(pieces),
             *scheduled.records(pieces, name, artifacts), *smoothed.records(pieces, name)]  # fmt: skip
    for name, metrics, entry in found:
        print(records.write(_record(name, metrics, entry, kind), options.out))
    for shape in measured.SHAPES:
        rows = comparison.table(pieces, shape, system)
        if rows:
            print(f"\n{shape}\n{comparison.text(rows)}")
    print("\n".join(["", *table.text(pieces)]))
    print("\n" + "\n".join(comparison.ratios(pieces, system) + comparison.to_eager(pieces, system)))
    failures = [f"{name}: {entry['error'][:200]}" for name, entry in pieces.items() if "error" in entry]
    failures += [f"{name}: {why[:200]}" for name, why in measured.refused(pieces)]
    failures += [f"{name}: {entry['result']['ended']}" for name, entry in pieces.items()
                 if "ended" in entry.get("result", {})]  # fmt: skip
    print("\n".join(["", "not measured:", *failures] if failures else []))


def _record(name, metrics, entry, kind):
    device = entry["cpu"] if "onnxruntime" in name else entry["device"] or entry["cpu"]
    metrics = {key: str(value) if isinstance(value, bool) else value for key, value in metrics.items()}
    return records.Record(name.replace("_", "-"), kind, device, entry["versions"], entry["command"], entry["commit"],
                          entry["date"], metrics, entry.get("artifacts") or files(entry.get("depends")))  # fmt: skip


def files(depends):
    """{file: SHA-256} of every `session.of_file` in what a piece depends on."""
    if isinstance(depends, dict) and {"file", "sha256"} <= depends.keys():
        return {depends["file"]: depends["sha256"]}
    parts = depends.values() if isinstance(depends, dict) else depends if isinstance(depends, list) else ()
    return {name: digest for part in parts for name, digest in files(part).items()}


def engines(pieces, system):
    """[(record name, metrics, entry)] of every engine and every way to run the network in PyTorch."""
    return [
        (
            f"{system}-{shape}-{runtime}-{name}",
            measured.metrics_of(pieces, runtime, shape, name),
            entry | {"artifacts": artifacts(pieces, f"{runtime}/{shape}/build/{name}")},
        )
        for shape in measured.SHAPES
        for runtime in measured.RUNTIMES
        for name, entry in measured.named(pieces, runtime, shape)
    ]


def artifacts(pieces, build):
    """{file: SHA-256} of the engine that a piece has built, and of those that run before it; {} where there is none."""
    built = pieces.get(build, {}).get("result", {})
    made = [built, *built.get("before", [])] if "sha256" in built else []
    return {Path(one["engine"]).name: one["sha256"] for one in made}


def scaling(pieces, system):
    """How time grows, one record for each runtime, of what was measured with the latest settings."""
    for runtime in ("tensorrt", "pytorch"):
        found = {
            key.rsplit("/", 1)[1]: entry
            for key, entry in pieces.items()
            if key.startswith(f"{runtime}/scale/") and "/build/" not in key and "result" in entry
        }
        if not found:
            continue
        latest = max(found.values(), key=lambda entry: entry["date"])
        metrics, made_of = {"settings": latest["result"]["settings"]}, {}
        for name, entry in found.items():
            if entry["result"]["settings"] != metrics["settings"]:
                continue
            made_of |= artifacts(pieces, f"{runtime}/scale/build/{name}")
            for key in ("p50", "p99"):
                metrics[f"{name}_gpu_ms_{key}"] = entry["result"]["gpu"][key]
            memory = entry["result"].get("memory_mib", {})
            if memory:
                metrics[f"{name}_activations_mib"] = memory["activations"]
        yield f"{system}-scaling-{runtime}", metrics, latest | {"artifacts": made_of}


def gridsample(pieces):
    """What the check saw: the error of every case and form, and how many were wrong."""
    entries = [
        entry
        for key, entry in pieces.items()
        if key.startswith(("gridsample/native/", "gridsample/rewrite/")) and "result" in entry
    ]
    if not entries:
        return
    found, verdicts = {}, {}
    for entry in entries:
        for name, forms in entry["result"].items():
            for form, one in forms.items():
                found.setdefault(name, {})[form] = one.get("error", one["verdict"])
                verdicts.setdefault(form, {})[name] = one["verdict"]
    metrics = {"cases": len(found)}
    for form, by_name in verdicts.items():
        for verdict in ("agrees", "wrong", "refused"):
            metrics[f"{form}_{verdict}"] = sum(value == verdict for value in by_name.values())
        wrong = [name for name, value in by_name.items() if value == "wrong"]
        metrics[f"{form}_wrong_cases"] = ", ".join(wrong) or "none"
    for name, forms in found.items():
        metrics |= {f"{name}/{form}": value for form, value in forms.items()}
    yield "gridsample-tensorrt", metrics, newest(entries)


def divergence(pieces):
    """Where every engine parts from ONNX Runtime."""
    found = {key.split("/", 1)[1]: entry for key, entry in pieces.items() if key.startswith("divergence/")}
    found = {key: entry for key, entry in found.items() if "result" in entry}
    metrics = {}
    for name, entry in found.items():
        for key, value in entry["result"].items():
            if key == "notes":
                value = "; ".join(value) or "none"
            if key != "runtime" and not isinstance(value, (list, dict, type(None))):
                metrics[f"{name}/{key}"] = str(value) if isinstance(value, bool) else value
    if found:
        entry = newest(found.values())
        yield f"divergence-{entry['result']['runtime']}", metrics, entry


def newest(entries):
    """The newest of several entries of one record, with the files of all of them."""
    made_of = {name: digest for entry in entries for name, digest in files(entry["depends"]).items()}
    return max(entries, key=lambda entry: entry["date"]) | {"artifacts": made_of}


def ceilings(pieces):
    entry = pieces.get("pytorch/ceilings", {})
    if "result" in entry:
        yield "gpu-ceilings", entry["result"], entry


def profiles(pieces, system, work):
    """Profiles of engines: sums by type, precision and part, the largest layers, those farthest from the roofline."""
    for key, entry in pieces.items():
        if "/profile/" not in key or "result" not in entry:
            continue
        runtime, shape, _, name = key.split("/")
        result = entry["result"]
        metrics = told(result)
        whole = work / result["file"]
        if whole.is_file():
            layers = json.loads(whole.read_text())["profile"]
            metrics |= by_part(layers) | roofline.farthest(name, layers, pieces, shape)
        built = artifacts(pieces, f"{runtime}/{shape}/build/{name}")
        yield f"{system}-{shape}-{runtime}-{name}-profile", metrics, entry | {"artifacts": built}


def told(profile):
    """Metrics of a profile: sums by type and precision, and the largest layers."""
    metrics = {"layers": profile["layers"], "sum_ms": profile["ms"]}
    for by in ("type", "precision"):
        metrics |= {f"{by}/{kind or 'none'}_ms": ms for kind, ms in profile[f"ms_by_{by}"].items()}
    for index, row in enumerate(profile["top"], 1):
        metrics |= {f"top_{index:02}_layer": row["layer"], f"top_{index:02}_type": row["type"] or "none",
                    f"top_{index:02}_ms": row["ms"]}  # fmt: skip
    return metrics


def by_part(layers):
    """part/NAME_ms: milliseconds of each module of the network, by the first one that a layer's name tells.

    "none" has the layers of nodes that lie between modules. A change of layout or type counts where its tensor is used.
    """
    sums = collections.Counter()
    for row in layers:
        found = MODULE.search(row["layer"])
        sums[found[1] if found else "none"] += row["ms"]
    return {f"part/{name}_ms": ms for name, ms in sums.most_common()}


def steps(pieces):
    """Profiles of a language model's step."""
    for key, entry in pieces.items():
        if key.startswith("language/") and "/layers/" in key and "result" in entry:
            _, size, runtime, _, name = key.split("/")
            yield f"language-{size}-{runtime}-{name}-profile", told(entry["result"]), entry


def end_to_end(pieces, system):
    """From JPEG files to boxes, before and after: latency and its stages, throughput, how far the results are apart.

    Where no latency was measured, the accuracy alone.
    """
    made = collections.defaultdict(dict)
    for key, entry in pieces.items():
        if "/endtoend/" in key and "result" in entry:
            runtime, shape, _, name, kind, decoder = key.split("/")
            made[runtime, shape, name, decoder][kind] = entry
    for (runtime, shape, name, decoder), of_kind in made.items():
        entry = of_kind.get("latency") or of_kind.get("stream")
        if not entry:
            continue
        result = lambda key: (pieces.get(key) or {}).get("result") or {}  # noqa: E731
        told = (of_kind[kind]["result"] for kind in ("throughput", "latency", "stream") if kind in of_kind)
        metrics, found = {}, collections.defaultdict(dict, collections.ChainMap(*told))
        for way, timing in found["latency"].items():
            metrics |= {f"{way}_ms_{each}": timing[each] for each in ("p50", "p90", "n")}
            metrics |= {f"{way}_{stage}_ms": ms for stage, ms in found["stages"][way].items()}
        for way, one in found["throughput"].items():
            metrics |= {f"{way}_{each}": number for each, number in one.items()}
        metrics |= {f"engine_before_{kind}_ms_p50": timing["p50"] for kind, timing in found["engine_before"].items()}
        for way, one in found["boxes"].items():
            metrics |= {f"{way}_boxes_{each}": number for each, number in one.items()}
        metrics |= {f"pixels_{each}": number for each, number in found["pixels"].items()}
        for way, outputs in (("before", name), ("after", f"{name}_ends_{decoder}")) if shape == "mini" else ():
            scores = result(f"evaluate/{runtime}-{outputs}")
            metrics |= {f"{way}_{each}": scores[each] for each in SCORED if each in scores}
        metrics |= {each: number for each, number in found.items() if not isinstance(number, dict)}
        built = {}
        for engine in (name, f"{name}_ends"):
            built |= artifacts(pieces, f"{runtime}/{shape}/build/{engine}")
        built |= files(entry["depends"])
        end = "" if decoder == PLAIN else f"-{decoder}"
        yield f"{system}-{shape}-{runtime}-{name}-end-to-end{end}", metrics, entry | {"artifacts": built}
