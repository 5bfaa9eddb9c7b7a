import numpy as np
import pytest

from tfsupermask.patches import Patches, Window
from tfsupermask.patches import stream as stream_module

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 9, 8, 3), np.uint8)


class Activations:
    """Casts to float32, counting the images that it is given."""

    def __init__(self):
        self.count = 0

    def __call__(self, images):
        self.count += len(images)
        return images.astype(np.float32)


def make(count=500, window=None):
    rng = np.random.default_rng(1)
    activations = Activations()
    patches = Patches(
        IMAGES,
        np.arange(40) % 4,
        np.sort(rng.integers(0, 40, count)),
        rng.integers(-1, 8, count),
        rng.integers(-1, 7, count),
        window or Window((3, 2), dilation=(1, 2)),
        activations,
    )
    return patches, activations


def naive(patches, index):
    padded = np.pad(IMAGES[patches.image[index]], ((1, 3), (1, 3), (0, 0)))
    row, column = patches.row[index] + 1, patches.column[index] + 1
    return padded[row : row + 3, column : column + 3 : 2]


@pytest.mark.parametrize("kept", [0, 2**30])
@pytest.mark.parametrize(("block", "batch"), [(4096, 250), (64, 7), (1, 1), (500, 3)])
def test_blocks_hold_every_patch_in_order(monkeypatch, block, batch, kept):
    monkeypatch.setattr(stream_module, "_PATCHES_PER_BLOCK", block)
    monkeypatch.setattr(stream_module, "_IMAGES_PER_BATCH", batch)
    monkeypatch.setattr(stream_module, "_BYTES_KEPT", kept)
    patches, _ = make()
    for _ in range(2):
        blocks = list(patches.blocks())
        assert {len(b) for b in blocks[:-1]} <= {block}
        values = np.concatenate(blocks)
        assert values.dtype == np.float32
        expected = np.stack([naive(patches, i) for i in range(len(patches))])
        np.testing.assert_array_equal(values, expected)


def test_take_gives_the_chosen_ones_in_the_order_asked_for():
    patches, activations = make()
    indices = np.array([499, 3, 77, 3, 0])
    expected = np.stack([naive(patches, i) for i in indices])
    np.testing.assert_array_equal(patches.take(indices), expected)
    assert activations.count == len(np.unique(patches.image[indices]))


def test_labels_are_the_images():
    patches, _ = make()
    np.testing.assert_array_equal(patches.labels, patches.image % 4)


@pytest.mark.parametrize(("kept", "passes"), [(2**30, 1), (0, 2)])
def test_values_are_computed_again_only_where_they_do_not_fit(
    monkeypatch, kept, passes
):
    monkeypatch.setattr(stream_module, "_BYTES_KEPT", kept)
    patches, activations = make()
    for _ in range(2):
        list(patches.blocks())
    assert activations.count == passes * len(np.unique(patches.image))


def test_never_holds_more_than_a_block_where_they_do_not_fit(monkeypatch):
    monkeypatch.setattr(stream_module, "_BYTES_KEPT", 0)
    monkeypatch.setattr(stream_module, "_PATCHES_PER_BLOCK", 50)
    patches, activations = make()
    seen = 0
    for block in patches.blocks():
        seen += len(block)
        assert (
            activations.count
            <= np.searchsorted(np.unique(patches.image), patches.image[seen - 1])
            + 1
            + seen // 50
        )
    assert seen == len(patches)
