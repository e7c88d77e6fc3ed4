"""Quoted cells that stand after a space, as in `1, "a, b"`: the space is none of the cell."""

import re

from made_exp.datasets.table.layout import lay_out


def tightened(content: bytes, delimiter: str, *, header: bool) -> bytes:
    """The text without spaces before quotes that open a cell, if quotes then stand nowhere else.

    That only a few names of the header are written so says nothing.
    """
    mark = re.escape(delimiter.encode())
    spaced = re.compile(rb'%b +"' % mark)
    if delimiter == " " or not delimiter.isascii() or not spaced.search(content):
        return content
    rows = content.find(b"\n") if header else 0
    is_quoted = re.match(rb' *"[^"\n]*"(?:%b *"[^"\n]*")*\r?\n' % mark, content)
    if not is_quoted and not spaced.search(content, rows):
        return content
    between = rb'("[^"]*")|(?:(?<=[\n%b])|\A) +(?=")' % mark
    found = re.sub(between, lambda match: match[1] or b"", content)
    return found if lay_out(found, delimiter).is_regular else content
