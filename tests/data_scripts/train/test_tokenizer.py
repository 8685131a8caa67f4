"""The tokenizer trained on text: what becomes a token, that it reads back, and that equal text gives equal bytes."""

import collections
import re
from itertools import pairwise

import numpy as np
import pytest

from data_scripts.train import tokenizer as module
from helpers.dataset.questions import planning_answer
from helpers.errors import BadInput
from helpers.llm import tokenizer

PATHS = np.random.default_rng(0).normal(0, 20, (40, 6, 2)).round(2)
TEXTS = [*map(planning_answer, PATHS), *["A bus, 21.0 m ahead, at 5.5 m/s."] * 20, "What is within 30 m of you?"]
SIZE = 420


@pytest.fixture(scope="module")
def trained():
    return module.train(TEXTS, SIZE)


@pytest.fixture(scope="module")
def words(trained, tmp_path_factory):
    return tokenizer.read(module.save(tmp_path_factory.mktemp("tokenizer") / "out", *trained))


def test_text_reads_back_and_is_shorter(words):
    for text in (*TEXTS, "Never seen: QXZ;\n~ ü €", ""):
        ids = words.encode(text)
        assert words.decode(ids) == text and ids[0] == words.bos
    assert len(words.encode(TEXTS[0])) < 0.7 * len(TEXTS[0])
    assert len(words.encode("Here is the planning trajectory [PT, (")) <= 9


def test_digits_and_points_stand_alone(trained, words):
    vocab, merges = trained
    mixed = [token for token in vocab if re.search(r"[0-9.]", token) and len(token) > 1 and token[0] != "<"]
    assert mixed == [] and not any(re.search(r"[0-9.]", "".join(pair)) for pair in merges)
    ids = words.encode("+12.34")[1:]
    assert [words.decode([number]) for number in ids[-5:]] == ["1", "2", ".", "3", "4"]


def test_no_token_reaches_over_a_space(trained):
    assert not any(module.SPACE in token[1:] for token in trained[0])


def test_the_first_merge_is_the_most_frequent_pair(trained):
    spaced = ["▁" + text.replace(" ", "▁") for text in TEXTS]
    pieces = [piece for text in spaced for piece in re.findall(r"▁?[^0-9.▁\n]+|▁", text)]
    pairs = collections.Counter(pair for piece in pieces for pair in pairwise(piece))
    most = max(pairs.values())
    assert trained[1][0] == min(pair for pair, count in pairs.items() if count == most)


def test_equal_text_gives_equal_bytes_in_any_order(trained, tmp_path):
    one, other = (module.save(tmp_path / name, *module.train(texts, SIZE)) for name, texts in
                  (("one", TEXTS), ("other", TEXTS[::-1])))  # fmt: skip
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()
    assert len(trained[0]) == SIZE and sorted(trained[0].values()) == list(range(SIZE))


def test_it_ends_where_nothing_occurs_twice():
    vocab, merges = module.train(["ab ab", "c"], 1000)
    assert len(merges) == 2 and module.SPACE + "ab" in vocab and len(vocab) == 1000
    assert vocab["<unused 0>"] == module.LEAST + 2


@pytest.mark.parametrize("size", [module.LEAST - 1, -1, 1 << 20])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(BadInput, match="size"):
        module.train(TEXTS, size)


def test_the_program_reads_a_data_set(minidrive, tmp_path, capsys):
    words = ["--dataroot", str(minidrive), "--split", "mini_val", "--size", "400", "--out", str(tmp_path / "out")]
    assert module.main(words) == 0
    assert re.match(r"400 tokens, \d+ merges; \d+ texts, \d+ characters, \d+ ids", capsys.readouterr().out)
    assert "pedestrian" in tokenizer.read(tmp_path / "out").decode(
        tokenizer.read(tmp_path / "out").encode("pedestrian")
    )
