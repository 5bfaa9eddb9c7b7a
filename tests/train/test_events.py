import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import models
from tfsupermask.init import diagnose
from tfsupermask.layers import SupermaskDense, masked_weights
from tfsupermask.train import events


@pytest.fixture
def model():
    return models.build("conv2", (8, 8, 3), sparsity=0.7, seed=1)


def read_back(folder, write, *arguments):
    """What `write(writer, *arguments)` leaves in an event file, by tag and step."""
    writer = tf.summary.create_file_writer(str(folder))
    write(writer, *arguments)
    writer.close()
    (file,) = folder.iterdir()
    values = {}
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        for value in event.summary.value:
            content = tf.make_ndarray(value.tensor)
            plugin = value.metadata.plugin_data.plugin_name
            values[value.tag, event.step] = (plugin, content)
    return values


def test_an_epochs_row_becomes_scalars(tmp_path):
    row = {"epoch": 3, "test_loss": 0.25, "mask_flips": 0.01, "seconds": 2.0}
    values = read_back(tmp_path, events.write_events, row, keras.Sequential(), {})
    assert {key: float(content) for key, (_, content) in values.items()} == {
        ("test/loss", 3): 0.25,
        ("mask/flips", 3): np.float32(0.01),
        ("seconds", 3): 2.0,
    }


def test_scores_are_told_exactly(model, tmp_path):
    rng = np.random.default_rng(0)
    for weight in masked_weights(model):
        weight.score.assign(rng.normal(size=weight.score.shape))
    values = read_back(tmp_path, events.write_events, {"epoch": 2}, model, {})
    for weight in masked_weights(model):
        plugin, buckets = values[f"scores/{weight.name}", 2]
        scores = weight.score.numpy()
        assert plugin == "histograms"
        assert buckets.shape == (30, 3)
        assert buckets[0, 0] == scores.min()
        assert buckets[-1, 1] == scores.max()
        np.testing.assert_array_equal(buckets[1:, 0], buckets[:-1, 1])
        left, right, counts = buckets[7]
        assert counts == np.sum((scores >= left) & (scores < right))
        assert buckets[:, 2].sum() == weight.num_weights


@pytest.mark.parametrize("method", ["magnitude", "fixed", "dense"])
def test_trained_weights_are_told_in_place_of_scores(method, tmp_path):
    layer = SupermaskDense(3, name="dense", method=method, sparsity=0.25)
    model = keras.Sequential([keras.Input((4,)), layer])
    values = read_back(tmp_path, events.write_events, {"epoch": 1}, model, {})
    tags = "weights/dense/kernel", "sparsity/dense/kernel"
    assert set(values) == {(tag, 1) for tag in tags}
    _, buckets = values[tags[0], 1]
    kernel = layer.kernel.numpy()
    assert (buckets[0, 0], buckets[-1, 1]) == (kernel.min(), kernel.max())
    removed = 0 if method == "dense" else 0.25
    assert float(values[tags[1], 1][1]) == removed


def test_pictures_show_signs_with_their_gain():
    weight = masked_weights(models.build("conv2", (8, 8, 3), method="biprop"))[0]
    kernel, mask = weight.kernel.numpy(), weight.mask.numpy()
    gain = np.abs(kernel[mask == 1]).mean()
    expected = 0.5 + gain * np.sign(kernel) * mask / 2 / np.quantile(
        np.abs(kernel), 0.99
    )
    shown = tile(events.filter_pictures(weight)["kernel_times_mask"], 9, 8)
    np.testing.assert_allclose(shown, 255 * np.clip(expected, 0, 1)[..., 9], atol=0.51)


def test_sparsity_and_churn_are_told_by_layer(model, tmp_path):
    masked_weights(model)[0].sparsity = 0.25
    churn = {"conv2/kernel": 0.125}
    values = read_back(tmp_path, events.write_events, {"epoch": 2}, model, churn)
    found = {tag: float(v) for (tag, _), (_, v) in values.items() if np.ndim(v) == 0}
    expected = {
        f"sparsity/{weight.name}": np.mean(weight.mask.numpy() == 0)
        for weight in masked_weights(model)
    }
    assert expected["sparsity/conv1/kernel"] == 0.25
    assert found == pytest.approx(expected | {"churn/conv2/kernel": 0.125}, abs=1e-7)


def test_pictures_come_as_png(model, tmp_path):
    values = read_back(tmp_path, events.write_events, {"epoch": 2}, model, {})
    expected = events.filter_pictures(masked_weights(model)[0])
    for name, picture in expected.items():
        plugin, (width, height, encoded) = values[f"first_layer/{name}", 2]
        assert plugin == "images"
        assert (int(height), int(width)) == picture.shape[:2]
        np.testing.assert_array_equal(tf.io.decode_png(encoded), picture)


def test_a_model_without_convolutions_has_no_pictures(tmp_path):
    model = keras.Sequential([keras.Input((4,)), SupermaskDense(3, name="dense")])
    values = read_back(tmp_path, events.write_events, {"epoch": 1}, model, {})
    assert set(values) == {("scores/dense/kernel", 1), ("sparsity/dense/kernel", 1)}


def tile(picture, index, columns, size=3):
    """Undoes the magnification of one tile of a picture."""
    row, column = divmod(index, columns)
    side = 8 * size + 4
    top, left = row * side + 2, column * side + 2
    return picture[top : top + 8 * size : 8, left : left + 8 * size : 8]


def test_pictures_show_each_filter(model):
    weight = masked_weights(model)[0]
    pictures = events.filter_pictures(weight)
    kernel, mask = weight.kernel.numpy(), weight.mask.numpy()
    scale = np.quantile(np.abs(kernel), 0.99)
    for index in (0, 9, 63):
        shown = {name: tile(picture, index, 8) for name, picture in pictures.items()}
        np.testing.assert_array_equal(shown["mask"], 255 * mask[..., index])
        grey = 255 * np.clip(0.5 + kernel[..., index] / (2 * scale), 0, 1)
        np.testing.assert_allclose(shown["kernel"], grey, atol=0.51)
        kept = np.where(mask[..., index], grey, 127.5)
        np.testing.assert_allclose(shown["kernel_times_mask"], kept, atol=0.51)


def test_pictures_of_many_channels_are_grey(model):
    weight = masked_weights(model)[1]
    mask = weight.mask.numpy()
    picture = events.filter_pictures(weight)["mask"]
    mean = 255 * mask.mean(axis=2)[..., 9]
    np.testing.assert_allclose(tile(picture, 9, 8)[..., 0], mean, atol=0.51)
    assert np.ptp(picture, axis=-1).max() == 0


def test_a_kernel_of_zeros_can_be_shown(model):
    weight = masked_weights(model)[0]
    weight.kernel.assign(np.zeros(weight.kernel.shape))
    assert np.all(tile(events.filter_pictures(weight)["kernel"], 0, 8) == 128)


def test_layers_of_the_same_name_are_told_by_their_paths(tmp_path):
    parts = [
        keras.Sequential([keras.Input((4,)), SupermaskDense(4, name="d")], name=name)
        for name in "ab"
    ]
    model = keras.Sequential([keras.Input((4,)), *parts])
    values = read_back(tmp_path, events.write_events, {"epoch": 1}, model, {})
    names = {
        f"{what}/{name}/d/kernel" for what in ("scores", "sparsity") for name in "ab"
    }
    assert {tag for tag, _ in values} == names
    assert [each.layer for each in diagnose(model, np.eye(4))] == ["a/d", "b/d"]
