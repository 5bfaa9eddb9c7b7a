import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsupermask._core import candidate_positions


def pack(boxes_of_images):
    boxes = np.array([box for boxes in boxes_of_images for box in boxes], np.int32)
    offsets = np.cumsum([0] + [len(boxes) for boxes in boxes_of_images])
    return boxes.reshape(-1, 4), offsets.astype(np.int64)


def oracle(boxes, image, patch):
    everywhere = [
        (row, column)
        for row in range(image[0] - patch[0] + 1)
        for column in range(image[1] - patch[1] + 1)
    ]
    inside = [
        (row, column)
        for row, column in everywhere
        if any(
            top <= row
            and left <= column
            and row + patch[0] <= top + height
            and column + patch[1] <= left + width
            for top, left, height, width in boxes
        )
    ]
    return np.array(inside or everywhere, np.int32)


@st.composite
def images_of_boxes(draw):
    image = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    patch = draw(st.tuples(st.integers(1, image[0]), st.integers(1, image[1])))

    @st.composite
    def box(draw):
        top = draw(st.integers(0, image[0] - 1))
        left = draw(st.integers(0, image[1] - 1))
        height = draw(st.integers(1, image[0] - top))
        width = draw(st.integers(1, image[1] - left))
        return top, left, height, width

    boxes = draw(st.lists(st.lists(box(), max_size=6), max_size=4))
    return image, patch, boxes


@settings(max_examples=200, deadline=None)
@given(images_of_boxes())
def test_agrees_with_the_oracle(case):
    image, patch, boxes_of_images = case
    positions, offsets = candidate_positions(*pack(boxes_of_images), *image, *patch)
    assert (positions.dtype, offsets.dtype) == (np.int32, np.int64)
    assert offsets.shape == (len(boxes_of_images) + 1,)
    assert offsets[0] == 0
    assert positions.shape == (offsets[-1], 2)
    for i, boxes in enumerate(boxes_of_images):
        expected = oracle(boxes, image, patch)
        np.testing.assert_array_equal(positions[offsets[i] : offsets[i + 1]], expected)


def random_boxes(num_images, size, seed):
    rng = np.random.default_rng(seed)
    boxes_of_images = []
    for _ in range(num_images):
        corner = rng.integers(0, size, (rng.integers(0, 8), 2))
        extent = 1 + rng.integers(0, size - corner)
        boxes_of_images.append(np.hstack([corner, extent]))
    return pack(boxes_of_images)


@pytest.mark.parametrize("num_threads", [0, 2, 3, 8])
def test_threads_do_not_change_the_result(num_threads):
    boxes, offsets = random_boxes(500, 20, 1)
    single = candidate_positions(boxes, offsets, 20, 20, 3, 3, num_threads=1)
    several = candidate_positions(boxes, offsets, 20, 20, 3, 3, num_threads=num_threads)
    for expected, result in zip(single, several, strict=True):
        np.testing.assert_array_equal(result, expected)
