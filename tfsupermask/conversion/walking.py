"""The layers that a model is made of."""

from __future__ import annotations

from collections.abc import Iterator

import keras

from tfsupermask._validation import fail
from tfsupermask.layers import SupermaskMixin


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


def masked_layers(model: keras.Model) -> list[SupermaskMixin]:
    """Returns the built supermask layers of a model in its layer order, each once."""
    return [
        layer
        for layer in leaves(model)
        if isinstance(layer, SupermaskMixin) and layer.built
    ]
