import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from tfsupermask.report.charts import Series, line_chart, score_histogram


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def of_class(svg, tag, name):
    return [
        element for element in svg.iter(tag) if name in element.get("class", "").split()
    ]


@pytest.fixture
def chart():
    return ElementTree.fromstring(
        line_chart(
            "loss",
            [
                Series("train", ((1, 2.0), (2, 1.0), (3, 0.5))),
                Series("test", ((1, 2.5), (2, 1.5), (3, 1.0))),
            ],
        )
    )


def test_points_are_where_the_ticks_say(chart):
    ticks = {
        (element.get("text-anchor"), element.text): numbers(
            element.get("y" if element.get("text-anchor") == "end" else "x")
        )[0]
        for element in of_class(chart, "text", "tick")
    }
    line, _ = of_class(chart, "path", "line")
    x1, y1, x2, y2, x3, y3 = numbers(line.get("d"))
    assert [x1, x2, x3] == [ticks["middle", text] for text in "123"]
    height = 3.8  # of the tick's text above its line
    expected = [ticks["end", text] - height for text in ("2.0", "1.0", "0.5")]
    assert [y1, y2, y3] == pytest.approx(expected, abs=0.11)
    assert y1 < y2 < y3


def test_lines_differ_in_more_than_colour(chart):
    lines = of_class(chart, "path", "line")
    assert len({line.get("stroke-dasharray") for line in lines}) == 2
    dots = of_class(chart, "path", "dot")
    assert len({dot.get("d") for dot in dots}) == 2


def test_each_line_is_named_with_its_last_value(chart):
    named = [element.text for element in of_class(chart, "text", "end")]
    assert named == ["train 0.50", "test 1.00"]
    assert [element.text for element in chart.iter("title")][:2] == [
        "train, 1: 2.00",
        "train, 2: 1.00",
    ]
    assert chart.get("role") == "img"
    assert chart.get("aria-label") == (
        "loss against epoch: train 2.00 at epoch 1, 0.50 at epoch 3; "
        "test 2.50 at epoch 1, 1.00 at epoch 3."
    )


def test_everything_is_inside(chart):
    _, _, width, height = numbers(chart.get("viewBox"))
    for element in of_class(chart, "text", "end"):
        right = float(element.get("x")) + 7 * len(element.text)
        assert right <= width
        assert 0 <= float(element.get("y")) <= height


def test_values_that_are_not_finite_are_gaps():
    points = ((1, 1.0), (2, math.nan), (3, 3.0), (4, 4.0), (5, math.inf))
    svg = ElementTree.fromstring(line_chart("loss", [Series("a", points)]))
    (line,) = of_class(svg, "path", "line")
    assert re.sub(r"[^ML]", "", line.get("d")) == "MML"
    assert len(of_class(svg, "path", "dot")) == 3


def test_nothing_to_draw_is_no_chart():
    assert line_chart("loss", []) == ""
    assert line_chart("loss", [Series("a", ()), Series("b", ((1, math.nan),))]) == ""


def test_one_point_has_one_tick():
    svg = ElementTree.fromstring(line_chart("loss", [Series("a", ((1, 0.0),))]))
    ticks = of_class(svg, "text", "tick")
    assert [t.text for t in ticks if t.get("text-anchor") == "middle"] == ["1", "epoch"]


def test_markers_of_many_points_are_hidden_but_the_last():
    points = tuple((epoch, 1 / epoch) for epoch in range(1, 101))
    svg = ElementTree.fromstring(line_chart("loss", [Series("a", points)]))
    shown = [
        dot
        for dot in of_class(svg, "path", "dot")
        if "hidden" not in dot.get("class").split()
    ]
    assert [dot.find("title").text for dot in shown] == ["a, 100: 0.01"]


def test_names_are_escaped():
    name = "<script>\"&'"
    text = line_chart(name, [Series(name, ((1, 1.0),))], name)
    assert "<script" not in text
    svg = ElementTree.fromstring(text)
    assert of_class(svg, "text", "end")[0].text.startswith(name)
    assert svg.get("aria-label").startswith(name)


def test_histogram_shows_kept_within_all():
    histogram = np.array([[1, 4, 2], [0, 4, 1]])
    svg = ElementTree.fromstring(score_histogram(histogram, "scores <of>"))
    assert svg.get("aria-label") == "scores <of>"
    tops = {
        path.get("class"): numbers(" ".join(re.findall(r"V([\d.]+)h1", path.get("d"))))
        for path in svg.iter("path")
    }
    assert tops == {"all": [22.5, 0, 15], "kept": [30, 0, 22.5]}
    assert svg.get("viewBox") == "0 0 3 30"
