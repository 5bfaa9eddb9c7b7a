import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from tfsupermask.report.charts import Series, line_chart, mask_histogram


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


class Chart:
    """A chart's elements, and its text."""

    def __init__(self, *series, title="loss"):
        self.text = line_chart(title, series)
        self.svg = ElementTree.fromstring(self.text)

    def all(self, tag, name):
        """Elements of a kind and class."""
        elements = self.svg.iter(tag)
        return [each for each in elements if name in each.get("class", "").split()]

    def texts(self, name):
        return [each.text for each in self.all("text", name)]


@pytest.fixture
def chart():
    return Chart(
        Series("train", ((1, 2.0), (2, 1.0), (3, 0.5))),
        Series("test", ((1, 2.5), (2, 1.5), (3, 1.0)), 1),
    )


def test_points_are_where_the_ticks_say(chart):
    places = {"end": "y", "middle": "x"}
    ticks = {
        (each.get("text-anchor"), each.text): numbers(
            each.get(places[each.get("text-anchor")])
        )[0]
        for each in chart.all("text", "tick")
    }
    line, _ = chart.all("path", "line")
    x1, y1, x2, y2, x3, y3 = numbers(line.get("d"))
    assert [x1, x2, x3] == [ticks["middle", text] for text in "123"]
    height = 3.8  # of the tick's text above its line
    expected = [ticks["end", text] - height for text in ("2.0", "1.0", "0.5")]
    assert [y1, y2, y3] == pytest.approx(expected, abs=0.11)
    assert y1 < y2 < y3


def test_lines_are_named_described_and_differ_in_more_than_colour(chart):
    assert (
        len({line.get("stroke-dasharray") for line in chart.all("path", "line")}) == 2
    )
    assert len({dot.get("d") for dot in chart.all("path", "dot")}) == 2
    assert chart.texts("end") == ["train 0.50", "test 1.00"]
    pointed_at = [element.text for element in chart.svg.iter("title")]
    assert pointed_at[:2] == ["train, 1: 2.00", "train, 2: 1.00"]
    assert chart.svg.get("role") == "img"
    assert chart.svg.get("aria-label") == (
        "loss against epoch: train 2.00 at epoch 1, 0.50 at epoch 3; "
        "test 2.50 at epoch 1, 1.00 at epoch 3."
    )
    _, _, width, height = numbers(chart.svg.get("viewBox"))
    for element in chart.all("text", "end"):
        assert float(element.get("x")) + 7 * len(element.text) <= width
        assert 0 <= float(element.get("y")) <= height


def test_a_line_may_have_a_style_of_its_own():
    points = ((1, 2.0), (2, 1.0))
    chart = Chart(Series("a", points, 4), Series("b", ()), Series("c", points, 4))
    names = [line.get("class") for line in chart.all("path", "line")]
    assert names == ["line s4", "line s4"]
    assert chart.texts("end") == ["a 1.00", "c 1.00"]


def test_values_that_are_not_finite_are_gaps_and_one_has_one_tick():
    nan, inf = math.nan, math.inf
    chart = Chart(Series("a", ((1, 1.0), (2, nan), (3, 3.0), (4, 4.0), (5, inf))))
    (line,) = chart.all("path", "line")
    assert re.sub(r"[^ML]", "", line.get("d")) == "MML"
    assert len(chart.all("path", "dot")) == 3
    ticks = Chart(Series("a", ((1, 0.0),))).all("text", "tick")
    assert [t.text for t in ticks if t.get("text-anchor") == "middle"] == ["1", "epoch"]
    assert line_chart("loss", []) == ""
    assert line_chart("loss", [Series("a", ()), Series("b", ((1, nan),))]) == ""


def test_markers_of_many_points_are_hidden_but_the_last():
    dots = Chart(Series("a", tuple((n, 1 / n) for n in range(1, 101)))).all(
        "path", "dot"
    )
    shown = [dot for dot in dots if "hidden" not in dot.get("class").split()]
    assert [dot.find("title").text for dot in shown] == ["a, 100: 0.01"]
    assert len(dots) == 100


def test_a_point_without_neighbours_is_shown_and_described_once():
    nan = math.nan
    values = [1.0, nan, 3.0, nan, *[4.0] * 40, nan, 5.0]
    chart = Chart(Series("a", tuple(enumerate(values))), Series("b", ((7, 2.0),), 1))
    dots = chart.all("path", "dot")
    shown = [dot for dot in dots if "hidden" not in dot.get("class").split()]
    assert [dot.find("title").text for dot in shown] == [
        "a, 0: 1.0",
        "a, 2: 3.0",
        "a, 45: 5.0",
        "b, 7: 2.0",
    ]
    description = chart.svg.get("aria-label")
    assert description.endswith("a 1.0 at epoch 0, 5.0 at epoch 45; b 2.0 at epoch 7.")


def test_names_are_escaped():
    name = "<script>\"&'"
    chart = Chart(Series(name, ((1, 1.0),)), title=name)
    assert "<script" not in chart.text
    assert chart.texts("end")[0].startswith(name)
    assert chart.svg.get("aria-label").startswith(name)


def test_histogram_shows_kept_within_all():
    histogram = np.array([[1, 4, 2], [0, 4, 1]])
    svg = ElementTree.fromstring(mask_histogram(histogram, "scores <of>"))
    assert svg.get("aria-label") == "scores <of>"
    tops = {
        path.get("class"): numbers(" ".join(re.findall(r"V([\d.]+)h1", path.get("d"))))
        for path in svg.iter("path")
    }
    assert tops == {"all": [22.5, 0, 15], "kept": [30, 0, 22.5]}
    assert svg.get("viewBox") == "0 0 3 30"
