"""The rows of the stage `accuracy`: precisions of the vision part and of the language model, with boxes and paths."""

FORMS = ("fp16", "w4a16")  # of the deployed language model
SAMPLED = "_sampled"  # the end of the name of one whose answers are drawn as published; else they are greedy
FAR = "_far"  # the end of the name of a row on a map whose origin is far away
ROWS = {  # the vision part: with which language models
    "pytorch": ("pytorch",),
    "fp32": (*FORMS, *(f"{form}{SAMPLED}" for form in FORMS)),
    "mixed": FORMS,
    "smallest": FORMS,
    "mixed_int8": FORMS,
    "mixed_fp8": FORMS,
    "fp16": FORMS,
    "memory_fp16": FORMS[:1],
    f"fp32{FAR}": FORMS[:1],
    f"mixed{FAR}": FORMS[:1],
    f"smallest{FAR}": FORMS[:1],
    f"memory_fp16{FAR}": FORMS[:1],
}
FILES = (("file", "network"), ("spoken", "spoken_sha256"))  # what a row is made of: names and digests
COLUMNS = ("mAP", "NDS", *(f"L2/mean@{second}s" for second in (1, 2, 3)), "parsed")


def rows(pieces):
    """(vision, language, metrics, entry of the paths, or of the vision part where there are none), in their order."""
    for name, forms in ROWS.items():
        seen = pieces.get(f"accuracy/vision/{name}", {})
        if "result" not in seen:
            continue
        for form in forms if seen["result"]["finite"] else [""]:
            entry = pieces.get(f"accuracy/paths/{name}/{form}", {}) if form else seen
            if "result" in entry:
                metrics = seen["result"] | (entry["result"] if form else {})
                made_of = {metrics[file]: metrics[digest] for file, digest in FILES if file in metrics}
                yield name, form, metrics, entry | {"artifacts": made_of}


def text(pieces):
    """Lines of the table."""
    lines = [f"{'vision':<18}{'language':<15}" + "".join(f"{column:>12}" for column in COLUMNS)]
    for name, form, metrics, _ in rows(pieces):
        found = [f"{metrics[column]:>12.4f}" if column in metrics else f"{'-':>12}" for column in COLUMNS]
        note = "" if metrics["finite"] else f"  {metrics['frames_not_finite']} of {metrics['frames']} frames not finite"
        lines.append(f"{name:<18}{form or '-':<15}" + "".join(found) + note)
    return lines


def records(pieces, system):
    """(name, metrics, entry) of every row, and of the search for the fewest parts in FP32."""
    left_out = {"sha256", *(key for pair in FILES for key in pair)}
    for name, form, metrics, entry in rows(pieces):
        told = {key: value for key, value in metrics.items() if key not in left_out}
        yield f"{system}-mini-cpu-{name}" + f"-{form}" * bool(form), told, entry
    entry = pieces.get("accuracy/parts", {})
    if "result" in entry:
        found = entry["result"]
        told = {key: found[key] for key in ("tolerance", "frames", "error", "error_near")}
        told["kept"] = ", ".join(found["kept"]) or "nothing"
        for each in ("alone", "alone_far", "flops"):
            told |= {f"{each}/{part}": value for part, value in found[each].items()}
        told |= {f"trial_{k:02}/{kept}": error for k, (kept, error) in enumerate(found["trials"], 1)}
        yield f"{system}-mini-cpu-parts", told, entry
