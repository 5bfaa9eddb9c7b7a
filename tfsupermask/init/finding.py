"""Layers of a model, wherever they are: in models and layers inside it."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable

import keras


def named_layers(
    model: keras.Model, wanted: Callable[[keras.Layer], bool]
) -> dict[keras.Layer, str]:
    """Returns the wanted layers of a model with their names.

    A name that several of them have is replaced by the path: `"outer/inner"`.
    """
    paths: dict[keras.Layer, str] = {}

    def walk(layer, prefix):
        for part in layer._flatten_layers(include_self=False, recursive=False):
            if part not in paths:
                paths[part] = prefix + part.name
                walk(part, f"{paths[part]}/")

    walk(model, "")
    found = [layer for layer in paths if wanted(layer)]
    having = collections.Counter(layer.name for layer in found)
    return {
        layer: layer.name if having[layer.name] == 1 else paths[layer]
        for layer in found
    }


def normalisations_in(
    layers: Iterable[keras.Layer],
) -> list[keras.layers.BatchNormalization]:
    """Returns the batch normalisations among layers."""
    kind = keras.layers.BatchNormalization
    return [layer for layer in layers if isinstance(layer, kind)]
