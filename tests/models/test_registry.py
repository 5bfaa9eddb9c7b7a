import numpy as np
import pytest

from tfsupermask import models
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


def test_numbers_may_be_numpys():
    model = models.build(
        "conv2",
        tuple(np.array([8, 8, 3])),
        np.arange(4).max(),
        sparsity=np.float32(0.5),
        seed=np.int64(1),
    )
    assert model.output_shape == (None, 3)
