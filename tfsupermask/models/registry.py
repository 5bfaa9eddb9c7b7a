"""Models by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

import keras

from tfsupermask._validation import check_fraction, check_integer, fail

_BUILDERS: dict[str, Callable[..., keras.Model]] = {}


def register(name: str) -> Callable:
    """Makes a builder available to `build` under `name`.

    Args:
        name: The name; an earlier builder with this name is replaced.

    Returns:
        A decorator for functions that take `input_shape`, `num_classes`, `sparsity`,
        `method` and `seed` by keyword, checked by `build`, and return a Keras model.

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


def names() -> list[str]:
    """Returns the names that `build` knows, in alphabetical order.

    Example:
        >>> "conv6" in names()
        True
    """
    return sorted(_BUILDERS)


def build(
    name: str,
    input_shape: Sequence[int] = (32, 32, 3),
    num_classes: int = 10,
    sparsity: float = 0.5,
    method: str = "edge_popup",
    seed: int = 0,
) -> keras.Model:
    """Builds a supermask model: image in, logits out.

    The thesis's are conv2, conv4, conv6 and resnet18.

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

    Returns:
        A functional Keras model from normalised images `(batch, height, width,
        channels)` to logits `(batch, num_classes)`.

    Raises:
        InputError: An argument is unknown, out of range or too small for the model.

    Example:
        >>> model = build("conv6", num_classes=100, sparsity=0.5)
        >>> model.output_shape
        (None, 100)

    Reference:
        - Thesis Table 5.1; He et al., 2015 (resnet18 to resnet101); Simonyan and
          Zisserman, 2014 (vgg16); Krizhevsky et al., 2012 (alexnet).
    """
    if name not in _BUILDERS:
        close = difflib.get_close_matches(str(name), names(), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise fail(f"`model` must be one of {', '.join(names())}.{hint}", model=name)
    check_fraction("sparsity", sparsity)
    check_integer("num_classes", num_classes, minimum=2)
    check_integer("seed", seed)
    if len(input_shape) != 3:
        raise fail(
            "`input_shape` must be (height, width, channels).", input_shape=input_shape
        )
    for axis, size in zip(("height", "width", "channels"), input_shape, strict=True):
        check_integer(axis, size, minimum=1)
    return _BUILDERS[name](
        input_shape=tuple(input_shape),
        num_classes=num_classes,
        sparsity=sparsity,
        method=method,
        seed=seed,
    )


def check_side(name: str, input_shape: Sequence[int], halvings: int) -> None:
    """Raises if images are too small for the halvings of the network `name`."""
    if min(input_shape[:2]) < 2**halvings:
        raise fail(
            f"{name} halves the image {halvings} times and needs at least "
            f"{2**halvings} pixels a side.",
            input_shape=input_shape,
        )
