"""The rows of the stage `smoothing` as records."""


def records(pieces, system):
    """(name, metrics, entry) of every row."""
    for key, entry in pieces.items():
        if key.startswith("smoothing/") and "result" in entry:
            found = dict(entry["result"])
            made_of = {"artifacts": {found.pop("file"): found.pop("sha256")}}
            end = key.removeprefix("smoothing/").replace("/", "-")
            yield f"{system}-mini-onnxruntime-linears-{end}", found, entry | made_of
