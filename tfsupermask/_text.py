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
    """Returns the lines of a table, its cells aligned and two spaces apart.

    Args:
        lines: A text for each column; heads and totals are lines like the others.
        sides: A letter for each column, "<" for texts at its left and ">" for numbers
            at its right.
        widths: Least widths of the first columns.

    Example:
        >>> print(aligned([("layer", "kept"), ("conv1", "864")], "<>"))
        layer  kept
        conv1   864
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


def percent(fraction: float | None, digits: int = 1) -> str:
    r"""Returns a fraction in percent; a dash for `None` and NaN.

    Example:
        >>> percent(0.901, 0), percent(float("nan"))
        ('90\xa0%', '–')
    """
    if fraction is None or not math.isfinite(fraction):
        return NONE
    return f"{100 * fraction:.{digits}f}{_SPACE}%"


def number(value: float | None, digits: int = 0) -> str:
    """Returns a number with thousands set apart; a dash for `None` and NaN.

    Example:
        >>> number(1234567), number(0.5, 3)
        ('1,234,567', '0.500')
    """
    if value is None or math.isnan(value):
        return NONE
    return f"{value:,.{digits}f}"


def significant(value: float) -> str:
    """Returns a number with three significant digits.

    Example:
        >>> significant(0.05), significant(-12.0), significant(123)
        ('0.0500', '−12.0', '123')
    """
    return f"{value:#.3g}".rstrip(".").replace("-", "−")


def duration(seconds: float | None) -> str:
    r"""Returns a time in its two largest units; a dash for `None`.

    Example:
        >>> duration(9.94), duration(125), duration(7300)
        ('9.9\xa0s', '2\xa0min 5\xa0s', '2\xa0h 1\xa0min')
    """
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
    """Returns a setting's value as a person writes it.

    Example:
        >>> general(None), general(True), general(0.0001), general("conv2")
        ('–', 'yes', '0.0001', 'conv2')
    """
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def counted(count: int, word: str) -> str:
    """Returns a number and what it counts, in the plural unless it is one.

    Example:
        >>> counted(1, "epoch"), counted(1000, "seed")
        ('1 epoch', '1,000 seeds')
    """
    return f"{count:,} {word}{'s' if count != 1 else ''}"


def signed(value: float, digits: int = 1) -> str:
    """Returns a number with its sign, a real minus.

    Example:
        >>> signed(1.25, 2), signed(-0.04), signed(-3)
        ('+1.25', '+0.0', '−3.0')
    """
    return f"{value:+z,.{digits}f}".replace("-", "−")


def data_uri(content: bytes, kind: str) -> str:
    """Returns a file's content as a URI, of a kind such as "image/png"."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def short_commit(commit: str) -> str:
    """Returns a git commit with ten digits, and its mark of changes if it has one.

    Example:
        >>> short_commit("0123456789" * 4 + "+")
        '0123456789+'
    """
    return f"{commit[:10]}{commit[40:]}"
