import math

import keras
import numpy as np
import pytest

from tfsupermask import data
from tfsupermask.report.predictions import confusion_map, predict, shade
from tfsupermask.runs import Config
from tfsupermask.train import LoadedRun


@pytest.fixture
def dataset(rng):
    def split(count):
        images = rng.integers(0, 256, (count, 2, 2, 3), np.uint8)
        return data.Split(images, rng.integers(0, 4, count))

    return data.Dataset("noise", split(8), split(300), tuple("abcde"), False)


@pytest.fixture
def run(rng, dataset):
    model = keras.Sequential(
        [keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(5)]
    )
    model.layers[-1].kernel.assign(rng.normal(size=(12, 5)))
    ones = np.ones(3, np.float32)
    return LoadedRun(Config(), model, 1, (2, 2, 3), tuple("abcde"), ones / 2, ones)


@pytest.fixture
def probabilities(run, dataset):
    """By hand, in double precision."""
    flat = (dataset.test.images / 255 - 0.5).reshape(300, 12)
    logits = flat @ np.float64(run.model.layers[-1].kernel.numpy())
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_confusions_are_counted(run, dataset, probabilities):
    found = predict(run, dataset)
    expected = [[0] * 5 for _ in range(5)]
    for label, row in zip(dataset.test.labels, probabilities, strict=True):
        expected[label][row.argmax()] += 1
    assert found.confusion.tolist() == expected
    for label in range(4):
        row = found.confusion[label].tolist()
        assert found.class_accuracies[label] == row[label] / sum(row)
    assert math.isnan(found.class_accuracies[4])
    pairs = found.confused_pairs
    off_diagonal = found.confusion * (1 - np.eye(5, dtype=int))
    expected = {(a, b): off_diagonal[a, b] for a, b in np.argwhere(off_diagonal)}
    assert {(a, b): n for a, b, n in pairs} == expected
    counts = [count for _, _, count in pairs]
    assert counts == sorted(counts, reverse=True)


def test_worst_mistakes_are_those_of_the_highest_probability(
    run, dataset, probabilities
):
    wrong = [
        (row.max(), index)
        for index, row in enumerate(probabilities)
        if row.argmax() != dataset.test.labels[index]
    ]
    expected = sorted(wrong, reverse=True)[:18]
    found = predict(run, dataset).mistakes
    assert len(found) == len(expected) == 18
    for mistake, (probability, index) in zip(found, expected, strict=True):
        assert mistake.probability == pytest.approx(probability, rel=1e-4)
        assert mistake.label == dataset.test.labels[index]
        assert mistake.predicted == probabilities[index].argmax()
        np.testing.assert_array_equal(mistake.image, dataset.test.images[index])


def test_probabilities_of_half_precision_are_those_of_its_logits(run, dataset):
    run.model.layers[-1].dtype_policy = "mixed_bfloat16"
    logits = run.model(run.normalise(dataset.test.images)).numpy()
    assert logits.dtype == "bfloat16"
    exponentials = np.exp(np.float64(logits))
    best = (exponentials.max(axis=1) / exponentials.sum(axis=1)).tolist()
    for mistake in predict(run, dataset).mistakes:
        assert min(abs(mistake.probability - each) for each in best) < 1e-6


def test_a_model_that_is_always_right_has_no_mistakes(run, dataset):
    labels = predict(run, dataset).confusion.sum(axis=0).argmax()
    keep = dataset.test.labels == labels
    test = data.Split(dataset.test.images[keep], dataset.test.labels[keep])
    run.model.layers[-1].kernel.assign(np.zeros((12, 5)))
    run.model.layers[-1].bias.assign(np.eye(5)[labels])
    found = predict(run, data.Dataset("one", test, test, tuple("abcde"), False))
    assert found.mistakes == ()
    assert found.confused_pairs == []


def test_shades_are_square_roots_of_shares():
    shades = shade(np.array([[9, 1, 0], [0, 0, 0], [1, 1, 2]]))
    expected = [[0.9, 0.1, 0], [0, 0, 0], [0.25, 0.25, 0.5]]
    np.testing.assert_allclose(shades**2, expected, atol=1e-12)


def test_map_has_one_pixel_a_cell():
    picture = confusion_map(np.array([[4, 0], [1, 3]]))
    assert picture.shape == (2, 2, 4)
    assert picture[..., 3].tolist() == [[255, 0], [128, 221]]
    right, wrong = picture[0, 0, :3].tolist(), picture[1, 0, :3].tolist()
    assert picture[1, 1, :3].tolist() == right
    assert right[2] > right[0]
    assert wrong[0] > wrong[2]
