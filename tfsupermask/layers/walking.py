"""The layers that a model is made of, and its masks among them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from tfsupermask._validation import fail
from tfsupermask.layers.masked_weight import MaskedWeight
from tfsupermask.layers.supermask import SupermaskMixin


def parts_of(layer: keras.Layer) -> list[keras.Layer]:
    """Returns the layers right inside a model, or inside a layer that holds masks.

    Other layers count as a whole, whatever they are made of.
    """
    if isinstance(layer, keras.Model):
        return layer.layers
    inner = layer._flatten_layers(include_self=False)
    if any(isinstance(each, SupermaskMixin) for each in inner):
        return layer._flatten_layers(include_self=False, recursive=False)
    return []


def check_built(model: keras.Model) -> None:
    """Raises unless `model` is a Keras model that has its weights."""
    if not isinstance(model, keras.Model):
        raise fail("`model` must be a Keras model.", model=model)
    if not model.built:
        raise fail(
            "`model` must be built: give it a `keras.Input`, or call it once.",
            model=model.name,
        )


def leaves(model: keras.Model) -> Iterator[keras.Layer]:
    """Yields the layers of a model in its layer order, nested ones included, once."""
    seen = set()

    def walk(layer):
        for part in parts_of(layer):
            if id(part) not in seen:
                seen.add(id(part))
                yield from walk(part) if parts_of(part) else [part]

    return walk(model)


def supermask_layers(model: keras.Model) -> list[SupermaskMixin]:
    """Returns a model's supermask layers in its layer order, each once.

    Those of nested models and of layers that hold others are included.

    Args:
        model: Any Keras model.

    Example:
        >>> [layer.name for layer in supermask_layers(models.build("conv2"))]
        ['conv1', 'conv2', 'dense1', 'dense2', 'dense3']
    """
    return [layer for layer in leaves(model) if isinstance(layer, SupermaskMixin)]


def masked_weights(model: keras.Model) -> list[MaskedWeight]:
    """Returns the masked weights of a model in its layer order, nested ones included.

    Args:
        model: Any Keras model.

    Example:
        >>> [weight.name for weight in masked_weights(models.build("conv2"))][:2]
        ['conv1/kernel', 'conv2/kernel']
    """
    return [
        weight for layer in supermask_layers(model) for weight in layer.masked_weights
    ]


@contextlib.contextmanager
def dense_forward(model: keras.Model) -> Iterator[None]:
    """Runs the body with every mask of `model` keeping all weights.

    Args:
        model: Any Keras model; it gets its sparsities back when the body ends or fails.

    Example:
        >>> model = models.build("conv2", sparsity=0.9)
        >>> with dense_forward(model):
        ...     model.get_layer("conv1").realised_sparsity
        0.0
        >>> round(model.get_layer("conv1").realised_sparsity, 2)
        0.9
    """
    layers = supermask_layers(model)
    sparsities = [layer.sparsity for layer in layers]
    try:
        for layer in layers:
            layer.sparsity = 0.0
        yield
    finally:
        for layer, sparsity in zip(layers, sparsities, strict=True):
            layer.sparsity = sparsity
