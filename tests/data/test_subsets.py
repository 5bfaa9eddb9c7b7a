import numpy as np
import pytest

from tfsupermask import data
from tfsupermask._validation import InputError

NAMES = ("a", "b", "c", "d")


def dataset_of(labels):
    """A dataset whose i-th training image is all i."""
    labels = np.array(labels, np.int64)
    images = np.empty((len(labels), 4, 4, 3), np.uint8)
    images[:] = np.arange(len(labels))[:, None, None, None]
    test = data.Split(images[:2] + 100, np.array([1, 0]))
    return data.Dataset("made", data.Split(images, labels), test, NAMES, True)


def kept_of(limited):
    return limited.train.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("labels", "limit_images", "expected"),
    [
        ([0, 0, 0, 1, 1, 1], 2, [0, 3]),
        ([0, 0, 0, 1, 1, 1], 3, [0, 1, 3]),
        ([1, 1, 0, 0, 2, 2], 1, [2]),  # of one rank, the lowest label first
        ([1, 1, 0, 0, 2, 2], 2, [0, 2]),
        ([1, 1, 0, 0, 2, 2], 4, [0, 2, 3, 4]),
        ([0, 0, 0, 0, 3, 0], 4, [0, 1, 2, 4]),  # as far as a class goes
        ([2, 0, 2, 1, 0, 1], 6, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_literal_tables(labels, limit_images, expected):
    dataset = dataset_of(labels)
    limited = data.limit(dataset, limit_images)
    assert kept_of(limited) == expected
    assert limited.train.labels.tolist() == [labels[i] for i in expected]


def in_loops(labels, limit_images):
    """Image after image: the lowest rank within its class, then the lowest label."""
    seen, order = {}, []
    for index, label in enumerate(labels):
        order.append((seen.get(label, 0), label, index))
        seen[label] = seen.get(label, 0) + 1
    return sorted(index for _, _, index in sorted(order)[:limit_images])


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_definition_in_loops(seed):
    labels = np.random.default_rng(seed).choice(4, 60, p=[0.6, 0.3, 0.1, 0]).tolist()
    dataset = dataset_of(labels)
    for limit_images in (1, 2, 7, 30, 59, 60):
        limited = data.limit(dataset, limit_images)
        assert kept_of(limited) == in_loops(labels, limit_images)
        assert limited.mean[0] == pytest.approx(np.mean(kept_of(limited)) / 255)


def test_everything_else_stays():
    dataset = dataset_of([0, 1, 2, 3] * 4)
    limited = data.limit(dataset, 5)
    assert limited.test is dataset.test
    assert (limited.name, limited.class_names) == ("made", NAMES)
    assert limited.horizontal_flip is True
    assert len(dataset.train) == 16
    assert dataset.validation is limited.validation is None
    part = data.hold_out(dataset, 4)
    assert part.test is dataset.test
    assert data.limit(part, 5).validation is part.validation


@pytest.mark.parametrize(
    ("function", "name", "too_many"),
    [(data.limit, "limit_images", 7), (data.hold_out, "validation_images", 3)],
)
def test_refuses_numbers_out_of_range(function, name, too_many):
    dataset = dataset_of([0, 1, 2, 3, 0, 1])
    for count in (0, -1, 2.0, True):
        with pytest.raises(InputError, match=f"{name}={count}$"):
            function(dataset, count)
    message = f"the 6 training images of made.*{name}={too_many}$"
    with pytest.raises(InputError, match=message):
        function(dataset, too_many)


@pytest.mark.parametrize(
    ("labels", "validation_images", "held"),
    [
        ([0, 0, 0, 1, 1, 1], 2, [2, 5]),
        ([0, 0, 0, 1, 1, 1], 4, [1, 2, 4, 5]),
        ([1, 1, 0, 0, 2, 2], 1, [3]),
        ([0, 0, 0, 0, 3, 0], 3, [2, 3, 5]),
        ([3, 0, 3, 0, 0, 0], 4, [2, 3, 4, 5]),
        ([0, 1, 2, 0, 1, 2], 3, [3, 4, 5]),
    ],
)
def test_holds_out_the_last_but_not_all_of_a_class(labels, validation_images, held):
    dataset = dataset_of(labels)
    part = data.hold_out(dataset, validation_images)
    assert part.validation.images[:, 0, 0, 0].tolist() == held
    assert part.validation.labels.tolist() == [labels[i] for i in held]
    assert kept_of(part) == [i for i in range(len(labels)) if i not in held]
    assert part.train.labels.tolist() == [labels[i] for i in kept_of(part)]
    assert (part.name, part.class_names) == ("made", NAMES)
