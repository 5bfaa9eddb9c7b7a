"""Images in a file read as an array, in every place that reads images."""

import threading

import numpy as np
import pytest

from tests.small import small_digits
from tfsupermask.data import Dataset, Split, TrainBatches, eval_chunks, hold_out, limit
from tfsupermask.data.stored import StoredImages
from tfsupermask.patches.proposals import rgb_of


@pytest.fixture
def digits():
    return small_digits(60)


@pytest.fixture
def on_disk(digits, tmp_path):
    def stored(split, name):
        split.images.tofile(tmp_path / name)
        return Split(StoredImages(tmp_path / name, split.images.shape), split.labels)

    return Dataset(
        digits.name,
        stored(digits.train, "train"),
        stored(digits.test, "test"),
        digits.class_names,
        digits.horizontal_flip,
    )


@pytest.mark.parametrize(
    "index",
    [0, -1, slice(3, 9), slice(None, None, 7), slice(0, 0), np.array([5, 0, 5, 6, 7])],
    ids=str,
)
def test_an_index_gives_what_numpy_gives(index, digits, on_disk, reads):
    images, stored = digits.train.images, on_disk.train.images
    assert (stored.shape, stored.dtype, stored.ndim) == (
        images.shape,
        images.dtype,
        images.ndim,
    )
    np.testing.assert_array_equal(stored[index], images[index])
    assert reads == [np.size(np.arange(len(images))[index])]
    np.testing.assert_array_equal(np.asarray(stored), images)


def test_selected_images_are_not_read_and_keep_the_file_open(digits, on_disk, reads):
    split = on_disk.train[np.array([8, 2, 2])][1:]
    assert isinstance(split.images, StoredImages)
    assert not reads
    del on_disk
    np.testing.assert_array_equal(split.images[:], digits.train.images[[2, 2]])


def test_threads_read_at_the_same_time(digits, on_disk):
    stored, images = on_disk.train.images, digits.train.images
    wrong = []

    def read(seed):
        for _ in range(50):
            index = np.random.default_rng(seed).permutation(len(images))[:20]
            if not np.array_equal(stored[index], images[index]):
                wrong.append(index)

    threads = [threading.Thread(target=read, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_file_that_became_shorter_is_an_error(on_disk, tmp_path):
    with open(tmp_path / "train", "r+b") as file:
        file.truncate(100)
    with pytest.raises(OSError, match="shorter than it was"):
        on_disk.train.images[:]


def test_datasets_are_the_same(digits, on_disk):
    np.testing.assert_array_equal(on_disk.mean, digits.mean)
    np.testing.assert_array_equal(on_disk.std, digits.std)
    for change in (lambda d: d, lambda d: limit(d, 25), lambda d: hold_out(d, 10)):
        assert change(on_disk).sha256 == change(digits).sha256


def test_batches_read_their_share_alone_and_are_the_same(digits, on_disk, reads):
    one, other = (
        TrainBatches(dataset.train, 10, 3, dataset.crop_padding, True)
        for dataset in (digits, on_disk)
    )
    for epoch, first, number, position, count in [(0, 0, 4, 0, 10), (2, 1, 2, 5, 5)]:
        part = (epoch, first, number, position, count)
        reads.clear()
        for mine, theirs in zip(other.chunk(*part), one.chunk(*part), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert sum(reads) == number * count
    pairs = zip(eval_chunks(digits.test, 7), eval_chunks(on_disk.test, 7), strict=True)
    for a, b in pairs:
        for mine, theirs in zip(a, b, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_selective_search_sees_the_same(digits, on_disk):
    chosen = np.array([4, 1])
    expected = rgb_of(digits.train.images)(chosen)
    np.testing.assert_array_equal(rgb_of(on_disk.train.images)(chosen), expected)
