"""Markdown: tables, and blocks of pages that programs write."""

from __future__ import annotations

from pathlib import Path

from tfsupermask._files import write_atomically
from tfsupermask._validation import fail


def table(heads: list[str], rows: list[list[str]], texts: int = 1) -> str:
    """Returns a table: first `texts` columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]

    def line(cells):
        padded = [
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if column < texts else f"{'-' * (width - 1)}:"
        for column, width in enumerate(widths)
    ]
    return "\n".join(map(line, (heads, rule, *rows)))


def rewrite_block(path: Path, name: str, text: str) -> None:
    """Replaces what stands between `<!-- name:begin -->` and `<!-- name:end -->`."""
    page = path.read_text("utf-8")
    begin, end = (f"<!-- {name}:{side} -->" for side in ("begin", "end"))
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise fail(f"The page must have lines {begin} and {end}.", path=str(path))
    page = f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
    write_atomically(path, lambda file: file.write(page.encode()))
