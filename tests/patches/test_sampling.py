from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.core.test_candidate_positions import oracle
from tfsupermask import data
from tfsupermask._core import gather_patches
from tfsupermask._validation import InputError
from tfsupermask.patches import (
    PatchSource,
    Window,
    box_positions,
    propose_filtered_boxes,
    rgb_of,
    sample_patches,
)
from tfsupermask.patches import sampling as sampling_module
from tfsupermask.patches.sampling import grid_positions

# Height and width of the map, size, strides and dilation of the filter.
GEOMETRIES = [
    (8, 8, (3, 3), (1, 1), (1, 1)),
    (8, 8, (3, 3), (2, 2), (1, 1)),
    (9, 7, (3, 3), (2, 2), (1, 1)),
    (9, 7, (5, 2), (1, 1), (1, 1)),
    (7, 9, (2, 2), (2, 2), (1, 1)),
    (7, 9, (2, 4), (3, 3), (1, 1)),
    (10, 11, (3, 3), (1, 1), (2, 2)),
    (10, 11, (2, 3), (1, 1), (3, 2)),
    (12, 5, (4, 1), (3, 3), (1, 1)),
    (3, 3, (3, 3), (1, 1), (1, 1)),
    (5, 6, (1, 1), (2, 2), (1, 1)),
    (8, 8, (1, 3), (5, 5), (1, 1)),
]
LARGER_THAN_MAP = [
    (2, 2, (5, 5), (1, 1), (1, 1)),
    (3, 4, (3, 3), (1, 1), (4, 4)),
    (1, 1, (3, 3), (2, 2), (1, 1)),
]


@pytest.mark.parametrize(
    ("height", "width", "size", "strides", "dilation", "padding"),
    [(*geometry, "valid") for geometry in GEOMETRIES]
    + [(*geometry, "same") for geometry in GEOMETRIES + LARGER_THAN_MAP],
)
def test_grid_positions_are_those_of_tensorflow_and_of_the_layer(
    height, width, size, strides, dilation, padding
):
    positions = grid_positions(height, width, Window(size, strides, padding, dilation))
    assert positions.dtype == np.int32

    def patches_of(maps):
        return gather_patches(
            maps,
            np.zeros(len(positions), np.int64),
            *np.ascontiguousarray(positions.T),
            *size,
            row_dilation=dilation[0],
            column_dilation=dilation[1],
        )

    # Every pixel has a number of its own, the padding 0.
    pixels = np.arange(1, height * width + 1, dtype=np.float32)
    pixels = pixels.reshape(1, height, width, 1)
    expected = tf.image.extract_patches(
        pixels, [1, *size, 1], [1, *strides, 1], [1, *dilation, 1], padding.upper()
    )
    np.testing.assert_array_equal(
        patches_of(pixels).reshape(-1, *size), tf.reshape(expected, [-1, *size])
    )
    maps = np.random.default_rng(0).normal(size=(1, height, width, 3)).astype("f")
    layer = keras.layers.Conv2D(
        4, size, strides, padding, dilation_rate=dilation, use_bias=False
    )
    output = layer(maps).numpy().reshape(-1, 4)
    product = np.tensordot(patches_of(maps), layer.kernel.numpy(), axes=3)
    np.testing.assert_allclose(product, output, atol=1e-4)


@pytest.mark.parametrize(
    "window", [Window((3, 3)), Window((5, 2)), Window((2, 3), dilation=(2, 3))]
)
def test_box_positions_equal_a_loop_over_all_positions(window):
    images = data.load("digits").train.images[:30]
    boxes = propose_filtered_boxes(images, *window.extent)
    boxes[4] = boxes[4][:0]
    positions, offsets = box_positions(boxes, 32, 32, window)
    for i, image_boxes in enumerate(boxes):
        expected = oracle(image_boxes, (32, 32), window.extent)
        found = positions[offsets[i] : offsets[i + 1]]
        np.testing.assert_array_equal(found, expected)


def noise_images(count, height=12, width=10, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, height, width, 3), np.uint8)


def as_float(images):
    return images.astype(np.float32)


def sample(
    images, num_patches, window, maps_of=as_float, seed=5, from_boxes=False, **changes
):
    fields = {
        "labels": np.arange(len(images)) % 3,
        "order": np.random.default_rng(1).permutation(len(images)),
        **changes,
    }
    source = PatchSource(
        lambda indices: maps_of(images[indices]),
        objects_in=rgb_of(images) if from_boxes else None,
        **fields,
    )
    return sample_patches(source, window, num_patches, seed)


