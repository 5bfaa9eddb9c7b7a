import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsupermask import _core


def as_boxes(rows):
    return np.array(rows, np.int32).reshape(-1, 4)


def filter_boxes(boxes, *size, **options):
    """The boxes of a single image."""
    kept, offsets = _core.filter_boxes(
        boxes, np.array([0, len(boxes)]), *size, **options
    )
    assert offsets.tolist() == [0, len(kept)]
    return kept


def oracle(boxes, height, width, max_area_fraction, min_height, min_width):
    kept = []
    for top, left, box_height, box_width in boxes.tolist():
        bottom, right = min(top + box_height, height), min(left + box_width, width)
        top, left = max(top, 0), max(left, 0)
        clipped = (top, left, bottom - top, right - left)
        if clipped[2] < max(min_height, 1) or clipped[3] < max(min_width, 1):
            continue
        if clipped[2] * clipped[3] / (height * width) > max_area_fraction:
            continue
        if clipped not in kept:
            kept.append(clipped)
    return as_boxes(kept)


coordinate = st.integers(-4, 14)


@settings(max_examples=200, deadline=None)
@given(
    boxes=st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate)),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    fraction=st.sampled_from([0.1, 0.29, 0.5, 1.0]),
    smallest=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_agrees_with_the_oracle(boxes, size, fraction, smallest):
    boxes = as_boxes(boxes)
    result = filter_boxes(
        boxes,
        *size,
        max_area_fraction=fraction,
        min_height=smallest[0],
        min_width=smallest[1],
    )
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, oracle(boxes, *size, fraction, *smallest))


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        pytest.param([(-2, -3, 5, 5)], [(0, 0, 3, 2)], id="clipped"),
        pytest.param([(0, 0, 5, 10)], [(0, 0, 5, 10)], id="exactly half stays"),
        pytest.param([(0, 0, 6, 9)], [], id="more than half"),
        pytest.param(
            [(-1, 0, 3, 2), (0, 0, 2, 2)], [(0, 0, 2, 2)], id="alike once clipped"
        ),
        pytest.param(
            [(0, 0, 2**31 - 1, 3), (1, 1, 2**31 - 1, 2**31 - 1)],
            [(0, 0, 10, 3)],
            id="no overflow",
        ),
    ],
)
def test_boxes_of_a_10_by_10_image(boxes, expected):
    given = as_boxes(boxes)
    np.testing.assert_array_equal(filter_boxes(given, 10, 10), as_boxes(expected))
    np.testing.assert_array_equal(given, as_boxes(boxes))


@pytest.mark.parametrize("area", range(1, 101))
def test_a_box_of_exactly_the_limit_stays(area):
    box = as_boxes([(0, 0, 1, area)])
    assert len(filter_boxes(box, 1, 100, max_area_fraction=area / 100)) == 1
    if area > 1:
        below = (area - 1) / 100
        assert len(filter_boxes(box, 1, 100, max_area_fraction=below)) == 0


def test_takes_boxes_that_are_not_contiguous():
    boxes = as_boxes([(0, 0, 2, 2), (1, 1, 2, 2), (3, 3, 2, 2)])
    np.testing.assert_array_equal(filter_boxes(boxes[::2], 10, 10), boxes[::2])


@pytest.mark.parametrize("fraction", [1, np.float32(0.5), np.float64(0.5)])
def test_takes_any_kind_of_number(fraction):
    box = as_boxes([(0, 0, 5, 10)])
    result = filter_boxes(box, np.int64(10), np.uint8(10), max_area_fraction=fraction)
    np.testing.assert_array_equal(result, box)


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("num_images", [0, 1, 100])
def test_many_images_are_filtered_one_by_one(num_images, num_threads):
    rng = np.random.default_rng(0)
    images = [
        rng.integers(-2, 9, (count, 4)).astype(np.int32)
        for count in rng.integers(0, 30, num_images)
    ]
    boxes, offsets = _core.filter_boxes(
        np.concatenate([as_boxes([]), *images]),
        np.cumsum([0, *map(len, images)]),
        *(8, 9),
        min_height=2,
        num_threads=num_threads,
    )
    assert len(offsets) == num_images + 1
    for i, image in enumerate(images):
        expected = oracle(image, 8, 9, 0.5, 2, 1)
        np.testing.assert_array_equal(boxes[offsets[i] : offsets[i + 1]], expected)
