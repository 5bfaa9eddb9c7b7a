"""Images that come from Python."""

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
        tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)),
        tf.data.Dataset.from_tensor_slices(
            {"image": IMAGES, "label": LABELS, "id": LABELS}
        ),
        as_generator(),
    ],
    ids=["arrays", "list", "pairs", "dicts", "of unknown length"],
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


def test_grey_images_and_other_sizes_become_square_rgb():
    grey = data.from_examples((IMAGES[..., 0], LABELS), (IMAGES[..., :1], LABELS))
    for split in (grey.train, grey.test):
        np.testing.assert_array_equal(split.images, IMAGES[..., [0, 0, 0]])
    wide = np.repeat(IMAGES, 2, axis=2)
    smaller = data.from_examples(
        as_generator([wide[0], *IMAGES[1:]]), TEST, image_size=4, class_names="abc"
    )
    assert smaller.train.images.shape == (9, 4, 4, 3)
    assert smaller.class_names == ("a", "b", "c")
    middle = wide[0, :, 4:12].reshape(4, 2, 4, 2, 3).mean((1, 3))
    assert abs(smaller.train.images[0] - middle).max() <= 1


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (IMAGES, r"`train` must be a pair of arrays.*ndarray"),
        (7, r"`train` must be a pair of arrays.*'int'"),
        ((IMAGES, LABELS[:4]), r"one label an image.*labels=\(4,\)"),
        ((np.float32(IMAGES), LABELS), r"uint8 images.*float32"),
        ((IMAGES[..., :2], LABELS), r"uint8 images.*shape=\(8, 8, 2\)"),
        ((IMAGES, LABELS - 1), r"integers of at least 0.*label=-1"),
        ((IMAGES, LABELS / 2), r"integers of at least 0.*label=0.0"),
        ((IMAGES[:, :4], LABELS), r"`image_size` must be given.*\(4, 8, 3\)"),
        ((IMAGES[:0], LABELS[:0]), r"`image_size` must be given"),
        (tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).repeat(), "must end"),
        (tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(3), "one by one"),
        (tf.data.Dataset.from_tensor_slices(IMAGES), "must yield pairs"),
    ],
)
def test_refuses_other_examples(train, message):
    with pytest.raises(InputError, match=message):
        data.from_examples(train, TEST)


def test_they_have_no_name_to_load_them_by():
    with pytest.raises(InputError, match=r"come from Python, by `train.run\(config"):
        data.load("given")
