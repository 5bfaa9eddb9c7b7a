import re

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
    assert offsets[-1] == len(positions)
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


def test_no_position_twice_and_all_inside_the_image():
    positions, offsets = candidate_positions(*random_boxes(300, 32, 0), 32, 32, 3, 5)
    assert positions.min() >= 0
    assert positions[:, 0].max() <= 32 - 3
    assert positions[:, 1].max() <= 32 - 5
    image = np.repeat(np.arange(300), np.diff(offsets))
    rows = np.column_stack([image, positions])
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize("num_threads", [0, 2, 3, 8])
def test_threads_do_not_change_the_result(num_threads):
    boxes, offsets = random_boxes(500, 20, 1)
    single = candidate_positions(boxes, offsets, 20, 20, 3, 3, num_threads=1)
    several = candidate_positions(boxes, offsets, 20, 20, 3, 3, num_threads=num_threads)
    for expected, result in zip(single, several, strict=True):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param([], id="no boxes"),
        pytest.param([(0, 0, 2, 5), (1, 1, 5, 2)], id="boxes smaller than the patch"),
    ],
)
def test_an_image_without_positions_gets_them_all(boxes):
    positions, offsets = candidate_positions(*pack([boxes]), 6, 7, 3, 3)
    assert offsets.tolist() == [0, 4 * 5]
    np.testing.assert_array_equal(positions, oracle([], (6, 7), (3, 3)))


def test_no_images_give_no_positions():
    positions, offsets = candidate_positions(*pack([]), 6, 7, 3, 3)
    assert positions.shape == (0, 2)
    assert offsets.tolist() == [0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"boxes": np.zeros((3, 5), np.int32)},
            "`boxes` must have shape (n, 4). Received: shape=(3, 5)",
        ),
        (
            {"boxes": np.zeros((1, 4), np.float32)},
            "`boxes` must have dtype int32. Received: dtype=float32",
        ),
        (
            {"boxes": np.array([[0, 0, 1, 1], [4, 0, 3, 2]], np.int32)},
            "`boxes` must be rows (top, left, height, width) that lie inside the "
            "image. Received: boxes[1]=(4, 0, 3, 2), image_height=6, image_width=7",
        ),
        (
            {"boxes": np.array([[0, 0, 1, 1], [0, 0, 0, 2]], np.int32)},
            "Received: boxes[1]=(0, 0, 0, 2)",
        ),
        (
            {"boxes": np.array([[0, -1, 1, 1], [0, 0, 1, 2]], np.int32)},
            "Received: boxes[0]=(0, -1, 1, 1)",
        ),
        (
            {"boxes": np.array([[0, 0, 1, 1], [5, 0, 2**31 - 1, 1]], np.int32)},
            "Received: boxes[1]=(5, 0, 2147483647, 1)",
        ),
        (
            {"box_offsets": np.zeros((1, 2), np.int64)},
            "`box_offsets` must have shape (n + 1,). Received: shape=(1, 2)",
        ),
        (
            {"box_offsets": np.zeros(0, np.int64)},
            "`box_offsets` must have shape (n + 1,). Received: shape=(0,)",
        ),
        (
            {"box_offsets": np.array([0, 2], np.int32)},
            "`box_offsets` must have dtype int64. Received: dtype=int32",
        ),
        (
            {"box_offsets": np.array([1, 2])},
            "`box_offsets` must begin with 0. Received: box_offsets[0]=1",
        ),
        (
            {"box_offsets": np.array([0, 3, 2])},
            "`box_offsets` must not decrease. "
            "Received: box_offsets[1]=3, box_offsets[2]=2",
        ),
        (
            {"box_offsets": np.array([0, 1])},
            "`box_offsets` must end with the number of boxes, 2. "
            "Received: box_offsets[1]=1",
        ),
        ({"image_height": 0}, "Received: image_height=0"),
        ({"image_width": -7}, "Received: image_width=-7"),
        (
            {"patch_height": 7},
            "`patch_height` must be an integer in [1, 6]. Received: patch_height=7",
        ),
        ({"patch_width": 0}, "Received: patch_width=0"),
        (
            {"num_threads": -1},
            "`num_threads` must be an integer in [0, 1024]. Received: num_threads=-1",
        ),
    ],
)
def test_refuses_with_the_value_received(changed, message):
    boxes, box_offsets = pack([[(0, 0, 3, 3), (1, 1, 4, 4)]])
    arguments = {
        "boxes": boxes,
        "box_offsets": box_offsets,
        "image_height": 6,
        "image_width": 7,
        "patch_height": 3,
        "patch_width": 3,
    }
    with pytest.raises(ValueError, match=re.escape(message)):
        candidate_positions(**{**arguments, **changed})
