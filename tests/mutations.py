"""Damages an input, by chance."""

import struct

_ODD = (0, 1, 127, 128, 255)
_NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)


def mutated(content, rng):
    """`content` (bytes) with one to eight damages."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        if not content:
            break
        rng.choice(_DAMAGES)(content, rng)
    return bytes(content)


def mutated_text(content, rng, special, marks):
    """A text (bytes) of which some fields, between `marks`, are others, or as `mutated`."""
    if rng.random() < 0.3:
        return mutated(content, rng)
    table = bytes.maketrans(marks, marks[:1] * len(marks))
    fields = content.translate(table).split(marks[:1])
    ends = [byte for byte in content if byte in marks]
    for _ in range(rng.choice((1, 2, 5, 30))):
        index = rng.randrange(len(fields))
        known = [rng.choice(special).encode(), rng.choice(fields), mutated(fields[index], rng)]
        fields[index] = rng.choice(known)
        if rng.random() < 0.2 and ends:
            ends[rng.randrange(len(ends))] = rng.choice(marks)
    joined = bytearray(fields[0])
    for end, field in zip(ends, fields[1:], strict=True):
        joined += bytes([end]) + field
    return bytes(joined)


def _flip(content, rng):
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _put(content, rng):
    content[rng.randrange(len(content))] = rng.choice(_ODD)


def _put_number(content, rng):
    at, number = rng.randrange(len(content)), rng.choice(_NUMBERS)
    form = rng.choice(("<q", ">q", "<i", ">i"))
    size = struct.calcsize(form)
    packed = (number & (2 ** (8 * size) - 1)).to_bytes(size, "little" if form[0] == "<" else "big")
    content[at : at + size] = packed[: len(content) - at]


def _cut(content, rng):
    del content[rng.randrange(len(content)) :]


def _leave_out(content, rng):
    at = rng.randrange(len(content))
    del content[at : at + rng.randrange(1, 65)]


def _double(content, rng):
    at = rng.randrange(len(content))
    content[at:at] = content[at : at + rng.randrange(1, 65)] * rng.choice((1, 1, 50))


def _move(content, rng):
    at, to = rng.randrange(len(content)), rng.randrange(len(content))
    content[to : to + 16] = content[at : at + 16]


_DAMAGES = (_flip, _flip, _put, _put_number, _cut, _leave_out, _double, _move)
