import io
import logging
import os
import shutil

import cv2
import numpy as np
import pytest
import tensorflow_datasets

from tests.data.tiny import tree
from tfsupermask import data
from tfsupermask._validation import InputError
from tfsupermask.data import tfds

pytestmark = pytest.mark.usefixtures("no_network")

REAL_DATA = os.environ.get("TFSUPERMASK_DATA_DIR")
CLASS_NAMES = [f"class{i}" for i in range(10)]
# Shards longer than the 16 examples that reading several at once would interleave.
NUM_TRAIN, NUM_TEST, NUM_PER_SHARD = 70, 9, 20


def make_examples(prefix, number, seed):
    rng = np.random.default_rng(seed)
    return [
        {
            "id": f"{prefix}_{i}",
            "image": rng.integers(0, 256, (32, 32, 3), dtype=np.uint8),
            "label": i * 7 % 10,
        }
        for i in range(number)
    ]


TRAIN = make_examples("train", NUM_TRAIN, seed=0)
TEST = make_examples("test", NUM_TEST, seed=1)


def prepare(root, train, test):
    """Writes a small CIFAR-10 as TensorFlow Datasets stores it; returns its builder."""
    builder = tensorflow_datasets.builder("cifar10", data_dir=root)
    builder.info.features["label"].names = CLASS_NAMES
    builder.data_path.mkdir(parents=True)
    writer = tensorflow_datasets.core.SequentialWriter(
        builder.info, max_examples_per_shard=NUM_PER_SHARD, overwrite=False
    )
    writer.initialize_splits(["train", "test"])
    writer.add_examples({"train": train, "test": test})
    writer.close_all()
    return builder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a small CIFAR-10: five shards."""
    root = tmp_path_factory.mktemp("prepared")
    builder = prepare(root, TRAIN, TEST)
    assert len(list(builder.data_path.glob("*.tfrecord-*"))) == 5
    return root


@pytest.fixture
def copy(prepared, tmp_path):
    """A copy of the prepared folder, to damage; its version folder."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return next((tmp_path / "cifar10").iterdir())


def assert_holds(split, examples):
    np.testing.assert_array_equal(split.images, [e["image"] for e in examples])
    np.testing.assert_array_equal(split.labels, [e["label"] for e in examples])
    assert split.images.dtype == np.uint8
    assert split.labels.dtype == np.int64


def test_copies_in_jpeg_have_the_pixels_that_tensorflow_datasets_gives(tmp_path):
    def as_jpeg(examples):
        for example in examples:
            content = cv2.imencode(".jpg", example["image"])[1].tobytes()
            yield {**example, "image": io.BytesIO(content)}

    builder = prepare(tmp_path, as_jpeg(TRAIN), as_jpeg(TEST))
    found = tensorflow_datasets.as_numpy(builder.as_dataset(split="test"))
    assert_holds(data.load("cifar10", data_dir=tmp_path).test, list(found))


def test_reads_prepared_data_in_the_order_of_the_files_and_says_nothing(
    prepared, caplog, capfd
):
    before, level = tree(prepared), logging.getLogger("absl").level
    with caplog.at_level(logging.INFO):
        dataset = data.load("cifar10", data_dir=prepared, image_size=32)
    assert not [r for r in caplog.records if "tensorflow_datasets" in r.pathname]
    assert "tensorflow_datasets" not in capfd.readouterr().err
    assert logging.getLogger("absl").level == level
    assert dataset.name == "cifar10"
    assert dataset.class_names == tuple(CLASS_NAMES)
    assert dataset.horizontal_flip is True
    assert dataset.crop_padding == 4
    assert_holds(dataset.train, TRAIN)
    assert_holds(dataset.test, TEST)
    assert tree(prepared) == before


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_without_network_says_where_it_looked_and_what_to_do(name, tmp_path):
    (tmp_path / "other").write_text("keep me")
    before = tree(tmp_path)
    with pytest.raises(data.DataNotFoundError) as caught:
        data.load(name, data_dir=tmp_path)
    message = str(caught.value)
    assert f"{name} was not found in '{tmp_path}/{name}/3.0.2'" in message
    assert "cannot be reached" in message
    assert f"--data_dir a folder that holds '{name}/3.0.2'" in message
    assert "--dataset=digits" in message
    assert f"data_dir='{tmp_path}'" in message
    assert "\n" not in message
    with pytest.raises(data.DataNotFoundError):
        data.load(name, data_dir=tmp_path / "new" / "folder")
    assert tree(tmp_path) == before


def test_names_the_default_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(tensorflow_datasets.core.constants, "DATA_DIR", str(tmp_path))
    with pytest.raises(data.DataNotFoundError, match="data_dir=None") as caught:
        data.load("cifar10")
    assert f"'{tmp_path}/cifar10/3.0.2'" in str(caught.value)


