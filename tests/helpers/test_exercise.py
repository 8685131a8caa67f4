"""The check of an exercise: whatever the answer does ends in a sentence."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
import torch

from helpers import exercise


def refusal(answer, *arguments, returns=None, use=lambda value: None):
    """What a check says of `answer`; fails if it says nothing."""
    with pytest.raises(exercise.Wrong) as caught, exercise.check(answer, returns) as yours:
        use(yours(*arguments))
    return str(caught.value)


def oops():
    return not_there  # noqa: F821


def key_missing(table):
    return table["speed"]


def test_right_answer_passes_through():
    with exercise.check(np.add, returns=np.zeros(2)) as yours:
        assert yours(np.ones(2), np.ones(2)).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: None, "returns nothing yet"),
        (lambda x: ..., "returns nothing yet"),
        (lambda x: x.no, "AttributeError: 'int' object has no attribute 'no'"),
        (lambda x: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: 1, "TypeError"),
        (3, "a function is expected here, but it is 3 \\(int\\)"),
    ],
)
def test_failing_answers_end_in_a_sentence(answer, said):
    with pytest.raises(exercise.Wrong, match=said), exercise.check(answer) as yours:
        yours(1)


def test_the_line_and_advice_are_named():
    text = refusal(key_missing, {"time": 1})
    assert "key_missing stopped with KeyError: 'speed', in the line `return table[\"speed\"]`" in text
    assert "sorted(...)" in text


def test_exits_and_endless_recursion_are_sentences_and_interrupts_are_not():
    def leaves():
        raise SystemExit(1)

    def endless(n):
        return endless(n + 1)

    def interrupted():
        raise KeyboardInterrupt

    assert "SystemExit" in refusal(leaves)
    assert "RecursionError" in refusal(endless, 0)
    with pytest.raises(KeyboardInterrupt), exercise.check(interrupted) as yours:
        yours()


@pytest.mark.parametrize(
    ("value", "returns", "said"),
    [
        ("2", float, "must return a float; yours is '2' (str)"),
        (True, float, "must return a float; yours is True (bool)"),
        (2.0, int, "must return an int; yours is 2.0 (float)"),
        (7, torch.Tensor, "must return a torch.Tensor; yours is 7 (int)"),
        ((1, 2), list, "must return a list; yours is a tuple with 2 items"),
        (np.zeros((2, 3)), np.zeros((3, 2)), "the shape [3, 2]; yours is a ndarray of shape [2, 3] and type float64"),
        (np.zeros(3), torch.zeros(3), "must return a torch.Tensor; yours is a ndarray of shape [3]"),
    ],
)
def test_type_and_shape_are_demanded(value, returns, said):
    assert said in refusal(lambda: value, returns=returns)


@pytest.mark.parametrize(
    ("value", "returns"), [(1, float), (np.float32(1), float), (np.True_, bool), (np.int64(1), int)]
)
def test_equal_kinds_of_numbers_pass(value, returns):
    with exercise.check(lambda: value, returns=returns) as yours:
        assert yours() == value


def test_a_value_that_the_check_cannot_use_is_described():
    text = refusal(lambda: [1, 2], use=lambda value: value[5])
    assert "returned a list with 2 items, and reading it raised IndexError" in text


def test_a_cell_above_that_has_not_run_is_not_the_answers_fault():
    text = refusal(lambda: 1, use=lambda value: value + made_above)  # noqa: F821
    assert text.startswith("`made_above` is not defined when the check reads") and "run the cells above" in text
    assert "oops stopped with NameError" in refusal(oops)


def test_assertions_keep_their_words_and_lose_their_traceback():
    def wants_three(value):
        assert value == 3, "yours is two: add one"

    assert refusal(lambda: 2, use=wants_three).startswith("yours is two: add one")
    assert exercise.Wrong("add one")._render_traceback_() == ["Not yet: add one"]


def test_arguments_are_copies():
    array, tensor, table = np.ones(2), torch.ones(2), {"a": np.ones(1)}

    def spoils(first, second, third):
        first += 1
        second += 1
        third["a"] += 1
        third["b"] = 2
        return 1

    with exercise.check(spoils) as yours:
        yours(array, tensor, table)
    assert array.tolist() == tensor.tolist() == [1, 1]
    assert table == {"a": np.ones(1)}


def test_what_data_classes_and_named_tuples_hold_is_copied():
    @dataclasses.dataclass(frozen=True)
    class Camera:
        turn: np.ndarray
        name: str

    class Step(NamedTuple):
        feed: np.ndarray

    camera, step = Camera(np.ones(2), "front"), Step(np.ones(2))

    def spoils(first, second):
        first.turn[:] = second.feed[:] = 0
        return first.name

    with exercise.check(spoils) as yours:
        assert yours(camera, step) == "front"
    assert camera.turn.tolist() == step.feed.tolist() == [1, 1]


def test_a_function_of_another_form_is_told_so():
    text = refusal(lambda first: first, 1, 2)
    assert "takes 1 positional argument but 2 were given" in text and "the line that begins with def" in text


def test_what_the_check_lends_to_the_answer_can_refuse():
    def asks_too_often(probe):
        return probe() and probe()

    def probe():
        raise exercise.Wrong("you ask too often")

    assert refusal(asks_too_often, probe) == "you ask too often"
