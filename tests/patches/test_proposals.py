import contextlib
from unittest import mock

import cv2
import numpy as np
import pytest

from tfsupermask import data
from tfsupermask._validation import InputError
from tfsupermask.patches import proposals as proposals_module
from tfsupermask.patches import propose_filtered_boxes, rgb_of
from tfsupermask.patches.proposals import propose_boxes


@pytest.fixture(scope="module")
def tinted_digits():
    images = data.load("digits").train.images[:40]
    tints = np.random.default_rng(0).uniform(0.2, 1, (len(images), 1, 1, 3))
    return np.rint(255 - (255 - images) * tints).astype(np.uint8)


def selective_search(rgb):
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    search.switchToSelectiveSearchFast()
    return {(top, left, h, w) for left, top, w, h in search.process().tolist()}


def kept_boxes(boxes, height, width, min_height, min_width):
    kept = set()
    for top, left, h, w in boxes:
        bottom, right = min(top + h, height), min(left + w, width)
        top, left = max(top, 0), max(left, 0)
        h, w = bottom - top, right - left
        if 2 * h * w <= height * width and h >= min_height and w >= min_width:
            kept.add((top, left, h, w))
    return kept


def test_boxes_are_those_of_selective_search_on_bgr(tinted_digits):
    found, of_swapped = [], []
    for image in tinted_digits:
        boxes = propose_boxes(image)
        assert boxes.dtype == np.int32
        found.append({tuple(box) for box in boxes.tolist()})
        assert found[-1] == selective_search(image)
        of_swapped.append(selective_search(np.ascontiguousarray(image[..., ::-1])))
    assert found != of_swapped
    assert sum(map(len, found)) > len(tinted_digits)


@pytest.mark.parametrize("smallest", [(1, 1), (3, 3), (5, 3), (9, 12)])
def test_filtered_boxes_equal_a_loop_over_boxes(tinted_digits, smallest):
    results = propose_filtered_boxes(tinted_digits, *smallest)
    dropped = 0
    for image, boxes in zip(tinted_digits, results, strict=True):
        proposed = selective_search(image)
        expected = kept_boxes(proposed, 32, 32, *smallest)
        assert sorted(map(tuple, boxes.tolist())) == sorted(expected)
        dropped += len(proposed) - len(expected)
    assert dropped > 0
    assert sum(map(len, results)) > 0


@pytest.mark.parametrize("content", ["black", "grey", "white", "noise"])
@pytest.mark.parametrize(
    "size", [(1, 1), (2, 2), (1, 40), (3, 500), (500, 3), (32, 32), (31, 47)]
)
def test_any_image_gives_boxes_inside_it(size, content):
    value = {"black": 0, "grey": 127, "white": 255}.get(content)
    noise = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    image = noise if value is None else np.full((*size, 3), value, np.uint8)
    boxes = propose_boxes(image)
    assert boxes.shape == (len(boxes), 4)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= size).all()


BYTES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 13), np.uint8)
BYTES[0, 0, 0], BYTES[1, 0, 0] = 0, 255


@pytest.mark.parametrize(
    ("images", "channels"),
    [
        (BYTES[..., :3], [0, 1, 2]),
        (BYTES[..., :1], [0, 0, 0]),
        (BYTES[..., :2], [0, 0, 0]),
        (BYTES[..., :4], [0, 1, 2]),
        (BYTES, [0, 1, 2]),
        (BYTES[..., 0], [0, 0, 0]),
        (np.stack([BYTES, BYTES + 1], axis=1), [0, 1, 2]),
        (BYTES / 255, [0, 1, 2]),
        (np.float32(BYTES[..., :1]) - 128, [0, 0, 0]),
        (BYTES.astype(np.uint16) * 257, [0, 1, 2]),
        (BYTES.astype(np.int64) - 2**40, [0, 1, 2]),
    ],
    ids=lambda value: f"{value.shape} {value.dtype}" if hasattr(value, "shape") else "",
)
def test_selective_search_sees_bytes_of_three_channels(images, channels):
    chosen = np.array([4, 0, 5])
    seen = rgb_of(images)(chosen)
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(seen, BYTES[chosen][..., channels])


def test_what_is_not_finite_does_not_stretch_the_rest():
    images = BYTES[..., :3] / 255
    images[3, 0, 0] = np.nan, np.inf, -np.inf
    seen = rgb_of(images)(np.arange(6))
    assert seen[3, 0, 0].tolist() == [0, 255, 0]
    np.testing.assert_array_equal(seen[4:], BYTES[4:, ..., :3])
    same = np.full((2, 4, 4, 3), 7.5)
    assert not rgb_of(same)(np.arange(2)).any()
    assert not rgb_of(same * np.nan)(np.arange(2)).any()


def test_an_image_that_selective_search_asserts_on_has_no_boxes(monkeypatch):
    search = mock.Mock()
    search.setBaseImage.side_effect = cv2.error("Assertion failed")
    segmentation = proposals_module.cv2.ximgproc.segmentation
    monkeypatch.setattr(
        segmentation, "createSelectiveSearchSegmentation", lambda: search
    )
    boxes = propose_boxes(np.zeros((4, 4, 3), np.uint8))
    assert (boxes.shape, boxes.dtype) == ((0, 4), np.int32)
    filtered = propose_filtered_boxes(np.zeros((2, 4, 4, 3), np.uint8), 3, 3)
    assert [len(boxes) for boxes in filtered] == [0, 0]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((8, 8, 3), "float32"),
        ((8, 8, 3), "int64"),
        ((8, 8), "uint8"),
        ((8, 8, 1), "uint8"),
        ((8, 8, 4), "uint8"),
        ((2, 8, 8, 3), "uint8"),
    ],
)
def test_refuses_what_is_not_an_rgb_image_of_bytes(shape, dtype):
    with pytest.raises(InputError) as refused:
        propose_boxes(np.zeros(shape, dtype))
    assert f"dtype='{dtype}', shape={shape}" in str(refused.value)


@pytest.mark.parametrize("fails", [False, True])
def test_opencv_keeps_its_number_of_threads(monkeypatch, fails):
    before = cv2.getNumThreads()
    during = []

    def propose(image):
        during.append(cv2.getNumThreads())
        if fails:
            raise RuntimeError("interrupted")
        return np.zeros((0, 4), np.int32)

    monkeypatch.setattr(proposals_module, "propose_boxes", propose)
    cv2.setNumThreads(3)
    try:
        refused = pytest.raises(RuntimeError, match="interrupted")
        with refused if fails else contextlib.nullcontext():
            propose_filtered_boxes(np.zeros((2, 8, 8, 3), np.uint8), 1, 1)
        assert set(during) == {1}
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)