@pytest.fixture
def deliver(reachable, monkeypatch):
    """Function that takes what the network delivers."""

    def replace(make_splits):
        builder_class = tensorflow_datasets.builder_cls("cifar10")
        monkeypatch.setattr(builder_class, "_split_generators", make_splits)

    return replace


def test_downloads_what_is_missing(deliver, tmp_path):
    def make_splits(builder, dl_manager):
        builder.info.features["label"].names = CLASS_NAMES
        return {
            split: [(example["id"], example) for example in examples]
            for split, examples in (("train", TRAIN), ("test", TEST))
        }

    deliver(make_splits)
    folder = tmp_path / "new" / "folder"
    dataset = data.load("cifar10", data_dir=folder)
    assert dataset.class_names == tuple(CLASS_NAMES)
    np.testing.assert_array_equal(
        np.sort(dataset.train.images.sum((1, 2, 3))),
        np.sort([example["image"].sum() for example in TRAIN]),
    )
    assert [path.name for path in folder.iterdir()] == ["cifar10"]
    assert [path.name for path in (folder / "cifar10").iterdir()] == ["3.0.2"]

    deliver(lambda builder, dl_manager: pytest.fail("downloaded again"))
    again = data.load("cifar10", data_dir=folder)
    np.testing.assert_array_equal(again.train.images, dataset.train.images)


def test_a_download_that_breaks_off_leaves_nothing(deliver, tmp_path):
    def make_splits(builder, dl_manager):
        def examples():
            yield TRAIN[0]["id"], TRAIN[0]
            raise OSError("the line went dead")

        return {tensorflow_datasets.Split.TRAIN: examples()}

    deliver(make_splits)
    (tmp_path / "cifar10" / "1.0.0").mkdir(parents=True)
    before = tree(tmp_path)
    with pytest.raises(data.DataNotFoundError, match="the line went dead"):
        data.load("cifar10", data_dir=tmp_path)
    with pytest.raises(data.DataNotFoundError, match="the line went dead"):
        data.load("cifar10", data_dir=tmp_path / "new" / "folder")
    assert tree(tmp_path) == before


def scramble_info(folder):
    (folder / "dataset_info.json").write_text("{")


def empty_folder(folder):
    for path in folder.iterdir():
        path.unlink()


def change_shard(change):
    def damage(folder):
        path = min(folder.glob("cifar10-train*"))
        path.write_bytes(change(path.read_bytes()))

    return damage


DAMAGES = {
    "cut": change_shard(lambda content: content[:-50]),
    "empty shard": change_shard(lambda content: b""),
    "scrambled shard": change_shard(lambda content: b"x" * 1000),
    "lost shard": lambda folder: min(folder.glob("cifar10-train*")).unlink(),
    "scrambled info": scramble_info,
    "empty folder": empty_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_refuses_damaged_data_with_its_folder(copy, damage):
    DAMAGES[damage](copy)
    before = tree(copy)
    with pytest.raises(InputError, match="cannot be read") as caught:
        data.load("cifar10", data_dir=copy.parent.parent)
    message = str(caught.value)
    assert f"'{copy.parent}" in message
    assert "\n" not in message
    assert "{{" not in message
    assert not isinstance(caught.value, data.DataNotFoundError)
    assert tree(copy) == before


def test_takes_splits_by_its_name_in_tensorflow_datasets(prepared):
    dataset = data.load("tfds:cifar10", prepared, train_split="train[30:]")
    assert_holds(dataset.train, TRAIN[30:])
    assert_holds(dataset.test, TEST)
    with pytest.raises(InputError, match=r"32×32.*image_size=16"):
        data.load("tfds:cifar10:3.0.2", prepared, image_size=16)


@pytest.mark.skipif(
    not (REAL_DATA and os.path.isdir(os.path.join(REAL_DATA, "cifar10"))),
    reason="TFSUPERMASK_DATA_DIR names no folder that holds cifar10",
)
def test_real_cifar10():
    dataset = data.load("cifar10", data_dir=REAL_DATA)
    assert dataset.train.images.shape == (50_000, 32, 32, 3)
    assert dataset.test.images.shape == (10_000, 32, 32, 3)
    assert np.bincount(dataset.train.labels).tolist() == [5000] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    assert dataset.class_names[0] == "airplane"
    assert dataset.class_names[9] == "truck"
    # The figures that everyone uses.
    np.testing.assert_allclose(dataset.mean, [0.4914, 0.4822, 0.4465], atol=0.01)
    np.testing.assert_allclose(dataset.std, [0.2470, 0.2435, 0.2616], atol=0.01)


def test_reasons_are_short_and_cannot_command_the_terminal():
    reason = tfds._summary(ValueError("\x1b[2J" + 1000 * "x" + "\nsecond line"))
    assert reason.startswith(r"ValueError: \x1b[2Jxx")
    assert len(reason) < 400
    assert "second" not in reason
