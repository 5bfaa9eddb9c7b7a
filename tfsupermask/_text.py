"""Numbers and tables as text for people."""

from __future__ import annotations

import base64
import math
import shutil
import textwrap
from collections.abc import Iterable, Sequence

NONE = "–"
BAR = "{desc}{percentage:3.0f} %|{bar}| {remaining}{postfix}"  # fits in 60 columns
_SPACE = "\N{NO-BREAK SPACE}"


def aligned(
    lines: Iterable[Sequence[str]], sides: str, widths: Sequence[int] = ()
) -> str:
    """Returns a table of texts, heads among them, with two spaces between columns.

    `sides` has "<" or ">" for each column, `widths` the least widths of the first ones.
    """
    columns = list(zip(*lines, strict=True))
    least = [*widths, *[0] * (len(columns) - len(widths))]
    padded = []
    for cells, side, width in zip(columns, sides, least, strict=True):
        width = max(width, *map(len, cells))
        padded.append([f"{cell:{side}{width}}" for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))


def wrapped(text: str) -> str:
    """Returns text with its lines broken where the terminal ends, at 80 without one."""
    width = shutil.get_terminal_size().columns
    fill = textwrap.TextWrapper(
        width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    ).fill
    return "\n".join(map(fill, text.splitlines()))


def fitting(fields: Sequence[str]) -> str:
    """Returns as many of the first fields as a line of the terminal holds."""
    line, *others = fields
    for field in others:
        if len(line) + 2 + len(field) > shutil.get_terminal_size().columns:
            break
        line += f"  {field}"
    return line


def percent(fraction: float | None, digits: int | None = 1) -> str:
    """Returns a fraction in percent; a dash for `None` and NaN.

    With `None` digits it has as many as it needs, four in all at most.
    """
    if fraction is None or not math.isfinite(fraction):
        return NONE
    form = ".4g" if digits is None else f".{digits}f"
    return f"{100 * fraction:{form}}{_SPACE}%"


def number(value: float | None, digits: int = 0) -> str:
    """Returns a number with thousands set apart; a dash for `None` and NaN."""
    if value is None or math.isnan(value):
        return NONE
    return f"{value:,.{digits}f}"


def significant(value: float) -> str:
    """Returns a number with three significant digits."""
    return f"{value:#.3g}".rstrip(".").replace("-", "−")


def duration(seconds: float | None) -> str:
    """Returns a time in its two largest units; a dash for `None`."""
    if seconds is None:
        return NONE
    if seconds < 59.95:
        return f"{seconds:.1f}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{_SPACE}min {rest}{_SPACE}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{_SPACE}h {minutes}{_SPACE}min"


def general(value: object) -> str:
    """Returns a setting's value as a person writes it."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def counted(count: int, word: str) -> str:
    """Returns a number and what it counts, in the plural unless it is one."""
    return f"{count:,} {word}{'s' if count != 1 else ''}"


def signed(value: float, digits: int = 1) -> str:
    """Returns a number with its sign, a real minus."""
    return f"{value:+z,.{digits}f}".replace("-", "−")


def data_uri(content: bytes, kind: str) -> str:
    """Returns a file's content as a URI, of a kind such as "image/png"."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def short_commit(commit: str) -> str:
    """Returns a git commit with ten digits, and its mark of changes if it has one."""
    return f"{commit[:10]}{commit[40:]}"
