import math

import pytest

from tfsupermask import _text


def test_tables_are_aligned():
    lines = [("layer", "class", "kept"), ("conv1", "", "864"), ("fc", "Dense", "7")]
    assert _text.aligned(lines, "<<>").splitlines() == [
        "layer  class  kept",
        "conv1          864",
        "fc     Dense     7",
    ]
    # Wide columns are as wide as they must be, and nothing follows a line.
    assert _text.aligned([("", "runs", ""), ("a", "12345", "b")], "<><", (3, 4)) == (
        "      runs\na    12345  b"
    )
    assert _text.aligned([], "") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_text.percent(0.1234), "12.3 %"),
        (_text.percent(None), "–"),
        (_text.percent(math.inf), "–"),
        (_text.number(None), "–"),
        (_text.number(math.nan), "–"),
        (_text.number(1234.5, 2), "1,234.50"),
        (_text.duration(None), "–"),
        (_text.duration(59.94), "59.9 s"),
        (_text.duration(59.96), "1 min 0 s"),
        (_text.duration(3599.6), "1 h 0 min"),
        (_text.general(0), "0"),
        (_text.general(False), "no"),
        (_text.general(12345), "12,345"),
        (_text.signed(-1234.56), "−1,234.6"),
        (_text.counted(0, "seed"), "0 seeds"),
        (_text.short_commit("0123456789" * 4), "0123456789"),
        (_text.short_commit("0123456789" * 4 + "+"), "0123456789+"),
        (_text.data_uri(b"abc", "image/png"), "data:image/png;base64,YWJj"),
    ],
)
def test_numbers(text, expected):
    assert text.replace("\N{NO-BREAK SPACE}", " ") == expected
