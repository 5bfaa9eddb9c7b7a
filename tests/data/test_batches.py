import itertools

import numpy as np
import pytest

from tfsupermask import data
from tfsupermask._validation import InputError
from tfsupermask.data.batches import (
    TrainBatches,
    epoch_augmentation,
    epoch_crops,
    epoch_order,
)

PADDING = 2
SEEDS_AND_EPOCHS = list(itertools.product(range(4), range(4)))


def make_split(num_images=23, height=8, width=8):
    rng = np.random.default_rng(0)
    # Never 0, so that only padding is black.
    images = rng.integers(1, 256, (num_images, height, width, 3), dtype=np.uint8)
    return data.Split(images, np.arange(num_images) % 5)


def make_batches(split=None, batch_size=6, seed=3, padding=PADDING, flip=True):
    return data.TrainBatches(
        split or make_split(), batch_size, seed, padding, horizontal_flip=flip
    )


def numbered_batches():
    """Batches whose labels are the numbers of the images."""
    return make_batches(data.Split(make_split().images, np.arange(23)))


def naive_epoch(split, seed, epoch, padding, flip):
    """All images of an epoch, one at a time, by np.pad."""
    order = epoch_order(len(split), seed, epoch)
    drawn = epoch_augmentation(len(split), seed, epoch, padding, flip)
    height, width = split.images.shape[1:3]
    images = []
    for index, row, column, is_flipped in zip(order, *drawn, strict=True):
        around = [(padding, padding), (padding, padding), (0, 0)]
        padded = np.pad(split.images[index], around)
        top, left = row + padding, column + padding
        crop = padded[top : top + height, left : left + width]
        images.append(crop[:, ::-1] if is_flipped else crop)
    return np.stack(images), split.labels[order]


class TestEpochOrder:
    def test_is_a_permutation_that_repeats(self):
        order = epoch_order(100, seed=1, epoch=2)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(np.sort(order), np.arange(100))
        np.testing.assert_array_equal(order, epoch_order(100, seed=1, epoch=2))

    def test_differs_by_seed_and_epoch(self):
        assert len({tuple(epoch_order(100, *each)) for each in SEEDS_AND_EPOCHS}) == 16

    def test_visits_evenly(self):
        first = [epoch_order(4, 0, epoch)[0] for epoch in range(2000)]
        np.testing.assert_allclose(np.bincount(first) / 2000, 0.25, atol=0.04)

    def test_is_pinned(self):
        """Another order would change every result."""
        assert epoch_order(8, seed=1, epoch=2).tolist() == [7, 6, 3, 4, 0, 1, 2, 5]


def test_an_epoch_of_several_passes_is_several_epochs():
    split = make_split()
    once = make_batches(split, batch_size=23)
    several = TrainBatches(split, 30, 3, PADDING, True, passes=3)
    assert several.steps_per_epoch == 2  # 60 of 69 images
    images, labels = several.chunk(epoch=2, first_step=0, num_steps=2)
    singly = [once.chunk(epoch, 0, 1) for epoch in (6, 7, 8)]
    expected, their_labels = (
        np.concatenate(each, axis=1)[0, :60] for each in zip(*singly, strict=True)
    )
    np.testing.assert_array_equal(images.reshape(expected.shape), expected)
    np.testing.assert_array_equal(labels.ravel(), their_labels)
    with pytest.raises(InputError, match="num_images=69"):
        TrainBatches(split, 70, 3, PADDING, True, passes=3)


