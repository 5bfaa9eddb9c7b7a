"""Which layers of a model to convert, and to what sparsity."""

from __future__ import annotations

import fnmatch
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping

import keras

from tfsupermask._validation import check_fraction, fail
from tfsupermask.conversion.classes import MASKED_CLASSES
from tfsupermask.layers.walking import leaves, parts_of, supermask_layers

Sparsity = float | Mapping[str, float] | Callable[[keras.Layer], float | None]


def plan(
    model: keras.Model, sparsity: Sparsity, skip: str | Iterable[str]
) -> dict[int, float]:
    """Returns the sparsity of each layer to convert, by the layer's id.

    Args:
        model: Built Keras model.
        sparsity: As `convert` takes it.
        skip: As `convert` takes it.

    Raises:
        InputError: An argument is not as there, or there is nothing to convert, or a
            layer to convert cannot be.
    """
    skip = [skip] if isinstance(skip, str) else list(skip)
    _check_patterns("skip", skip, [layer.name for layer in _all_parts(model)])
    candidates = [
        layer
        for layer in _all_parts(model, skip)
        if type(layer) in MASKED_CLASSES
        and layer.built
        and not _matches(layer.name, skip)
    ]
    choose = _chooser(sparsity, candidates)
    chosen = [(layer, choose(layer)) for layer in candidates]
    chosen = [(layer, value) for layer, value in chosen if value is not None]
    if not chosen and not supermask_layers(model):
        raise fail(
            "`model` must have a layer to convert: a convolution or `Dense` of Keras "
            "that neither `skip` nor `sparsity` leaves out.",
            model=model.name,
            classes=sorted({type(layer).__name__ for layer in leaves(model)}),
        )
    for layer, _ in chosen:
        _check_convertible(layer)
    return {id(layer): check_fraction("sparsity", value) for layer, value in chosen}


def _all_parts(layer, skip=()) -> Iterator[keras.Layer]:
    """Yields the layers and models in a model, without what is in those to skip."""
    for part in parts_of(layer):
        yield part
        if isinstance(part, keras.Model) and not _matches(part.name, skip):
            yield from _all_parts(part, skip)


def _chooser(sparsity, candidates):
    """Returns the function from a layer to its sparsity or `None`."""
    if isinstance(sparsity, numbers.Real):
        return lambda layer: sparsity
    if isinstance(sparsity, Mapping):
        _check_patterns("sparsity", sparsity, [layer.name for layer in candidates])
        return lambda layer: next(
            (sparsity[key] for key in sparsity if _matches(layer.name, [key])), None
        )
    if callable(sparsity):
        return sparsity
    raise fail(
        "`sparsity` must be a number in [0, 1), a dict from patterns of layer names to "
        "numbers, or a function from a layer to a number or `None`.",
        sparsity=sparsity,
    )


def _check_patterns(argument, patterns, names):
    for pattern in patterns:
        if not isinstance(pattern, str) or not fnmatch.filter(names, pattern):
            raise fail(
                f"Each pattern in `{argument}` must match the name of a layer.",
                pattern=pattern,
            )


def _matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _check_convertible(layer):
    if getattr(layer, "lora_enabled", False):
        state = "uses LoRA"
    elif getattr(layer, "quantization_mode", None) is not None:
        state = "is quantized"
    else:
        return
    raise fail(
        f"A layer that {state} has no plain kernel to mask: name it in `skip`.",
        layer=layer.name,
    )
