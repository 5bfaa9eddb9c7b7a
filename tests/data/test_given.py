"""Images that come from Python."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import data
from tfsupermask._validation import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (9, 8, 8, 3), np.uint8)
LABELS = np.arange(9) % 3
TEST = IMAGES[:3], LABELS[:3]


def as_generator(images=IMAGES, labels=LABELS):
    signature = (
        tf.TensorSpec((None, None, None), tf.uint8),
        tf.TensorSpec((), tf.int32),
    )
    return tf.data.Dataset.from_generator(
        lambda: zip(images, labels, strict=True), output_signature=signature
    )


@pytest.mark.parametrize("images_in", ["memory", "disk"])
@pytest.mark.parametrize(
    "examples",
    [
        (IMAGES, LABELS),
        [IMAGES, LABELS.astype(np.uint8)],
        (list(IMAGES), LABELS[:, None]),
        tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)),
        tf.data.Dataset.from_tensor_slices(
            {"image": IMAGES, "label": LABELS, "id": LABELS}
        ),
        tf.data.Dataset.from_tensor_slices((IMAGES, LABELS[:, None])),
        as_generator(),
    ],
    ids=["arrays", "list", "lists", "pairs", "dicts", "labels (1,)", "no length"],
)
@pytest.mark.filterwarnings("ignore:The images are decoded")
def test_the_same_images_from_anywhere(examples, images_in, tmp_path):
    places = {"images_in": images_in, "cache_dir": tmp_path}
    dataset = data.from_examples(examples, TEST, validation=TEST, **places)
    np.testing.assert_array_equal(dataset.train.images[:], IMAGES)
    np.testing.assert_array_equal(dataset.train.labels, LABELS)
    np.testing.assert_array_equal(dataset.validation.images[:], IMAGES[:3])
    assert (dataset.name, dataset.class_names) == ("given", ("0", "1", "2"))
    assert dataset.horizontal_flip is True


def test_images_without_labels():
    grey = data.from_examples((IMAGES, LABELS), TEST, unlabelled=IMAGES[..., 0])
    np.testing.assert_array_equal(grey.unlabelled, IMAGES[..., [0, 0, 0]])
    assert grey.patterns_from.labels.tolist() == [0] * 9
    plain = data.from_examples((IMAGES, LABELS), TEST)
    assert plain.patterns_from is plain.train
    assert plain.sha256 != grey.sha256
    with pytest.raises(InputError, match="uint8 images"):
        data.from_examples(TEST, TEST, unlabelled=np.float32(IMAGES))
    with pytest.raises(InputError, match=r"an array of images.*type='generator'"):
        data.from_examples(TEST, TEST, unlabelled=(image for image in IMAGES))


@pytest.mark.parametrize(
    ("unlabelled", "message"),
    [
        (IMAGES[:, 1:], "one shape.*unlabelled_shape"),
        (IMAGES[:0], "images in every split.*unlabelled_images=0"),
        (np.float32(IMAGES), "uint8.*float32"),
    ],
)
def test_refuses_images_without_labels_of_another_kind(unlabelled, message):
    plain = data.from_examples((IMAGES, LABELS), TEST)
    with pytest.raises(InputError, match=message):
        dataclasses.replace(plain, unlabelled=unlabelled)


def test_grey_images_and_other_sizes_become_square_rgb():
    grey = data.from_examples((IMAGES[..., 0], LABELS), (IMAGES[..., :1], LABELS))
    for split in (grey.train, grey.test):
        np.testing.assert_array_equal(split.images, IMAGES[..., [0, 0, 0]])
    wide = np.repeat(IMAGES, 2, axis=2)
    some = [wide[0], *IMAGES[1:]]
    middle = wide[0, :, 4:12].reshape(4, 2, 4, 2, 3).mean((1, 3))
    for examples in (as_generator(some), (some, LABELS)):
        options = {"image_size": 4, "class_names": "abc"}
        smaller = data.from_examples(examples, TEST, **options)
        assert smaller.train.images.shape == (9, 4, 4, 3)
        assert smaller.class_names == ("a", "b", "c")
        assert abs(smaller.train.images[0] - middle).max() <= 1


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (IMAGES, r"`train` must be a pair of arrays.*ndarray"),
        (7, r"`train` must be a pair of arrays.*'int'"),
        ((IMAGES, LABELS[:4]), r"one label an image.*labels=\(4,\)"),
        ((np.float32(IMAGES), LABELS), r"uint8 images.*float32"),
        ((IMAGES[..., :2], LABELS), r"uint8 images.*shape=\(8, 8, 2\)"),
        ({"image": IMAGES, "label": LABELS}, r"`train` must be a pair.*'dict'"),
        ((IMAGES, LABELS - 1), r"integers from 0 to 99,999.*label=-1"),
        ((IMAGES, LABELS / 2), r"integers from 0 to 99,999.*label=0.0"),
        ((IMAGES, LABELS + 10**12), r"integers from 0 to 99,999.*label=10{12}"),
        ((IMAGES, np.full(9, 2**64 - 1, np.uint64)), r"integers from 0 to 99,999"),
        (as_generator([IMAGES[0, :0]], [0]), r"uint8 images.*shape=\(0, 8, 3\)"),
        ((IMAGES[:, :4], LABELS), r"needs `image_size`, as the first.*\(4, 8, 3\)"),
        ((IMAGES[:0], LABELS[:0]), r"`train` must hold images"),
        ((IMAGES, np.eye(3, dtype=int)[LABELS]), r"one label an image.*\(9, 3\)"),
        (tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).repeat(), "must end"),
        (tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(3), "one by one"),
        (tf.data.Dataset.from_tensor_slices(IMAGES), "must yield pairs"),
    ],
)
def test_refuses_other_examples(train, message):
    size = None if "`image_size`" in message or "hold" in message else 8
    with pytest.raises(InputError, match=message):
        data.from_examples(train, TEST, image_size=size)


@pytest.mark.parametrize("images_in", ["memory", "disk"])
@pytest.mark.parametrize("change", [1, -1])
@pytest.mark.filterwarnings("ignore:The images are decoded")
def test_refuses_another_number_at_each_reading(change, images_in, tmp_path):
    numbers = iter(range(5, 5 + 3 * change, change))
    signature = tf.TensorSpec((8, 8, 3), tf.uint8), tf.TensorSpec((), tf.int64)
    train = tf.data.Dataset.from_generator(
        lambda: ((IMAGES[0], 0) for _ in range(next(numbers))),
        output_signature=signature,
    )
    places = {"images_in": images_in, "cache_dir": tmp_path}
    with pytest.raises(InputError, match=r"the same number of images"):
        data.from_examples(train, TEST, **places)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": "no"}, r"`flip` must be one of False, True.*'no'"),
        ({"class_names": 7}, r"`class_names`.*int"),
        ({"class_names": ["ant"]}, r"labels must be in \[0, 1\)"),
        ({"image_size": 0}, r"`image_size` must be an integer of at least 1"),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(InputError, match=message):
        data.from_examples(TEST, TEST, **options)


def test_they_have_no_name_to_load_them_by():
    with pytest.raises(InputError, match=r"come from Python, by `train.run\(config"):
        data.load("given")
