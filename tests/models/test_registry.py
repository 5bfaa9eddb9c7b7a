import functools
import random

import keras
import numpy as np
import pytest

from tfsupermask import layers, models
from tfsupermask._validation import InputError


def test_names_are_in_alphabetical_order():
    expected = (
        "alexnet conv2 conv4 conv6 conv8 resnet101 resnet18 resnet34 resnet50 vgg16"
    )
    assert models.names() == models.names("width") == expected.split()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("conv66", " Did you mean 'conv6'?"),
        ("Conv2", " Did you mean 'conv2'?"),
        ("resnet-18", " Did you mean 'resnet18'?"),
        ("transformer", ""),
        ("", ""),
        (None, ""),
        (6, ""),
        ([], ""),
    ],
)
def test_refuses_an_unknown_name_with_a_hint(name, hint):
    with pytest.raises(InputError) as error:
        models.build(name)
    listed = ", ".join(models.names())
    assert str(error.value) == (
        f"`model` must be one of {listed}.{hint} Received: model={name!r}"
    )


@pytest.mark.parametrize(
    ("argument", "value", "named"),
    [
        ("sparsity", 1.0, "sparsity=1.0"),
        ("num_classes", 1, "num_classes=1"),
        ("num_classes", 10.0, "num_classes=10.0"),
        ("seed", -1, "seed=-1"),
        ("seed", None, "seed=None"),
        ("method", "random", "method='random'"),
        ("input_shape", (32, 32), r"input_shape=\(32, 32\)"),
        ("input_shape", 32, "input_shape=32"),
        ("input_shape", (None, 32, 3), "height=None"),
        ("input_shape", (32, "32", 3), "width='32'"),
        ("input_shape", (32, 32, 0), "channels=0"),
        ("width", 0, "width=0"),
        ("width", float("inf"), "width=inf"),
        ("width", 101, "width=101"),
        ("width", "2", "width='2'"),
        ("affine_norm", "yes", "affine_norm='yes'"),
        ("affine_norm", True, "affine_norm=True"),
    ],
)
def test_refuses_bad_arguments(argument, value, named):
    with pytest.raises(InputError, match=f"Received: {named}$"):
        models.build("conv2", **{argument: value})


@pytest.fixture
def registered():
    """Registers builders for a test, by name."""
    before = dict(models.registry._BUILDERS)
    yield lambda name, builder: models.register(name)(builder)
    models.registry._BUILDERS.clear()
    models.registry._BUILDERS.update(before)


GIVEN = {
    "input_shape": (8, 9, 1),
    "num_classes": 7,
    "sparsity": 0.25,
    "method": "signed",
    "seed": 3,
}


def test_a_registered_builder_receives_what_is_not_the_default(registered):
    received = []
    registered("takes_all", lambda **arguments: received.append(arguments))
    for options in ({}, {"width": 1, "affine_norm": False}, {"width": 0.5}):
        models.build("takes_all", **GIVEN, **options)
    assert received == [GIVEN, GIVEN, GIVEN | {"width": 0.5}]
    assert "takes_all" in models.names("affine_norm")


def test_names_and_seeds_that_a_builder_leaves_out_are_the_same_each_time(registered):
    @functools.partial(registered, "anonymous")
    def build(*, input_shape, num_classes, sparsity, method, seed):
        x = inputs = keras.Input(input_shape)
        x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
        x = layers.SupermaskDense(num_classes, sparsity=sparsity, method=method)(x)
        return keras.Model(inputs, x)

    state, number = random.getstate(), keras.layers.Flatten().name
    one, same = (models.build("anonymous", **GIVEN) for _ in range(2))
    assert random.getstate() == state
    assert keras.layers.Flatten().name != number
    other = models.build("anonymous", **{**GIVEN, "seed": 4})
    for name in ("kernel", "score", "seed_generator_state"):
        values = [
            {v.path: v.numpy() for v in each.variables if v.path.endswith(name)}
            for each in (one, same, other)
        ]
        assert values[0].keys() == values[1].keys() == values[2].keys() != set()
        for path, value in values[0].items():
            np.testing.assert_array_equal(value, values[1][path])
            assert np.any(value != values[2][path])


def test_a_builder_of_five_arguments_works_without_options_and_refuses_them(registered):
    def build(*, input_shape, num_classes, sparsity, method, seed):
        return input_shape, num_classes, sparsity, method, seed

    registered("takes_five", build)
    assert models.build("takes_five", **GIVEN) == tuple(GIVEN.values())
    assert "takes_five" not in models.names("width")
    for option, value in {"width": 0.5, "affine_norm": True}.items():
        with pytest.raises(InputError) as error:
            models.build("takes_five", **GIVEN, **{option: value})
        assert str(error.value) == (
            f"`{option}` must be left out: takes_five does not have this option. "
            f"Received: {option}={value}"
        )
