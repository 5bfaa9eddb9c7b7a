import pytest

from tfsupermask import models
from tfsupermask._validation import InputError


def test_names_are_in_alphabetical_order():
    expected = "alexnet conv2 conv4 conv6 resnet101 resnet18 resnet34 resnet50 vgg16"
    assert models.names() == expected.split()


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
        ("input_shape", (None, 32, 3), "height=None"),
        ("input_shape", (32, "32", 3), "width='32'"),
        ("input_shape", (32, 32, 0), "channels=0"),
    ],
)
def test_refuses_bad_arguments(argument, value, named):
    with pytest.raises(InputError, match=f"Received: {named}$"):
        models.build("conv2", **{argument: value})


def test_a_registered_builder_receives_all_arguments():
    received = {}
    models.register("test_only")(lambda **arguments: received.update(arguments))
    try:
        assert "test_only" in models.names()
        models.build("test_only", [8, 9, 1], 7, 0.25, "signed", 3)
    finally:
        del models.registry._BUILDERS["test_only"]
    assert received == {
        "input_shape": (8, 9, 1),
        "num_classes": 7,
        "sparsity": 0.25,
        "method": "signed",
        "seed": 3,
    }
