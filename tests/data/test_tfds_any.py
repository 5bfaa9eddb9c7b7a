"""Any dataset of TensorFlow Datasets, built on the spot."""

import cv2
import numpy as np
import pytest
import tensorflow_datasets

from tfsupermask import data
from tfsupermask._validation import InputError
from tfsupermask.data import tfds

pytestmark = pytest.mark.usefixtures("no_network")
RNG = np.random.default_rng(0)
SIZES = {"train": 30, "test": 6, "validation": 5}


def build(root, name, images, label=None, splits=SIZES):
    """Prepares a dataset without code of its own; returns its examples."""
    features = {
        "photo": images,
        "kind": label or tensorflow_datasets.features.ClassLabel(names=["ant", "bee"]),
        "id": np.int64,
    }
    height, width, channels = images.shape
    most = 65535 if images.np_dtype == np.uint16 else 255
    made = {
        split: [
            {
                "photo": RNG.integers(
                    0, most, (height or 6 + i, width or 9, channels), endpoint=True
                ).astype(images.np_dtype),
                "kind": i % 2,
                "id": i,
            }
            for i in range(number)
        ]
        for split, number in splits.items()
    }
    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        data_dir=str(root),
        features=tensorflow_datasets.features.FeaturesDict(features),
        split_datasets={
            split: list(enumerate(examples)) for split, examples in made.items()
        },
        disable_shuffling=True,
    )
    return made


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("any")


@pytest.fixture(scope="module")
def squares(root):
    """Colour, all 12 × 12, three splits."""
    image = tensorflow_datasets.features.Image(shape=(12, 12, 3))
    return build(root, "squares", image)


@pytest.fixture(scope="module")
def grey(root):
    """Grey, of several sizes, one split."""
    image = tensorflow_datasets.features.Image(shape=(None, None, 1))
    return build(root, "grey", image, splits={"train": 10})


def as_arrays(examples, name):
    return np.stack([example[name] for example in examples])


@pytest.mark.parametrize("name", ["squares", "squares:1.0.0"])
def test_splits_and_size_are_the_datasets_own(name, root, squares):
    dataset = data.load(f"tfds:{name}", root)
    assert dataset.name == f"tfds:{name}"
    assert dataset.class_names == ("ant", "bee")
    for split, examples in squares.items():
        found = getattr(dataset, split)
        np.testing.assert_array_equal(found.images, as_arrays(examples, "photo"))
        np.testing.assert_array_equal(found.labels, as_arrays(examples, "kind"))


def test_grey_images_of_several_sizes_become_squares(root, grey):
    dataset = data.load("tfds:grey", root, 8, test_fraction=0.3, flip=False)
    assert (len(dataset.train), len(dataset.test)) == (7, 3)
    assert dataset.horizontal_flip is False
    assert dataset.image_shape == (8, 8, 3)
    encoded = cv2.imencode(".png", grey["train"][8]["photo"])[1].tobytes()
    expected = tfds.decode_square(encoded, 8)[0]
    np.testing.assert_array_equal(dataset.test.images[1], expected)
    assert data.load("tfds:grey", root).image_shape == (64, 64, 3)


@pytest.mark.parametrize("images_in", ["memory", "disk"])
@pytest.mark.filterwarnings("ignore:The images are decoded")
def test_splits_in_the_notation_of_tensorflow_datasets(
    root, squares, images_in, tmp_path
):
    for _ in range(2):
        dataset = data.load(
            "tfds:squares",
            root,
            train_split="train[10:20]+validation",
            test_split="train[-10:]",
            images_in=images_in,
            cache_dir=tmp_path,
        )
        train = squares["train"][10:20] + squares["validation"]
        expected = as_arrays(train, "photo")
        np.testing.assert_array_equal(dataset.train.images[:], expected)
        test = as_arrays(squares["train"][-10:], "photo")
        np.testing.assert_array_equal(dataset.test.images[:], test)
        assert dataset.validation is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_split": "tarin"}, r"`train_split`.*train \(30\).*'tarin'"),
        ({"test_split": "train[99%:99%]"}, r"`test_split` must name"),
        ({"test_split": "test[5:2]"}, r"`test_split` must name"),
        ({"test_split": "train[oops]"}, r"`test_split` must name"),
        ({"test_split": "train[25:]"}, r"No image may be in two splits.*train\[25:\]"),
        ({"bad_images": "skip"}, r"'tfds:squares' has no such options.*bad_images"),
        ({"image_size": 0}, r"`image_size` must be"),
        ({"test_fraction": 2}, r"`test_fraction` must be"),
        ({"flip": "no"}, r"`flip` must be one of False, True.*'no'"),
    ],
)
def test_refuses_options(options, message, root, squares):
    with pytest.raises(InputError, match=message):
        data.load("tfds:squares", root, **options)


