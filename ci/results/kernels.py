"""The tables of docs/results.md about single operators: our kernels, and GridSample."""

from ci.results.recorded import day, figure, markdown, ratio, rounded

OPERATORS = {
    "camera attention, FP32": "tiny_sca_fp32", "camera attention, half2": "tiny_sca_fp16_packed",
    "temporal attention, FP32": "tiny_tsa_fp32", "temporal attention, half2": "tiny_tsa_fp16_packed",
    "decoder attention, FP32": "tiny_decoder_fp32", "decoder attention, half2": "tiny_decoder_fp16_packed",
    "rotation of the map, FP32": "tiny_rotate_fp32", "rotation of the map, FP16": "tiny_rotate_fp16",
    "FB-OCC, camera attention, FP32": "fb_occ_cross_fp32",
    "FB-OCC, camera attention, half2": "fb_occ_cross_fp16_packed",
    "FB-OCC, lift (BEVPoolV2), FP32": "fb_occ_lift_fp32", "FB-OCC, lift (BEVPoolV2), FP16": "fb_occ_lift_fp16",
    "FB-OCC, lift (BEVPoolV2), half2": "fb_occ_lift_fp16_packed",
    "FB-OCC, history (GridSample 3-D), FP32": "fb_occ_history_fp32",
    "FB-OCC, history (GridSample 3-D), FP16": "fb_occ_history_fp16",
    "FB-OCC, history (GridSample 3-D), half2": "fb_occ_history_fp16_packed",
    "FB-OCC, mixture of levels, FP32": "fb_occ_mix_fp32", "FB-OCC, mixture of levels, FP16": "fb_occ_mix_fp16",
}  # fmt: skip
MIXTURE = {  # the form: what it is compared with, what the row is called
    "fp32_linear": ("fp32", "FP32, row-major"), "fp16_linear": ("fp16", "FP16, row-major"),
    "fp16_dhwc8": ("fp16", "FP16, channels innermost, shares row-major"),
    "fp16_dhwc8_shares": ("fp16", "FP16, all channels innermost"),
}  # fmt: skip
SHARES = {"memory": "memory, %", "l2_cache": "L2, %", "l1_cache": "L1, %", "multiprocessors": "multiprocessors, %",
          "warps": "warps that fit, %"}  # fmt: skip
TOOLS = ("memcheck", "racecheck", "initcheck")
OF_CALLS = ("kernel_us", "reference_us", "straightforward_us", "share_of_copy", "times_written")
FORMS = {
    "native_fp32": "GridSample, FP32", "native_fp16": "GridSample, FP16 allowed", "rewrite_fp32": "rewritten, FP32",
    "rewrite_fp16": "rewritten, FP16 allowed",
}  # fmt: skip


def gridsample(results):
    """How many cases of GridSample agree with ONNX Runtime, as TensorRT's own layer and rewritten."""
    record = results.latest("gridsample-tensorrt")
    rows = [
        {"": label}
        | {verdict: figure(record, f"{form}_{verdict}", 0) for verdict in ("agrees", "wrong", "refused")}
        | {"record": results.link(record)}
        for form, label in FORMS.items()
    ]
    return markdown(rows)


def gridsample_cases(results):
    """The largest error of every case and form."""
    metrics = results.latest("gridsample-tensorrt").metrics
    cases = dict.fromkeys(key.rpartition("/")[0] for key in metrics if "/" in key)
    return markdown([{"": case} | {label: _error(metrics[f"{case}/{form}"]) for form, label in FORMS.items()}
                     for case in sorted(cases)])  # fmt: skip


def _error(value):
    return value if isinstance(value, str) else f"{value:.1e}" if value else "0"


def operators(results):
    """Time of a call of `helpers.ops` on the GPU, and its ratios to other ways and to what memory allows."""
    record = results.latest("operators-pytorch")
    rows = []
    recorded = {label: call for label, call in OPERATORS.items() if f"{call}_kernel_us" in record.metrics}
    for label, call in recorded.items():
        found = {name: record.metrics[f"{call}_{name}"] for name in OF_CALLS}
        kernel = found["kernel_us"]
        rows.append({
            "": label,
            "kernel, us": rounded(kernel, 1),
            "PyTorch / kernel": ratio(found["reference_us"] / kernel),
            "straightforward / kernel": ratio(found["straightforward_us"] / kernel),
            "of the copy rate": f"{found['share_of_copy']:.0%}",
            "times writing the output": ratio(found["times_written"]),
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows)


def limits(results):
    """What Nsight Compute says of the kernels of `OPERATORS`, percent of each peak; a sentence without a record."""
    found = [record for record in results.files.values() if record.name == "operators-profiler"]
    if not found:
        return "No profile of the kernels has a record."
    rows, record = [], max(found, key=day)
    for label, call in OPERATORS.items():
        if f"{call}_limit" in record.metrics:
            shares = {title: figure(record, f"{call}_{key}_percent", 0) for key, title in SHARES.items()}
            limit = record.metrics[f"{call}_limit"]
            rows.append({"": label, **shares, "what limits it": limit, "record": results.link(record)})
    return markdown(rows)


def sanitized(results):
    """What compute-sanitizer found last, operator by operator and tool by tool."""
    latest = {}  # (operator, tool): record
    for record in sorted((one for one in results.files.values() if one.name == "operators-sanitizer"), key=day):
        names = [key.removesuffix("_errors") for key in record.metrics if key.endswith("_errors")]
        latest |= {tuple(reversed(name.split("/"))): record for name in names}
    rows = []
    for operator in dict.fromkeys(operator for operator, _ in latest):
        links = dict.fromkeys(results.link(latest[operator, tool]) for tool in TOOLS if (operator, tool) in latest)
        cells = {tool: _found(latest.get((operator, tool)), f"{tool}/{operator}") for tool in TOOLS}
        rows.append({"": f"`{operator}`", **cells, "record": ", ".join(links)})
    return markdown(rows) if rows else "No run under compute-sanitizer has a record."


def _found(record, name):
    if record is None:
        return ""
    errors = record.metrics[f"{name}_errors"]
    if isinstance(errors, str):
        return errors
    wrong = record.metrics[f"{name}_wrong"]
    said = f"{errors} errors in {record.metrics[f'{name}_cases']} cases"
    return said + f", {wrong} of them wrong" * bool(wrong)


def mixture(results):
    """Times of FB-OCC's mixture of levels at the published size, form by form."""
    record, rows = results.latest("operators-mix-levels"), []
    for form, (base, label) in MIXTURE.items():
        found, kernel = record.metrics, record.metrics[f"fb_occ_mix_{form}_kernel_us"]
        rows.append({
            "": label,
            "kernel, us": rounded(kernel, 1),
            "PyTorch / kernel": ratio(found[f"fb_occ_mix_{base}_reference_us"] / kernel),
            "straightforward / kernel": ratio(found[f"fb_occ_mix_{base}_straightforward_us"] / kernel),
            "of the copy rate": f"{found[f'fb_occ_mix_{form}_share_of_copy']:.0%}",
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows)
