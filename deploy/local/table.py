"""Rows of text in columns, as the commands print them."""

from collections.abc import Iterable


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """
    >>> table([("A", "B"), ("long", "x")])
    ['A     B', 'long  x']
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
