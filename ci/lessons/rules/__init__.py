"""The rules that every lesson keeps, by subject. Each module's `breaches(lesson, course)` yields sentences."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ci.lessons import order, wrong


@dataclass(frozen=True)
class Course:
    """What a lesson is held against: the lessons in reading order, the wrong answers, the day."""

    lessons: tuple
    answers: Path = wrong.FOLDER
    today: date = date(1970, 1, 1)


def course_of(folder=order.FOLDER, answers=wrong.FOLDER, today=None):
    return Course(tuple(order.lessons(folder)), answers, today or date.today())