def values_of(patches):
    return np.concatenate(list(patches.blocks()))


SAME = Window((3, 3), padding="same")


@pytest.mark.parametrize("from_boxes", [False, True])
@pytest.mark.parametrize("num_patches", [1, 49, 50, 51, 333, 1000])
def test_sampling_gives_exactly_as_many_as_asked(num_patches, from_boxes):
    images = noise_images(60)
    labels = np.arange(60) % 7
    patches = sample(images, num_patches, SAME, labels=labels, from_boxes=from_boxes)
    assert len(patches) == num_patches
    assert values_of(patches).shape == (num_patches, 3, 3, 3)
    np.testing.assert_array_equal(patches.labels, labels[patches.image])
    places = set(zip(patches.image, patches.row, patches.column, strict=True))
    assert len(places) == num_patches
    assert max(Counter(patches.image.tolist()).values()) <= 50


@pytest.mark.parametrize(("side", "of_an_image"), [(4, 16), (12, 50)])
def test_images_are_taken_in_order_with_50_patches_or_all_their_positions(
    side, of_an_image
):
    images, order = noise_images(10, side, side), np.array([3, 9, 0, 1, 2, 4, 5, 6])
    patches = sample(images, 7 * of_an_image + 3, SAME, order=order)
    expected = np.repeat(order, [of_an_image] * 7 + [3])
    np.testing.assert_array_equal(patches.image, expected)


@pytest.mark.parametrize(
    "window",
    [
        SAME,
        Window((3, 3), strides=(2, 2), padding="same"),
        Window((2, 5)),
        Window((2, 3), dilation=(3, 2), padding="same"),
    ],
)
def test_values_are_the_maps_content_at_the_position(window):
    images = noise_images(40)
    patches = sample(images, 400, window)
    height, width = window.extent
    values = values_of(patches)
    for i in range(len(patches)):
        padded = np.pad(
            images[patches.image[i]].astype(np.float32), ((9, 9), (9, 9), (0, 0))
        )
        row, column = patches.row[i] + 9, patches.column[i] + 9
        expected = padded[
            row : row + height : window.dilation[0],
            column : column + width : window.dilation[1],
        ]
        np.testing.assert_array_equal(values[i], expected)


def assert_same_patches(first, second):
    for name in ("labels", "image", "row", "column"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(values_of(first), values_of(second))


@pytest.mark.parametrize("from_boxes", [False, True])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunks_do_not_change_the_draw(monkeypatch, chunk, from_boxes):
    images = noise_images(30)
    expected = sample(images, 1000, SAME, from_boxes=from_boxes)
    monkeypatch.setattr(sampling_module, "_IMAGES_PER_CHUNK", chunk)
    assert_same_patches(sample(images, 1000, SAME, from_boxes=from_boxes), expected)


def test_seeds_draw_differently():
    images = noise_images(10)
    first, again, other = (sample(images, 300, SAME, seed=s) for s in (5, 5, 6))
    assert_same_patches(first, again)
    assert (first.row != other.row).any()


@pytest.mark.parametrize(
    ("window", "resize"),
    [
        (Window((3, 3)), lambda maps: maps[:, ::2, ::2]),
        (Window((3, 3)), lambda maps: np.pad(maps, ((0, 0), (3, 3), (3, 3), (0, 0)))),
        (Window((15, 15), padding="same"), lambda maps: maps),
    ],
    ids=["smaller map", "padded map", "filter larger than image"],
)
def test_without_boxes_that_fit_the_whole_map_counts(window, resize):
    def maps_of(images):
        return np.ascontiguousarray(resize(as_float(images)))

    images = noise_images(20)
    boxed, whole = (
        sample(images, 200, window, from_boxes=from_boxes, maps_of=maps_of)
        for from_boxes in (True, False)
    )
    assert_same_patches(boxed, whole)


def test_refuses_more_patches_than_there_are_and_fewer_than_one():
    with pytest.raises(InputError, match=r"at least 1.*num_patches=0"):
        sample(noise_images(3), 0, SAME)
    with pytest.raises(InputError, match=r"at most 150: .* 3 images.*num_patches=151"):
        sample(noise_images(3), 151, SAME)
    assert len(sample(noise_images(3), 150, SAME)) == 150


@pytest.mark.parametrize("from_boxes", [False, True])
def test_refuses_a_map_smaller_than_the_filter(from_boxes):
    with pytest.raises(InputError, match=r"map=\(12, 10\), filter=\(3, 11\)"):
        sample(noise_images(3), 10, Window((3, 11)), from_boxes=from_boxes)
