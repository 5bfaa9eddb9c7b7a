import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits

from tfsupermask import data
from tfsupermask._validation import InputError


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_contents(digits):
    assert digits.name == "digits"
    assert digits.image_shape == (32, 32, 3)
    assert digits.class_names == tuple("0123456789")
    assert digits.horizontal_flip is False
    for split in (digits.train, digits.test):
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert split.images.min() == 0
        assert split.images.max() == 255
        np.testing.assert_array_equal(split.images[..., 0], split.images[..., 1])
        np.testing.assert_array_equal(split.images[..., 0], split.images[..., 2])


def test_split_is_stratified(digits):
    train, test = (np.bincount(s.labels) for s in (digits.train, digits.test))
    np.testing.assert_array_equal(train + test, np.bincount(load_digits().target))
    np.testing.assert_allclose(test / (train + test), 0.2, atol=0.005)


def test_splits_hold_every_digit_once(digits):
    source = load_digits()
    expected = sorted(
        (cv2.resize(grey, (32, 32), interpolation=cv2.INTER_CUBIC).tobytes(), label)
        for grey, label in zip(
            np.rint(source.images * 255 / 16).astype(np.uint8),
            source.target,
            strict=True,
        )
    )
    found = sorted(
        (image[..., 0].tobytes(), label)
        for split in (digits.train, digits.test)
        for image, label in zip(split.images, split.labels, strict=True)
    )
    assert found == expected


def test_loading_again_gives_the_same_and_other_names_are_refused(digits):
    again = data.load("digits", data_dir="no/such/folder", image_size=32)
    np.testing.assert_array_equal(again.train.images, digits.train.images)
    np.testing.assert_array_equal(again.test.labels, digits.test.labels)
    message = r"'digits', 'cifar10', 'cifar100', 'folder'.*name='cifar'"
    with pytest.raises(InputError, match=message):
        data.load("cifar")


@pytest.mark.parametrize(
    ("name", "image_size"),
    [
        ("digits", 28),
        ("digits", 0),
        ("digits", "32"),
        ("cifar10", 64),
        ("cifar100", 64),
        ("tiny_imagenet", 32),
        ("tiny_imagenet", "64"),
    ],
)
def test_datasets_of_one_size_refuse_others(name, image_size):
    with pytest.raises(InputError, match=rf"(32×32|64×64|at least 0).*={image_size!r}"):
        data.load(name, image_size=image_size)
