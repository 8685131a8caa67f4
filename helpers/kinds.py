"""What a file of another kind than was asked for holds, told by how it begins, for an error that can name it."""

import contextlib

from helpers.files import PathLike, open_file

PLAN = b"ftrt"  # an engine of TensorRT
BEGINNINGS = {
    PLAN: "an engine of TensorRT",
    b"PK\3\4": "a zip archive",
    b"\x93NUMPY": "one array of NumPy",
    b"\x7fELF": "a compiled library or program",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
ONNX = (b"\x08", range(1, 32), b"\x12\x1a\x22\x2a\x32\x3a\x42\x72\xa2\xca")  # its version, a number, another field
HEAD = 64  # bytes


def kind_of(path: PathLike) -> str:
    """Such as "an empty file", "text" or "an ONNX file"; "" for what is not known or cannot be read."""
    head = b""
    with contextlib.suppress(OSError), open_file(path) as stream:
        head = stream.read(HEAD)
        return next((name for begins, name in BEGINNINGS.items() if head.startswith(begins)), _other(head))
    return ""


def _other(head):
    if not head:
        return "an empty file"
    if head[8:9] == b"{" and head[7:8] == b"\0":
        return "a file of safetensors"
    if len(head) > 2 and head[:1] == ONNX[0] and head[1] in ONNX[1] and head[2] in ONNX[2]:
        return "an ONNX file"
    return "text" if head.isascii() and head.decode().replace("\n", "").replace("\t", "").isprintable() else ""
