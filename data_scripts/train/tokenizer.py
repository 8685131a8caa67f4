"""Train a small tokenizer of Llama's kind on what is asked and answered about a data set's frames.

    python -m data_scripts.train.tokenizer --dataroot data/minidrive --size 768 --out build/tokenizer

Byte-pair encoding: the most frequent pair of neighbors becomes a token, again and again. As in Llama's own tokenizer a
digit is always a token of its own, and no token reaches over a space; a character that has no token becomes its bytes.
The same text gives the same bytes. The folder is Hugging Face's: helpers.llm.tokenizer and transformers read it.
"""

import argparse
import collections
import json
import re
import string
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from helpers import files, processes
from helpers.dataset import open_dataset
from helpers.dataset.questions import questions
from helpers.errors import BadInput
from helpers.llm.tokenizer import SPACE, Tokenizer, table_of

SPECIAL = ("<unk>", "<s>", "</s>")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
CHARACTERS = (SPACE, "\n", *sorted(set(string.printable.strip()) - set(string.whitespace)))
LEAST = len(SPECIAL) + len(BYTES) + len(CHARACTERS)
MOST = 1 << 16
ALONE = re.compile(r"[0-9.]|[^0-9.]+")  # a digit and a point are never merged, what lies between them may be
SETTINGS = {
    **{"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    **{"pad_token": "<unk>", "padding_side": "right", "model_max_length": 2048, "clean_up_tokenization_spaces": False},
}


def train(texts: Iterable[str], size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(token -> id, merges) of `size` tokens: special ones, bytes, characters, then the most frequent pairs.

    Where no pair occurs twice any more, tokens that no text has fill it up. Among pairs that are equally frequent the
    first in order of text wins.

    Raises:
        BadInput: a size that holds not even the characters, or is beyond all reason.
    """
    if not LEAST <= size <= MOST:
        raise BadInput("size", size, f"{LEAST} to {MOST} tokens", "pass another --size")
    counts = collections.Counter(piece for text in texts for piece in _pieces(text))
    words = {piece: list(piece) for piece in counts}
    tokens, merges = [*SPECIAL, *BYTES, *CHARACTERS], []
    while len(tokens) < size:
        pairs: collections.Counter = collections.Counter()
        for piece, parts in words.items():
            for pair in pairwise(parts):
                pairs[pair] += counts[piece]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2:
            break
        merges.append(best)
        if "".join(best) not in tokens:
            tokens.append("".join(best))
        for parts in words.values():
            _merge(parts, best)
    tokens += [f"<unused {k}>" for k in range(size - len(tokens))]
    return {token: number for number, token in enumerate(tokens)}, merges


def _pieces(text):
    """What is merged by itself: a word with the space before it, cut at digits and points; known characters only."""
    words = re.findall(f"{SPACE}?[^{SPACE}\n]+|\n", SPACE + text.replace(" ", SPACE))
    known = set(CHARACTERS)
    return [piece for word in words for piece in ALONE.findall(word) if set(piece) <= known]


def _merge(parts, pair):
    for k in range(len(parts) - 1, 0, -1):
        if k < len(parts) and (parts[k - 1], parts[k]) == pair:
            parts[k - 1 : k + 1] = ["".join(pair)]


def save(out: files.PathLike, vocab: dict[str, int], merges: list[tuple[str, str]]) -> Path:
    """Write the folder, whole or not at all; returns its path."""
    with files.atomic(out, folder=True) as part:
        for name, content in (("tokenizer.json", table_of(vocab, merges)), ("tokenizer_config.json", SETTINGS)):
            (part / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return files.as_path(out)


def main(argv: list[str]) -> int:
    """Train, write, and print how many tokens the text has."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m data_scripts.train.tokenizer", None, __doc__, formatter_class=form)
    parser.add_argument("--dataroot", type=Path, default=Path("data/minidrive"), help="MiniDrive, or with such files")
    parser.add_argument("--version", default="v1.0-mini", help="the folder of its tables (v1.0-mini)")
    parser.add_argument("--split", default="mini_train", help="whose text is read (mini_train)")
    parser.add_argument("--size", type=int, default=768, help="tokens (768)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args(argv)
    files.check_target(options.out, folder=True)
    dataset = open_dataset(options.dataroot, options.version, options.split)
    asked = [question for frame in dataset for question in questions(options.dataroot, frame)]
    texts = [text for question in asked for text in (question.question, question.answer)]
    vocab, merges = train(texts, options.size)
    save(options.out, vocab, merges)
    tokenizer = Tokenizer(vocab, merges)
    ids, letters = sum(len(tokenizer.encode(text)) - 1 for text in texts), sum(map(len, texts))
    print(
        f"{len(vocab)} tokens, {len(merges)} merges; {len(texts)} texts, {letters} characters, {ids} ids: {options.out}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(processes.program(lambda: main(sys.argv[1:])))
