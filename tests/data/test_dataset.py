import numpy as np
import pytest

from tfsupermask import data
from tfsupermask._validation import InputError


def make_split(num_images=5, side=8, seed=0, num_classes=3):
    rng = np.random.default_rng(seed)
    return data.Split(
        rng.integers(0, 256, (num_images, side, side, 3), dtype=np.uint8),
        rng.integers(0, num_classes, num_images),
    )


def make_dataset(train, test):
    return data.Dataset("made", train, test, ("a", "b", "c"), horizontal_flip=True)


# More images than one slice of the histogram holds, and a number it does not divide.
@pytest.mark.parametrize("num_images", [1, 5, 1024, 2500])
def test_statistics_are_those_of_the_training_images(num_images):
    train = make_split(num_images, side=4, seed=num_images)
    dataset = make_dataset(train, make_split(3, side=4, seed=99))
    scaled = train.images.astype(np.float64) / 255
    np.testing.assert_allclose(dataset.mean, scaled.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(dataset.std, scaled.std((0, 1, 2)), rtol=1e-6)
    assert dataset.mean.dtype == dataset.std.dtype == np.float32
    assert dataset.mean.shape == dataset.std.shape == (3,)


def test_statistics_tell_the_channels_apart():
    images = np.zeros((2, 2, 2, 3), np.uint8)
    images[0, ..., 0], images[..., 1] = 255, 51
    split = data.Split(images, np.zeros(2, np.int64))
    dataset = make_dataset(split, split)
    np.testing.assert_allclose(dataset.mean, [0.5, 0.2, 0.0], rtol=1e-6)
    # Channels 1 and 2 are constant: their deviation is given as 1, to divide by.
    np.testing.assert_allclose(dataset.std, [0.5, 1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize(("side", "padding"), [(32, 4), (64, 8), (28, 3), (7, 0)])
def test_shape_and_padding(side, padding):
    dataset = make_dataset(make_split(side=side), make_split(side=side, seed=1))
    assert dataset.image_shape == (side, side, 3)
    assert dataset.num_classes == 3
    assert dataset.crop_padding == padding


def test_class_names_are_the_same_as_a_list():
    """Those that an export holds are a tuple."""
    split = make_split()
    listed = data.Dataset("made", split, split, ["a", "b", "c"], True)
    assert listed.class_names == make_dataset(split, split).class_names
    assert listed.sha256 == make_dataset(split, split).sha256


BYTES, LABELS = np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, np.int64)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.float32(BYTES), LABELS, "dtype='float32'"),
        (BYTES[..., 0], LABELS, r"shape=\(2, 4, 4\)"),
        (BYTES[..., :1], LABELS, "`images` must"),
        (BYTES, np.int32(LABELS), "dtype='int32'"),
        (BYTES, np.zeros(3, np.int64), r"shape=\(3,\)"),
    ],
)
def test_split_refuses_other_arrays(images, labels, message):
    with pytest.raises(InputError, match=message):
        data.Split(images, labels)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (make_split(0), make_split(), "train_images=0, test_images=5"),
        (make_split(), make_split(0), "train_images=5, test_images=0"),
        (make_split(side=8), make_split(side=9), r"test_shape=\(9, 9, 3\)"),
        (make_split(num_classes=9, seed=1), make_split(), r"in \[0, 3\)"),
        (make_split(), make_split(num_classes=9, seed=1), r"in \[0, 3\)"),
    ],
)
def test_dataset_refuses_splits_that_do_not_fit(train, test, message):
    with pytest.raises(InputError, match=message):
        make_dataset(train, test)