class TestAugmentation:
    def test_is_uniform(self):
        rows, columns, flips = epoch_augmentation(20_000, 0, 0, 2, True)
        assert rows.dtype == columns.dtype == np.int32
        assert flips.dtype == bool
        pairs = (rows + 2) * 5 + columns + 2
        np.testing.assert_allclose(np.bincount(pairs) / 20_000, 1 / 25, atol=0.006)
        for offset in range(-2, 3):
            np.testing.assert_allclose(flips[rows == offset].mean(), 0.5, atol=0.05)

    def test_repeats_and_differs_by_seed_and_epoch(self):
        def draw(seed, epoch):
            return tuple(np.ravel(epoch_augmentation(50, seed, epoch, 4, True)))

        assert draw(1, 2) == draw(1, 2)
        assert len({draw(*each) for each in SEEDS_AND_EPOCHS}) == 16

    def test_is_pinned(self):
        rows, columns, flips = epoch_augmentation(6, 1, 2, 3, True)
        plain = epoch_augmentation(6, 1, 2, 3, False)
        np.testing.assert_array_equal(plain, [rows, columns, [False] * 6])
        assert not np.any(epoch_augmentation(6, 1, 2, 0, False))
        assert rows.tolist() == [0, 1, -2, 0, 1, 2]
        assert columns.tolist() == [-3, 0, 3, 0, 1, 2]
        assert flips.tolist() == [True, False, True, False, False, False]


class TestTrainBatches:
    @pytest.mark.parametrize("flip", [False, True])
    @pytest.mark.parametrize("padding", [0, 1, 3, 7])
    @pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 11)])
    def test_equals_cropping_one_image_at_a_time(self, height, width, padding, flip):
        split = make_split(height=height, width=width)
        before = split.images.copy()
        batches = make_batches(split, padding=padding, flip=flip)
        expected_images, expected_labels = naive_epoch(split, 3, 4, padding, flip)
        images, labels = batches.chunk(epoch=4, first_step=0, num_steps=3)
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert images.shape == (3, 6, height, width, 3)
        expected = expected_images[:18].reshape(images.shape)
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, expected_labels[:18].reshape(3, 6))
        np.testing.assert_array_equal(split.images, before)

    def test_padding_is_black_and_there(self):
        images, _ = make_batches().chunk(0, 0, 3)
        rows, _, _ = epoch_augmentation(23, 3, 0, PADDING, True)
        black_rows = (images == 0).all((3, 4)).sum(2).ravel()
        assert black_rows.max() == PADDING
        np.testing.assert_array_equal(black_rows, np.abs(rows[:18]))

    @pytest.mark.parametrize("epoch", [0, 1, 7])
    def test_slices_joined_are_the_whole(self, epoch):
        whole_images, whole_labels = make_batches().chunk(epoch, 0, 3)
        batches = make_batches()
        # Neither the order of the calls nor other epochs in between matter.
        wanted = list(itertools.product(range(3), [(0, 1), (1, 3), (4, 2), (4, None)]))
        np.random.default_rng(epoch).shuffle(wanted)
        for step, (first, number) in wanted:
            batches.chunk(epoch + 1 + step, 1, 1)
            images, labels = batches.chunk(epoch, step, 3 - step, first, number)
            part = slice(first, first + (number or 2))
            np.testing.assert_array_equal(images, whole_images[step:, part])
            np.testing.assert_array_equal(labels, whole_labels[step:, part])

    def test_an_epoch_has_no_image_twice_and_epochs_have_all(self):
        batches = numbered_batches()
        seen = [batches.chunk(epoch, 0, 3)[1].ravel().tolist() for epoch in range(9)]
        assert all(len(set(labels)) == 18 for labels in seen)
        assert {label for labels in seen for label in labels} == set(range(23))

    def test_steps_per_epoch_drops_the_remainder(self):
        for batch_size, steps in ((1, 23), (6, 3), (12, 1), (23, 1)):
            batches = make_batches(batch_size=batch_size)
            assert batches.steps_per_epoch == steps
            assert batches.chunk(0, 0, steps)[1].shape == (steps, batch_size)

    def test_draws_an_epoch_only_once(self, monkeypatch):
        drawn = []

        def counted(num_images, seed, epoch):
            drawn.append(epoch)
            return epoch_order(num_images, seed, epoch)

        monkeypatch.setattr(data.batches, "epoch_order", counted)
        batches = make_batches()
        for epoch, step in itertools.product(range(2), range(3)):
            batches.chunk(epoch, step, 1)
        assert drawn == [0, 1]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"batch_size": 24}, "batch_size=24, num_images=23"),
            ({"batch_size": 0}, "batch_size=0"),
            ({"seed": -1}, "seed=-1"),
            ({"padding": -1}, "padding=-1"),
            ({"padding": 8}, r"padding=8, image_shape=\(8, 8, 3\)"),
        ],
    )
    def test_refuses(self, arguments, message):
        with pytest.raises(InputError, match=message):
            make_batches(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((-1, 0, 1), "epoch=-1"),
            ((1.5, 0, 1), r"epoch=1\.5"),
            ((0, 0, 4), "at most 3.*first_step=0, num_steps=4"),
            ((0, 3, 1), "below 3.*first_step=3"),
            ((0, -1, 1), "first_step=-1"),
            ((0, 0, 0), "num_steps=0"),
            ((0, 0, 1, 4, 3), "at most 6.*first_position=4, num_positions=3"),
            ((0, 0, 1, 6), "below 6.*first_position=6"),
            ((0, 0, 1, -1), "first_position=-1"),
            ((0, 0, 1, 0, 0), "num_positions=0"),
        ],
    )
    def test_chunk_refuses(self, arguments, message):
        with pytest.raises(InputError, match=message):
            make_batches().chunk(*arguments)


