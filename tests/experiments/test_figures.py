import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tfsupermask.experiments import EXPERIMENTS, Scope, find
from tfsupermask.experiments.telling.figures import draw, styles

RATES = [10, 30, 50, 70, 90]


def drawn(fake, scope, *label):
    return draw(fake.collect(find(*label), scope))


def lines_of(axis, style):
    """Points of each line of a style, in order."""
    return [line.get_xydata() for line in axis.lines if line.get_linestyle() == style]


def linear(config):
    """Falls with the rate, and differs by seed."""
    return 0.8 - 0.5 * config.prune + 0.01 * config.seed


def test_rates_ours_and_the_other_reading(fake, short):
    fake.finish(find("figure", "5.2"), short, linear)
    axis, *_ = drawn(fake, short, "figure", "5.2").axes
    expected = [80 - 0.5 * rate + 1 for rate in RATES]
    solid, dotted = lines_of(axis, "-"), lines_of(axis, ":")
    assert len(solid) == len(dotted) == 2  # a row each
    np.testing.assert_allclose(solid[0], np.c_[RATES, expected])
    np.testing.assert_allclose(dotted[0], np.c_[RATES, expected[::-1]])
    # A standard deviation is shaded to either side.
    (path,) = axis.collections[0].get_paths()
    at_half = path.vertices[path.vertices[:, 0] == 50, 1]
    assert (at_half.min(), at_half.max()) == pytest.approx((55.0, 57.0))


def test_rates_have_the_thesis_s_points_and_count_what_is_removed_and_kept(fake, short):
    figure = drawn(fake, short, "figure", "5.4")
    bars = figure.axes[2].containers
    points = [bar.lines[0].get_ydata() for bar in bars]
    assert list(points[0]) == [5.7, 64.0, 70.4, 66.5, 19.7]
    assert list(points[1]) == [5.9, 74.8, 76.3, 68.3, 23.5]
    (segments,) = bars[0].lines[2]
    lengths = [np.ptp(segment[:, 1]) for segment in segments.get_segments()]
    np.testing.assert_allclose(lengths, [1.0, 1.2, 1.2, 1.0, 1.2])
    assert bars[0].lines[0].get_markerfacecolor() == "white"
    axis = figure.axes[0]
    assert axis.get_xlabel() == "weights removed / %"
    assert list(axis.get_xticks()) == RATES
    (above,) = axis.child_axes
    assert above.get_xlabel() == "kept / %"
    figure.draw_without_rendering()
    below = [axis.transData.transform((rate, 0))[0] for rate in RATES]
    top = [above.transData.transform((100 - rate, 0))[0] for rate in RATES]
    assert below == pytest.approx(top)


def test_a_missing_run_leaves_a_gap(fake, short):
    fake.finish(
        find("figure", "5.2"),
        short,
        lambda c: None if (c.model, c.prune) == ("conv2", 0.7) else linear(c),
    )
    figure = drawn(fake, short, "figure", "5.2")
    solid, dotted = (lines_of(figure.axes[0], style)[0] for style in "-:")
    assert list(np.isnan(solid[:, 1])) == [False, False, False, True, False]
    assert list(np.isnan(dotted[:, 1])) == [False, True, False, False, False]
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("number", ["5.2", "5.3", "5.6", "8.2"])
def test_nothing_is_drawn_of_nothing(number, fake, short):
    figure = drawn(fake, short, "figure", number)
    assert f"Figure {number}" in figure.get_suptitle()
    figure.savefig(io.BytesIO(), format="png")


def legend_of(figure):
    (legend,) = figure.legends
    return legend.get_title().get_text(), [t.get_text() for t in legend.get_texts()]


def test_one_legend_names_rows_kinds_and_restrictions(fake):
    scope = Scope(seeds=1, epochs=2)
    fake.finish(find("figure", "5.6"), scope, linear)
    assert legend_of(drawn(fake, scope, "figure", "5.6")) == (
        "2 epochs instead of 100; 1 seed",
        [
            "Xavier normal",
            "PatchesInit",
            "Xavier uniform",
            "Kaiming normal",
            "Kaiming uniform",
            "thesis",
            "ours, rate read as kept",
        ],
    )


def test_epochs_curves(fake):
    scope = Scope(epochs=5)
    fake.finish(find("figure", "5.3"), scope, linear)
    accuracy, loss = drawn(fake, scope, "figure", "5.3").axes
    part = 1 - np.exp(-np.arange(1, 6))
    at = 0.8 - 0.25 + 0.01  # the middle seed
    expected = np.c_[np.arange(1, 6), 100 * at * part]
    np.testing.assert_allclose(lines_of(accuracy, "-")[0], expected)
    np.testing.assert_allclose(lines_of(loss, "-")[0][:, 1], 2.3 * (1 - part * at))
    assert (accuracy.get_ylabel(), loss.get_ylabel()) == (
        "top-1 test accuracy / %",
        "training loss / nats",
    )


