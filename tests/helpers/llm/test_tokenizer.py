"""Byte-pair encoding of a whole text, as a Llama's tokenizer does it."""

import itertools
import json
import time

import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.llm.tokenizer import SPACE, Tokenizer, read, table_of

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
MERGES = [("a", "b"), ("ab", "c"), (SPACE, "ab"), ("b", "c"), (SPACE, SPACE)]
VOCAB = {
    token: number
    for number, token in enumerate(
        ["<unk>", "<s>", "</s>", *BYTES, SPACE, *"abc", *(left + right for left, right in MERGES)]
    )
}


def words(tokens):
    return [VOCAB[token] for token in tokens]


@pytest.fixture
def tokenizer():
    return Tokenizer(VOCAB, MERGES)


def test_the_earliest_merge_goes_first(tokenizer):
    """Of a, b, c the pair (a, b) comes before (b, c), and (ab, c) before (space, ab)."""
    assert tokenizer.encode("abc bc") == words(["<s>", SPACE, "abc", SPACE, "bc"])
    assert tokenizer.encode("ab") == words(["<s>", SPACE + "ab"])
    assert tokenizer.encode("a  a") == words(["<s>", SPACE, "a", SPACE * 2, "a"])
    assert tokenizer.encode("") == words(["<s>"])


def test_what_has_no_token_becomes_its_bytes_and_comes_back(tokenizer):
    ids = tokenizer.encode("é ab\n</s>")
    assert ids[2:4] == words(["<0xC3>", "<0xA9>"]) and VOCAB["</s>"] not in ids
    assert tokenizer.decode(ids) == "é ab\n</s>"


def test_without_bytes_it_is_unknown():
    few = Tokenizer({token: number for number, token in enumerate(["<unk>", "<s>", "</s>", SPACE, "a"])}, [])
    assert few.encode("az") == [1, 3, 4, 0] and few.encode("aéz日a") == [1, 3, 4, 0, 4]
    each = Tokenizer(few.vocab, [], fused=False)
    assert each.encode("aéz日a") == [1, 3, 4, 0, 0, 0, 4]  # tokenizers 0.22.2 gives the same
    assert few.decode([1, 3, 4, 77, 2]) == "a"


def test_a_file_is_read_in_both_ways_to_write_a_merge(tokenizer, tmp_path):
    table = table_of(VOCAB, MERGES)
    for merges in (table["model"]["merges"], [list(pair) for pair in MERGES]):
        table["model"]["merges"] = merges
        (tmp_path / "tokenizer.json").write_text(json.dumps(table))
        assert read(tmp_path).encode("abc ab é") == tokenizer.encode("abc ab é")


@pytest.mark.parametrize(("rows", "good"), [(0, True), (64, True), (-1, False), (1000, False)])
def test_the_tokenizer_of_another_model_is_refused(tmp_path, rows, good):
    """Its ids would be those of other words, and the answers as fluent as ever."""
    (tmp_path / "tokenizer.json").write_text(json.dumps(table_of(VOCAB, MERGES)))
    sizes = {"vocab_size": len(VOCAB) + rows}
    for table in (sizes, {"text_config": sizes}, {"llm_config": sizes}):
        (tmp_path / "config.json").write_text(json.dumps(table))
        if good:
            assert read(tmp_path).vocab == VOCAB
        else:
            with pytest.raises(BadInput, match=rf"found: +{len(VOCAB)} tokens"):
                read(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table["model"].update(type="WordPiece"), "WordPiece"),
        (lambda table: table.update(pre_tokenizer={"type": "ByteLevel"}), "ByteLevel"),
        (lambda table: table.update(normalizer=None), "TypeError"),
        (lambda table: table["model"].pop("merges"), "merges"),
        (lambda table: table["model"]["vocab"].pop("</s>"), "no token '</s>'"),
        (lambda table: table["model"].update(merges=["a b c"]), "ValueError"),
        (lambda table: table["model"].update(dropout=0.5), "dropout"),
        (lambda table: table["model"].update(unk_token="a"), "unk_token"),
        (lambda table: table["model"].update(continuing_subword_prefix="##"), "##"),
        (lambda table: table["model"].update(ignore_merges=True), "ignore_merges"),
        (lambda table: table["normalizer"]["normalizers"][0].update(prepend="x"), "normalizer"),
        (lambda table: table["normalizer"]["normalizers"][1].update(pattern={"Regex": " +"}), "normalizer"),
        (lambda table: table["post_processor"]["single"].reverse() or table["post_processor"]["single"].pop(), "post_"),
        (lambda table: table["model"]["vocab"].update(a=5), "each once"),
        (lambda table: table["model"]["vocab"].update(zz=-3), "each once"),
        (lambda table: table["model"]["vocab"].update(zz=len(VOCAB) + 0.5), "each once"),
    ],
)
def test_another_tokenizer_is_refused_by_name(tmp_path, change, said):
    table = table_of(dict(VOCAB), MERGES)
    change(table)
    (tmp_path / "tokenizer.json").write_text(json.dumps(table))
    with pytest.raises(BadInput, match=said):
        read(tmp_path)


def merged_one_by_one(pieces, ranks):
    """The rule as it is said: the pair of the least rank, the leftmost of them, again and again."""
    while True:
        found = [(ranks[pair], k) for k, pair in enumerate(itertools.pairwise(pieces)) if pair in ranks]
        if not found:
            return pieces
        _, first = min(found)
        pieces[first : first + 2] = [pieces[first] + pieces[first + 1]]


def test_merges_are_done_in_the_order_of_their_ranks():
    random = np.random.default_rng(0)
    for _ in range(200):
        parts, merges = ["a", "b", "c", SPACE], []
        for _ in range(6):
            merges.append((str(random.choice(parts)), str(random.choice(parts))))
            parts.append("".join(merges[-1]))
        merges = list(dict.fromkeys(merges))
        words = Tokenizer({"<unk>": 0, "<s>": 1, "</s>": 2, SPACE: 3}, merges)
        text = "".join(random.choice(["a", "b", "c"], 30))
        expected = merged_one_by_one(list(text), {pair: rank for rank, pair in enumerate(merges)})
        assert words._merged(list(text)) == expected


def test_a_long_text_is_encoded_in_time():
    words, started = Tokenizer(VOCAB, [("a", "a")]), time.process_time()
    assert len(words.encode("ab" * 50_000)) > 50_000
    assert time.process_time() - started < 10