@pytest.mark.parametrize("name", ["mnist/foo", "mnist:9.9.9"])
def test_refuses_configurations_and_versions_that_do_not_exist(root, name):
    message = rf"must know the name, .*(foo|9\.9\.9).*dataset='{name}'$"
    with pytest.raises(InputError, match=message):
        data.load(f"tfds:{name}", root)


def test_refuses_what_has_no_labels(root):
    image = tensorflow_datasets.features.Image(shape=(12, 12, 3))
    build(root, "numbers", image, tensorflow_datasets.features.Scalar(np.int64))
    with pytest.raises(
        InputError, match=r"type ClassLabel.*features=\['id', 'kind', 'photo'\]"
    ):
        data.load("tfds:numbers", root)


@pytest.mark.parametrize("fraction", [0.0, 0.04, 0.96])
def test_refuses_a_fraction_that_leaves_a_split_empty(fraction, root, grey):
    with pytest.raises(InputError, match=r"`test_fraction` must give.*images=10"):
        data.load("tfds:grey", root, 8, test_fraction=fraction)


@pytest.mark.parametrize(
    ("dtype", "channels"), [(np.uint16, 1), (np.uint8, 4), (np.float32, 1)]
)
def test_images_of_other_numbers_are_scaled_or_refused(dtype, channels, root):
    name = f"numbers_{np.dtype(dtype).name}_{channels}"
    image = tensorflow_datasets.features.Image(shape=(8, 8, channels), dtype=dtype)
    made = build(root, name, image)
    if dtype == np.float32:  # a PNG holds their bytes as if they were colours
        with pytest.raises(InputError, match=r"integers of 8 or 16.*'float32'"):
            data.load(f"tfds:{name}", root)
        return
    expected = np.float64(as_arrays(made["train"], "photo"))
    if channels == 4:
        alpha = expected[..., 3:] / 255
        expected = expected[..., :3] * alpha + 255 * (1 - alpha)
    expected = expected * 255 / np.iinfo(dtype).max
    found = data.load(f"tfds:{name}", root).train.images
    assert abs(found - expected).max() <= 1


@pytest.mark.parametrize("name", ["no_such_thing", "squares:7.0.0", "squares/deep"])
def test_refuses_what_nobody_has(name, root, squares):
    with pytest.raises(InputError, match=r"'?(no_such_thing|squares)") as caught:
        data.load(f"tfds:{name}", root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["tfds:", "tfds:a b", "tfds:../x", "TFDS:mnist", 7])
def test_refuses_what_is_no_name(name):
    with pytest.raises(InputError, match=r"or 'tfds:NAME\[/CONFIG\]\[:VERSION\]'"):
        data.load(name)


def test_digits_are_not_mirrored(root):
    image = tensorflow_datasets.features.Image(shape=(28, 28, 1))
    label = tensorflow_datasets.features.ClassLabel(num_classes=10)
    made = build(root, "mnist", image, label)
    dataset = data.load("tfds:mnist:1.0.0", root)
    assert dataset.horizontal_flip is False
    assert dataset.class_names == tuple("0123456789")
    expected = as_arrays(made["test"], "photo")
    np.testing.assert_array_equal(dataset.test.images, expected.repeat(3, -1))


def test_imagenet_is_tested_on_its_validation_images(root):
    image = tensorflow_datasets.features.Image(shape=(None, None, 3))
    build(root, "imagenet2012", image)
    for train_split in (None, "train[:50%]"):
        dataset = data.load(
            "tfds:imagenet2012:1.0.0", root, 16, train_split=train_split
        )
        assert (len(dataset.test), dataset.validation) == (SIZES["validation"], None)
