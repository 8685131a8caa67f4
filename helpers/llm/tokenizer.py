"""The tokenizer of a Llama from its tokenizer.json: byte-pair encoding over a whole text, without other packages."""

import heapq
import itertools
import json
from collections.abc import Iterable
from typing import Any

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, read_json
from helpers.llm import config_json

SPACE = "▁"
STEPS: list[dict[str, Any]] = [
    {"type": "Prepend", "prepend": SPACE},
    {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
]
MODEL = {  # what a tokenizer's model may say, its default first
    "type": ("BPE",),
    "dropout": (None, 0.0),
    "unk_token": ("<unk>",),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "fuse_unk": (False, True),
    "byte_fallback": (True,),
    "ignore_merges": (False,),
}
FILLED = 128  # rows of a model that may be there for no token, to make their number a round one
FIX = "give the folder of a Llama whose tokenizer.json transformers 4.40 reads, or encode with its own package"


class Tokenizer:
    """Text to ids and back. What looks like a special token within a text is text.

    Attributes:
        bos, eos, unk: ids of `<s>`, `</s>` and `<unk>`. space: id of the lone "▁".
    """

    def __init__(
        self, vocab: dict[str, int], merges: list[tuple[str, str]], where: PathLike = "tokenizer", fused: bool = True
    ) -> None:
        """fused: whether characters without a token, one behind the other, are unknown together and not each."""
        self.vocab, self.special = vocab, {"<unk>", "<s>", "</s>"}
        if absent := [token for token in (*sorted(self.special), SPACE) if token not in vocab]:
            raise BadInput(where, f"no token {absent[0]!r}", "a Llama's vocabulary", FIX)
        self.unk, self.bos, self.eos, self.space = (vocab[token] for token in ("<unk>", "<s>", "</s>", SPACE))
        self._fused = fused
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._tokens = {number: token for token, number in vocab.items()}

    @typed
    def encode(self, text: str) -> list[int]:
        """The ids of a text behind that of its start. A character that has no token becomes its bytes, or unknown."""
        pieces = self._merged(list(SPACE + text.replace(" ", SPACE))) if text else []
        found = [self.bos]
        for number in (number for piece in pieces for number in self._ids(piece)):
            if number != self.unk or found[-1] != self.unk or not self._fused:
                found.append(number)
        return found

    def _merged(self, pieces):
        """The pieces with every merge done: of the least rank first, of those of one rank the leftmost."""
        following, before = list(range(1, len(pieces) + 1)), list(range(-1, len(pieces) - 1))
        waiting = [
            (self._ranks[pair], k, pair) for k, pair in enumerate(itertools.pairwise(pieces)) if pair in self._ranks
        ]
        heapq.heapify(waiting)
        while waiting:
            _, left, pair = heapq.heappop(waiting)
            right = following[left]
            if right == len(pieces) or (pieces[left], pieces[right]) != pair:  # one of them was merged meanwhile
                continue
            pieces[left], pieces[right], following[left] = "".join(pair), "", following[right]
            if following[left] < len(pieces):
                before[following[left]] = left
            for one, other in ((before[left], left), (left, following[left])):
                if one >= 0 and other < len(pieces) and (pair := (pieces[one], pieces[other])) in self._ranks:
                    heapq.heappush(waiting, (self._ranks[pair], one, pair))
        return [piece for piece in pieces if piece]

    @typed
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids without special tokens; ids that are no token are left out."""
        data = b"".join(_bytes(token) for token in (self._tokens.get(int(number), "") for number in ids)
                        if token not in self.special)  # fmt: skip
        return data.decode("utf-8", "replace").replace(SPACE, " ").removeprefix(" ")

    def _ids(self, piece):
        if piece in self.vocab:
            return [self.vocab[piece]]
        data = [self.vocab.get(f"<0x{byte:02X}>", self.unk) for byte in piece.encode("utf-8", "replace")]
        return [self.unk] if self.unk in data else data


def _bytes(token):
    is_byte = len(token) == 6 and token.startswith("<0x") and token.endswith(">")
    return bytes([int(token[3:5], 16)]) if is_byte else token.encode()


@typed
def read(folder: PathLike) -> Tokenizer:
    """The tokenizer of a folder of Hugging Face.

    Raises:
        BadInput: no tokenizer.json, a damaged one, one that is not Llama's kind, or that of another model than
            config.json beside it tells of.
    """
    path = as_path(folder) / "tokenizer.json"
    table = read_json(path, "a tokenizer in Hugging Face's form", FIX)
    try:
        model, steps = table["model"], table["normalizer"]["normalizers"]
        merges = [_pair(entry) for entry in model["merges"]]
        vocab = {str(token): int(number) for token, number in model["vocab"].items()}
        begun = [step["SpecialToken"]["id"] for step in table["post_processor"]["single"] if "SpecialToken" in step]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(path, f"{type(error).__name__}: {error}", "a Llama's tokenizer", FIX) from error
    other = {key: model.get(key) for key, usual in MODEL.items() if model.get(key, usual[0]) not in usual}
    other |= {"normalizer": steps} if steps != STEPS else {}
    other |= {"post_processor": begun} if begun != ["<s>"] else {}
    other |= {"pre_tokenizer": table["pre_tokenizer"]} if table.get("pre_tokenizer") else {}
    if other:
        raise BadInput(path, f"{json.dumps(other):.200}", "BPE of a text whose spaces are replaced, behind <s>", FIX)
    words = Tokenizer(vocab, merges, path, model.get("fuse_unk", False))
    numbers = sorted(vocab.values())
    if numbers != list(range(len(numbers))) or not all(type(each) is int for each in model["vocab"].values()):
        raise BadInput(path, "ids that are no numbers from 0, each once", f"0 to {len(numbers) - 1}", FIX)
    _check_model(path, len(numbers))
    return words


def _check_model(path, tokens):
    """BadInput if the model beside a tokenizer has rows for fewer tokens, or for far more: it is another one's."""
    about = path.with_name("config.json")
    tables = config_json.read(about) if about.is_file() else ()
    rows = next((table["vocab_size"] for table in tables if table.get("vocab_size") is not None), None)
    if isinstance(rows, int) and not 0 <= rows - tokens <= FILLED:
        expected = f"up to {rows}, of which {about.name} says that the model has rows"
        raise BadInput(path, f"{tokens} tokens", expected, "take the tokenizer of this model")


def _pair(entry: Any) -> tuple[str, str]:
    """A merge, which is "a b" or ["a", "b"]."""
    left, right = entry.split(" ") if isinstance(entry, str) else entry
    return left, right


def table_of(vocab: dict[str, int], merges: list[tuple[str, str]]) -> dict[str, Any]:
    """The content of a tokenizer.json that `read` and transformers take."""
    special = [
        {"id": vocab[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for token in ("<unk>", "<s>", "</s>")
    ]  # fmt: skip
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [dict(step) for step in STEPS],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [vocab["<s>"]], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": vocab,
            "merges": [" ".join(pair) for pair in merges],
        },
    }
