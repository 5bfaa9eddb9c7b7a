import io
import math

import pytest
from tqdm import tqdm

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


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_lines_end_where_the_terminal_does(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    fields = ["epoch 100/100", "loss 2.345", "train 0.1234", "test 0.1234", "123.4 s"]
    line = _text.fitting([*fields, "x" * 30])
    assert len(line) <= columns
    assert line.startswith("epoch 100/100  loss 2.345  train 0.1234  test 0.1234")
    assert line.endswith("x" * 30) is (columns == 200)
    text = "rescaled to unit power: " + ", ".join(f"conv{n} × {n}.5" for n in range(9))
    wrapped = _text.wrapped(f"{text}\nshort").splitlines()
    assert max(map(len, wrapped)) <= columns
    assert " ".join(map(str.strip, wrapped)) == f"{text} short"
    assert wrapped[-1] == "short"


def test_a_bar_fits_in_a_narrow_terminal():
    file = io.StringIO()
    with tqdm(total=10, file=file, bar_format=_text.BAR, ncols=60) as bar:
        bar.set_description("epoch 100/100")
        bar.set_postfix_str("conv1_project, cluster")
        bar.update(5)
        bar.refresh()
    shown = file.getvalue().split("\r")[-1].rstrip("\n")
    assert len(shown) <= 60
    assert "epoch 100/100:  50 %|" in shown
    assert shown.endswith("conv1_project, cluster")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_text.percent(0.1234), "12.3 %"),
        (_text.percent(0.901, 0), "90 %"),
        (_text.percent(0.55, None), "55 %"),
        (_text.percent(0.9995, None), "99.95 %"),
        (_text.percent(1 - 0.9995, None), "0.05 %"),
        (_text.percent(None), "–"),
        (_text.percent(math.nan), "–"),
        (_text.percent(math.inf), "–"),
        (_text.number(1234567), "1,234,567"),
        (_text.number(None), "–"),
        (_text.number(math.nan), "–"),
        (_text.number(1234.5, 2), "1,234.50"),
        (_text.significant(0.05), "0.0500"),
        (_text.significant(-12.0), "−12.0"),
        (_text.significant(123), "123"),
        (_text.duration(None), "–"),
        (_text.duration(59.94), "59.9 s"),
        (_text.duration(59.96), "1 min 0 s"),
        (_text.duration(125), "2 min 5 s"),
        (_text.duration(3599.6), "1 h 0 min"),
        (_text.general(None), "–"),
        (_text.general(0), "0"),
        (_text.general(0.0001), "0.0001"),
        (_text.general("conv2"), "conv2"),
        (_text.general(True), "yes"),
        (_text.general(False), "no"),
        (_text.general(12345), "12,345"),
        (_text.signed(1.25, 2), "+1.25"),
        (_text.signed(-0.04), "+0.0"),
        (_text.signed(-1234.56), "−1,234.6"),
        (_text.counted(0, "seed"), "0 seeds"),
        (_text.counted(1, "epoch"), "1 epoch"),
        (_text.short_commit("0123456789" * 4), "0123456789"),
        (_text.short_commit("0123456789" * 4 + "+"), "0123456789+"),
        (_text.data_uri(b"abc", "image/png"), "data:image/png;base64,YWJj"),
    ],
)
def test_numbers(text, expected):
    assert text.replace("\N{NO-BREAK SPACE}", " ") == expected
