"""Models by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from tfsupermask._validation import (
    check_choice,
    check_fraction,
    check_integer,
    check_number,
    fail,
)

if TYPE_CHECKING:
    import keras

# Options of `build` that a builder need not have, with the values that change nothing.
_OPTIONS = {"width": 1.0, "affine_norm": False}
_MAX_WIDTH = 100
_BUILDERS: dict[str, Callable[..., keras.Model]] = {}


def register(name: str) -> Callable:
    """Makes a builder available to `build` under `name`.

    Args:
        name: The name; an earlier builder with this name is replaced.

    Returns:
        A decorator for functions that take `input_shape`, `num_classes`, `sparsity`,
        `method` and `seed` by keyword, checked by `build`, and return a Keras model.
        They may also take `width` and `affine_norm`, with defaults: `build` passes them
        only if they are not 1 and `False`. In a run, names and seeds that they leave to
        Keras depend on the run's seed alone.

    Example:
        >>> @register("linear")
        ... def _build(*, input_shape, num_classes, sparsity, method, seed):
        ...     dense = layers.SupermaskDense(num_classes, sparsity=sparsity)
        ...     inputs = keras.Input(input_shape)
        ...     return keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
        >>> build("linear", sparsity=0.9).output_shape
        (None, 10)
    """

    def add(builder):
        _BUILDERS[name] = builder
        return builder

    return add


def names(option: str | None = None) -> list[str]:
    """Returns the names that `build` knows, in alphabetical order.

    Args:
        option: An option of `build`, `"width"` or `"affine_norm"`, that the network
            must have. Defaults to none.

    Example:
        >>> "conv6" in names()
        True
        >>> names("affine_norm")
        ['resnet101', 'resnet18', 'resnet34', 'resnet50', 'vgg16']
    """
    return sorted(each for each in _BUILDERS if option is None or _has(each, option))


def _has(name, option):
    parameters = inspect.signature(_BUILDERS[name]).parameters
    anything = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return anything or option in parameters


def check_width(name: str, value: object) -> float:
    """Returns a width above 0 and at most 100 as a float."""
    if check_number(name, value, above=True) > _MAX_WIDTH:
        raise fail(f"`{name}` must be at most {_MAX_WIDTH}.", **{name: value})
    return float(value)


def build(
    name: str,
    input_shape: Sequence[int] = (32, 32, 3),
    num_classes: int = 10,
    sparsity: float = 0.5,
    method: str = "edge_popup",
    seed: int = 0,
    *,
    width: float = 1.0,
    affine_norm: bool = False,
) -> keras.Model:
    """Builds a supermask model: image in, logits out.

    The thesis's are conv2, conv4, conv6 and resnet18. To keep the first or the last
    layer whole, call `tfsupermask.sparsity.allocate` for the model.

    Kernels start as Xavier normal, scores as Kaiming-uniform (a = √5). Both depend only
    on `seed`.

    Args:
        name: One of `names()`, for example `"conv6"`.
        input_shape: `(height, width, channels)` of the images, in pixels. Defaults to
            (32, 32, 3).
        num_classes: Number of logits, at least 2. Defaults to 10.
        sparsity: Fraction of each layer's weights removed, in [0, 1). Defaults to 0.5.
        method: See `tfsupermask.layers.SupermaskMixin`. Defaults to `"edge_popup"`.
        seed: Any non-negative integer. Defaults to 0.
        width: Factor of all numbers of filters and of hidden neurons, above 0 and at
            most 100. They are rounded, and at least 1. Bottlenecks have four times as
            many outputs as filters. Defaults to 1.
        affine_norm: Whether batch normalisations have a scale and an offset for each
            channel, trained like the scores, with the same weight decay. Defaults to
            `False`. Only for networks with batch normalisation.

    Returns:
        A functional Keras model from normalised images `(batch, height, width,
        channels)` to logits `(batch, num_classes)`.

    Raises:
        InputError: An argument is unknown, out of range or too small for the model, or
            the model does not have the option.

    Example:
        >>> model = build("conv6", num_classes=100, sparsity=0.5)
        >>> model.output_shape
        (None, 100)
        >>> build("conv6", width=0.5).get_layer("conv6").filters
        128

    Reference:
        - Thesis Table 5.1; Ramanujan et al., 2020 (conv8, `width`); He et al., 2015
          (resnet18 to resnet101); Simonyan and Zisserman, 2014 (vgg16); Krizhevsky et
          al., 2012 (alexnet).
    """
    if name not in names():
        close = difflib.get_close_matches(str(name), names(), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise fail(f"`model` must be one of {', '.join(names())}.{hint}", model=name)
    sparsity = check_fraction("sparsity", sparsity)
    num_classes = check_integer("num_classes", num_classes, minimum=2)
    seed = check_integer("seed", seed)
    if not isinstance(input_shape, Iterable) or len(tuple(input_shape)) != 3:
        raise fail(
            "`input_shape` must be (height, width, channels).", input_shape=input_shape
        )
    for axis, size in zip(("height", "width", "channels"), input_shape, strict=True):
        check_integer(axis, size, minimum=1)
    options = {
        "width": check_width("width", width),
        "affine_norm": check_choice("affine_norm", affine_norm, (False, True)),
    }
    asked = {key: value for key, value in options.items() if value != _OPTIONS[key]}
    for option, value in asked.items():
        if not _has(name, option):
            raise fail(
                f"`{option}` must be left out: {name} does not have this option.",
                **{option: value},
            )
    return _BUILDERS[name](
        input_shape=tuple(input_shape),
        num_classes=num_classes,
        sparsity=sparsity,
        method=method,
        seed=seed,
        **asked,
    )


def check_side(name: str, input_shape: Sequence[int], halvings: int) -> None:
    """Raises if images are too small for the halvings of the network `name`."""
    if min(input_shape[:2]) < 2**halvings:
        raise fail(
            f"{name} halves the image {halvings} times and needs at least "
            f"{2**halvings} pixels a side.",
            input_shape=input_shape,
        )