def test_epochs_shorter_than_the_thesis_have_its_value_at_the_edge(fake):
    figure = drawn(fake, Scope(epochs=5), "figure", "8.1")
    edges = [
        line for axis in figure.axes for line in axis.lines if len(line.get_xdata())
    ]
    assert [line.get_ydata()[0] for line in edges] == [74.7, 80.9, 74.8, 76.1]
    assert all(tuple(line.get_xdata()) == (0.93, 1.0) for line in edges)
    assert legend_of(figure)[1][-1] == "thesis, after 100 epochs"
    assert figure.legends[0].legend_handles[-1].get_marker() == "None"
    # Those of the thesis have its point at 100.
    figure = drawn(fake, Scope(), "figure", "5.5")
    assert figure.legends[0].legend_handles[-1].get_marker() == "o"
    accuracy, loss = figure.axes
    points = [bar.lines[0].get_xydata().tolist() for bar in accuracy.containers]
    assert points == [[[100, 70.4]], [[100, 76.3]]]
    assert not loss.containers


def ink_of(figure):
    """How many pixels of each panel are of the rows' colours."""
    (canvas := FigureCanvasAgg(figure)).draw()
    picture = np.asarray(canvas.buffer_rgba())[::-1, :, :3].astype(int)
    counts = []
    for axis in figure.axes:
        left, bottom, right, top = np.int64(axis.bbox.extents)
        inside = picture[bottom + 2 : top - 2, left + 2 : right - 2]
        counts.append(int((np.ptp(inside, axis=-1) > 60).sum()))
    return counts


@pytest.mark.parametrize("number", ["5.2", "5.3", "8.2"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_one_epoch_is_seen(number, seeds, fake):
    # Digits have no points of the thesis, which would be seen in any case.
    scope = Scope(seeds=seeds, epochs=1, datasets=("digits",))
    fake.finish(find("figure", number), scope, linear)
    figure = drawn(fake, scope, "figure", number)
    assert min(ink_of(figure)) > 20
    assert ("± standard deviation" in legend_of(figure)[1]) is (seeds > 1)
    assert not any(axis.texts for axis in figure.axes)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_rate_without_neighbours_is_seen(seeds, fake):
    scope = Scope(seeds=seeds, epochs=1, datasets=("digits",))
    only = {0.3: 1.0, 0.9: 1.0}
    fake.finish(
        find("figure", "5.2"),
        scope,
        lambda c: linear(c) * only[c.prune] if c.prune in only else None,
    )
    axis, *_ = drawn(fake, scope, "figure", "5.2").axes
    bars = [bar for bar in axis.containers if bar.has_yerr]
    assert len(bars) == (4 if seeds > 1 else 0)  # two rows, two rates
    marked = {
        x
        for line in axis.lines
        if line.get_linestyle() == ":"
        for x in line.get_xdata()[line.get_markevery()]
    }
    assert marked == {10, 70}


def test_a_panel_without_a_run_says_so(fake):
    figure = drawn(fake, Scope(seeds=1, datasets=("digits",)), "figure", "5.3")
    for axis in figure.axes:
        assert [text.get_text() for text in axis.texts] == ["no run is done yet"]


def test_another_dataset_has_no_values_of_the_thesis(fake):
    scope = Scope(seeds=1, epochs=2, datasets=("digits",))
    for number in ("5.2", "5.3"):
        figure = drawn(fake, scope, "figure", number)
        assert "(here on digits)" in figure.get_suptitle()
        assert not any("thesis" in text for text in legend_of(figure)[1])
        assert not any(axis.containers for axis in figure.axes)


def test_patches_are_of_the_images_asked_for(fake):
    scope = Scope(seeds=1, datasets=("digits",))
    figure = drawn(fake, scope, "figure", "4.2")
    assert len(figure.axes) == 12
    (below,) = [
        text.get_text() for text in figure.texts if "Figure 4.2" in text.get_text()
    ]
    assert "here on digits" in below
    assert "digits instead of Tiny-ImageNet" in below


def test_rows_look_different():
    looks = styles(f"row {number}" for number in range(5)).values()
    for aspect in ("colour", "marker", "dashes"):
        assert len({str(getattr(style, aspect)) for style in looks}) == 5


@pytest.mark.parametrize(
    "experiment",
    [each for each in EXPERIMENTS if each.form in ("rates", "images")],
    ids=lambda each: each.slug,
)
def test_rows_with_points_have_colours_and_markers_of_their_own(experiment):
    looks = styles(cell.row for cell in experiment.cells).values()
    for aspect in ("colour", "marker"):
        assert len({getattr(style, aspect) for style in looks}) == len(looks)
