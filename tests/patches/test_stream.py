import numpy as np
import pytest

from tfsupermask.patches import Patches, PatchSource, Window
from tfsupermask.patches import stream as stream_module

MAPS = np.random.default_rng(0).random((40, 9, 8, 3), np.float32)


class Activations:
    """Maps of the images asked for, and which they were."""

    def __init__(self):
        self.asked = []

    def __call__(self, indices):
        self.asked.append(indices.tolist())
        return MAPS[indices]


def make(image=None):
    rng = np.random.default_rng(1)
    image = np.sort(rng.integers(0, 40, 500)) if image is None else image
    activations = Activations()
    patches = Patches(
        PatchSource(activations, np.arange(40) % 4, np.arange(40)),
        Window((3, 2), dilation=(1, 2)),
        image,
        rng.integers(-1, 8, len(image)),
        rng.integers(-1, 7, len(image)),
    )
    return patches, activations


def naive(patches, index):
    padded = np.pad(MAPS[patches.image[index]], ((1, 3), (1, 3), (0, 0)))
    row, column = patches.row[index] + 1, patches.column[index] + 1
    return padded[row : row + 3, column : column + 3 : 2]


IMAGES = {
    "sorted": None,
    "one": np.full(30, 7),
    "a patch each": np.random.default_rng(0).permutation(40),
    "in no order": np.repeat(np.random.default_rng(0).permutation(40), 3)[1:],
}


@pytest.mark.parametrize("batch", [1, 3, 7, 64])
@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_blocks_hold_every_patch_in_order(monkeypatch, image, batch):
    monkeypatch.setattr(stream_module, "_IMAGES_PER_BATCH", batch)
    patches, _ = make(image)
    expected = np.stack([naive(patches, i) for i in range(len(patches))])
    for _ in range(2):
        values = np.concatenate(list(patches.blocks()))
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_blocks_ask_for_each_image_once_in_batches_of_one_size(monkeypatch, image):
    monkeypatch.setattr(stream_module, "_IMAGES_PER_BATCH", 7)
    patches, activations = make(image)
    sizes = [len(block) for block in patches.blocks()]
    asked = activations.asked
    in_order = list(dict.fromkeys(patches.image.tolist()))
    assert [image for batch in asked for image in batch] == in_order
    assert {len(batch) for batch in asked[:-1]} <= {7}
    assert sizes == [np.isin(patches.image, batch).sum() for batch in asked]
    del asked[:]
    for number, _ in enumerate(patches.blocks(), start=1):
        assert len(asked) == number  # no batch ahead


def test_take_gives_the_chosen_ones_in_the_order_asked_for():
    patches, activations = make()
    indices = np.array([499, 3, 77, 3, 0])
    expected = np.stack([naive(patches, i) for i in indices])
    np.testing.assert_array_equal(patches.take(indices), expected)
    assert activations.asked == [np.unique(patches.image[indices]).tolist()]


def test_a_part_holds_the_chosen_ones():
    patches, _ = make()
    chosen = np.random.default_rng(2).random(500) < 0.3
    part = patches.only(chosen)
    np.testing.assert_array_equal(patches.labels, patches.image % 4)
    assert (len(part), len(patches)) == (chosen.sum(), 500)
    for values, expected in (
        (np.concatenate(list(part.blocks())), patches.take(np.flatnonzero(chosen))),
        (part.labels, patches.labels[chosen]),
    ):
        np.testing.assert_array_equal(values, expected)
