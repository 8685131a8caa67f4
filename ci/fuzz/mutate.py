"""Damage: to bytes, to protobuf messages by their fields, to JSON by its values."""

import copy
from random import Random
from typing import Any

from google.protobuf.message import Message

NUMBERS = (0, 1, -1, 2, 7, 255, 2**15, 2**31 - 1, -(2**31), 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
REALS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, -1e38, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", " ", "x", "no_such", "../x", "/etc/passwd", "$a$", "\x1b[31m", "é", "a" * 5000, "\0", "1e999", "-1")


def octets(data: bytes, random: Random) -> bytes:
    """`data` with bytes flipped, cut, repeated, or overwritten."""
    made = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 5, 20))):
        at, size = random.randrange(len(made) or 1), random.choice((1, 1, 2, 4, 8, 64))
        kind = random.choice(("flip", "flip", "set", "cut", "repeat", "remove", "number"))
        if not made or kind == "cut":
            del made[at:]
        elif kind == "flip":
            made[at] ^= 1 << random.randrange(8)
        elif kind == "set":
            made[at : at + size] = random.randbytes(size)
        elif kind == "repeat":
            made[at:at] = made[at : at + size]
        elif kind == "remove":
            del made[at : at + size]
        else:
            width = random.choice((2, 4, 8))
            made[at : at + width] = (random.choice(NUMBERS) % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(made)


def message(whole: Message, random: Random) -> Message:
    """A copy of a protobuf message in which up to five fields, at any depth, hold something else."""
    made = type(whole)()
    made.CopyFrom(whole)
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        places = [(one, field) for one in _messages(made) for field, _ in one.ListFields()]
        texts = [text for one in _messages(made) for text in _texts(one)]
        if places:
            _change(*random.choice(places), texts, random)
    return made


def _messages(one):
    """`one` and every message in it."""
    yield one
    for field, value in one.ListFields():
        if field.message_type:
            for inner in value if field.is_repeated else [value]:
                yield from _messages(inner)


def _texts(one):
    for field, value in one.ListFields():
        if field.type == field.TYPE_STRING:
            yield from value if field.is_repeated else [value]


def _change(one, field, texts, random):
    """Change a field: gone, repeated, in another order, or with another value."""
    name = field.name
    if random.random() < 0.15:
        one.ClearField(name)
    elif field.is_repeated:
        _change_list(getattr(one, name), field, texts, random)
    elif field.message_type is None:
        setattr(one, name, _value(field, getattr(one, name), texts, random))


def _change_list(values, field, texts, random):
    at = random.randrange(len(values))
    kind = random.choice(("remove", "repeat", "swap", "value", "value"))
    if kind == "remove":
        del values[at]
    elif field.message_type:
        one = copy.deepcopy(values[at])
        if kind == "repeat":
            values.append(one)
        else:
            other = random.randrange(len(values))
            values[at].CopyFrom(copy.deepcopy(values[other]))
            values[other].CopyFrom(one)
    elif kind == "repeat":
        values.extend([values[at]] * random.choice((1, 2, 100)))
    else:
        values[at] = _value(field, values[at], texts, random)


def _value(field, before, texts, random):
    """Another value for a field that is no message."""
    if field.type == field.TYPE_STRING:
        return random.choice([*texts, *texts, *TEXTS])
    if field.type == field.TYPE_BYTES:
        return _weights(before, random)
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return random.choice(REALS)
    if field.enum_type:
        return random.choice([value.number for value in field.enum_type.values])
    bits = 31 if field.type == field.TYPE_INT32 else 63
    number = random.choice((*NUMBERS, before + 1, before - 1, random.randrange(30)))
    return max(min(number, 2**bits - 1), 0 if field.type == field.TYPE_UINT64 else -(2**bits))


def _weights(data, random):
    """The bytes of a tensor, damaged, cut, or with a NaN or an infinity among them."""
    kind = random.choice(("damage", "cut", "longer", "nan", "infinity"))
    if kind in ("nan", "infinity") and len(data) >= 4:
        at = random.randrange(len(data) // 4) * 4
        return data[:at] + (b"\0\0\xc0\x7f" if kind == "nan" else b"\0\0\x80\x7f") + data[at + 4 :]
    if kind == "cut":
        return data[: random.randrange(len(data) + 1)]
    return data + b"\0" * 4 if kind == "longer" else octets(data, random)


def tree(value: Any, random: Random) -> Any:
    """A copy of what JSON holds, in which one to three values, at any depth, are others."""
    made = {"": copy.deepcopy(value)}
    for _ in range(random.choice((1, 1, 2, 3))):
        holder, key = random.choice(list(_places(made)))
        kind = random.choice(("value", "value", "value", "remove", "swap", "wrap"))
        if kind == "remove" and holder is not made:
            del holder[key]
        elif kind == "swap":
            other, there = random.choice(list(_places(made)))
            holder[key] = copy.deepcopy(other[there])
        else:
            holder[key] = [holder[key]] if kind == "wrap" else _json_value(holder[key], random)
    return made[""]


def _places(holder):
    """Every (dict or list, key) of a tree; a long list gives its first and its last entries."""
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    for key in keys if len(keys) < 20 else keys[:5] + keys[-5:]:
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])


def _json_value(before, random):
    if isinstance(before, str) and random.random() < 0.3:
        return before[:-1] or "x"
    return random.choice((None, True, [], {}, [[]], *NUMBERS, *REALS, *TEXTS, 10**400, "\ud800"))
