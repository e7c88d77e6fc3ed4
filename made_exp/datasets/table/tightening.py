"""Quoted cells that stand after a space, as in `1, "a, b"`: the space is none of the cell."""

import re

from made_exp.datasets.table.layout import lay_out


def tightened(content: bytes, delimiter: str) -> bytes:
    """The text without spaces before quotes that open a cell, if quotes then stand nowhere else."""
    mark = re.escape(delimiter.encode())
    if delimiter == " " or not delimiter.isascii() or not re.search(rb'%b +"' % mark, content):
        return content
    between = rb'("[^"]*")|(?:(?<=[\n%b])|\A) +(?=")' % mark
    found = re.sub(between, lambda match: match[1] or b"", content)
    return found if lay_out(found, delimiter).is_regular else content