class TestEvalChunks:
    @pytest.mark.parametrize("batch_size", [1, 5, 10, 23, 24, 100])
    def test_counts_every_image_once_in_order(self, batch_size):
        split = make_split()
        chunks = list(data.eval_chunks(split, batch_size))
        assert {images.shape for images, _, _ in chunks} == {(batch_size, 8, 8, 3)}
        images, labels, weights = map(np.concatenate, zip(*chunks, strict=True))
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert weights.dtype == np.float32
        assert len(images) == len(labels) == -(-23 // batch_size) * batch_size
        assert weights.tolist() == [1] * 23 + [0] * (len(images) - 23)
        np.testing.assert_array_equal(images[:23], split.images)
        np.testing.assert_array_equal(labels[:23], split.labels)
        assert not images[23:].any()
        assert not labels[23:].any()

    @pytest.mark.parametrize("batch_size", [0, -3, 1.5])
    def test_refuses_at_the_call(self, batch_size):
        with pytest.raises(InputError, match=f"batch_size={batch_size}"):
            data.eval_chunks(make_split(), batch_size)


def test_resized_crops_are_parts_of_the_image_and_the_same_for_every_worker():
    size, number = 16, 40
    # Each pixel's row and column, so that a crop tells where it is from.
    rows, columns = np.mgrid[:size, :size].astype(np.uint8) * 8
    images = np.repeat(np.stack([rows, columns, rows], -1)[None], number, axis=0)
    split = data.Split(images, np.arange(number) % 2)
    batches = TrainBatches(split, 20, 3, 2, True, crop="resized")
    whole, labels = batches.chunk(1, 0, 2)
    for first in (0, 5):
        part, some = batches.chunk(1, 0, 2, first, 5)
        np.testing.assert_array_equal(part, whole[:, first : first + 5])
        np.testing.assert_array_equal(some, labels[:, first : first + 5])
    crops = epoch_crops(number, 3, 1)
    order = epoch_order(number, 3, 1)
    flips = epoch_augmentation(number, 3, 1, 2, True)[2]
    areas = crops[:, 0] * crops[:, 1]
    assert 0.05 < areas.min() < 0.2 < 0.8 < areas.max() <= 1
    assert 0 < crops.min() < crops.max() <= 1
    for position, image in enumerate(whole.reshape(number, size, size, 3)):
        sides = np.maximum(1, np.rint(crops[position, :2] * size))
        start = np.rint(crops[position, 2:] * (size - sides))
        image = image[:, ::-1] if flips[position] else image
        middle = image[:, :, :2].mean((0, 1)) / 8
        np.testing.assert_allclose(middle, start + (sides - 1) / 2, atol=0.2)
    assert len(set(order)) == number


def test_refuses_another_crop():
    with pytest.raises(InputError, match=r"`crop` must be.*'centre'"):
        TrainBatches(make_split(), 5, 0, 2, True, crop="centre")
