"""Walks through the layers of a model, and finds its masks."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Iterator

import keras
from keras.src.models.functional import Functional, functional_like_constructor

from tfsupermask._validation import fail
from tfsupermask.layers.applying import masks_applied
from tfsupermask.layers.kernels import paths_in
from tfsupermask.layers.masked_weight import MaskedWeight
from tfsupermask.layers.mixin import SupermaskMixin


def children_of(layer: keras.Layer) -> list[keras.Layer]:
    """Returns the layers directly inside a graph or a layer with masks inside."""
    if isinstance(layer, SupermaskMixin):
        return []
    if is_graph(layer):
        return layer.layers
    inner = layer._flatten_layers(include_self=False)
    if any(isinstance(each, SupermaskMixin) for each in inner):
        return layer._flatten_layers(include_self=False, recursive=False)
    return []  # it counts as a whole


def is_graph(layer: keras.Layer) -> bool:
    """Returns whether a layer is a plain graph of layers, without its own `call`."""
    call = type(layer).call
    if isinstance(layer, keras.Sequential):
        return call is keras.Sequential.call
    return isinstance(layer, Functional) and (
        call is Functional.call or functional_like_constructor(type(layer))
    )


def check_built(model: keras.Model) -> None:
    """Raises unless `model` is a Keras model that has its weights."""
    if not isinstance(model, keras.Model):
        raise fail("`model` must be a Keras model.", model=model)
    if not model.built:
        raise fail(
            "`model` must be built: give it a `keras.Input`, or call it once.",
            model=model.name,
        )


def leaves(model: keras.Layer) -> dict[keras.Layer, tuple[str, ...]]:
    """Returns each layer that counts as a whole, with the names of those around it."""
    found, seen = {}, set()

    def walk(layer, around):
        if layer in seen:
            return
        seen.add(layer)
        children = children_of(layer)
        if not children:
            found[layer] = around
        for child in children:
            walk(child, around if layer is model else (*around, layer.name))

    walk(model, ())
    return found


def shared_layers(model: keras.Model) -> dict[keras.Layer, list[keras.Model]]:
    """Returns each layer that several inner models hold, with these models."""
    owners = {}
    for owner in filter(is_graph, model._flatten_layers()):
        for layer in dict.fromkeys(owner.layers):  # a Sequential may repeat one
            owners.setdefault(layer, []).append(owner)
    return {layer: models for layer, models in owners.items() if len(models) > 1}


def supermask_layers(model: keras.Layer) -> list[SupermaskMixin]:
    """Returns a model's supermask layers in its layer order, each once.

    They include those in nested models and in layers that hold other layers.

    Args:
        model: Any Keras model or layer.

    Example:
        >>> [layer.name for layer in supermask_layers(models.build("conv2"))]
        ['conv1', 'conv2', 'dense1', 'dense2', 'dense3']
    """
    return [layer for layer in leaves(model) if isinstance(layer, SupermaskMixin)]


def masked_weights(model: keras.Layer) -> list[MaskedWeight]:
    """Returns the masked weights of a model in its layer order, nested ones included.

    Args:
        model: Any Keras model or layer.

    Example:
        >>> [weight.name for weight in masked_weights(models.build("conv2"))][:2]
        ['conv1/kernel', 'conv2/kernel']
    """
    return [weight for weight, _ in named_weights(model)]


def named_weights(model: keras.Layer) -> list[tuple[MaskedWeight, list[str]]]:
    """Returns `masked_weights`, each with the names of the layers that it is in."""
    return [
        (weight, [*around, *weight.name.split("/")[:-1]])
        for layer, around in leaves(model).items()
        if isinstance(layer, SupermaskMixin)
        for weight in layer.masked_weights
    ]


def named_layers(
    model: keras.Model, wanted: Callable[[keras.Layer], bool]
) -> dict[keras.Layer, str]:
    """Returns the wanted layers in a model with their names, paths where two agree."""
    paths = {model: model.name} | paths_in(model)
    found = [layer for layer in paths if wanted(layer)]
    having = collections.Counter(layer.name for layer in found)
    return {x: x.name if having[x.name] == 1 else paths[x] for x in found}


def name_of_each(model: keras.Layer) -> dict[MaskedWeight, str]:
    """Returns `masked_weights` with their names, paths where two agree."""
    weights = named_weights(model)
    having = collections.Counter(weight.name for weight, _ in weights)
    return {
        weight: weight.name
        if having[weight.name] == 1
        else "/".join([*around, weight.name.rsplit("/", 1)[1]])
        for weight, around in weights
    }


def mask_variables(model: keras.Layer) -> set[int]:
    """Returns the ids of the variables that are scores and numbers of weights kept."""
    masks = masked_weights(model)
    return {id(variable) for mask in masks for variable in mask.variables.weights}


def masks_found_once(model: keras.Layer) -> contextlib.AbstractContextManager[None]:
    """Computes each mask of a model only once in the body, for any number of calls.

    The scores must not change in the body.

    Args:
        model: Any Keras model.

    Returns:
        A context.

    Example:
        >>> model, images = models.build("conv2", (8, 8, 3)), tf.zeros((1, 8, 8, 3))
        >>> with masks_found_once(model):
        ...     twice = model(images), model(images)
    """
    # Layers that are computed twice to save memory must find their masks themselves.
    weights = [
        weight
        for weight in masked_weights(model)
        if getattr(weight.layer, "_remat_mode", None) is None
    ]
    return masks_applied(weights, model)


@contextlib.contextmanager
def dense_forward(model: keras.Layer) -> Iterator[None]:
    """Runs the body while all masks of `model` keep all weights.

    Args:
        model: Any Keras model. Its masks are restored when the body ends or fails.

    Example:
        >>> model = models.build("conv2", sparsity=0.9)
        >>> with dense_forward(model):
        ...     model.get_layer("conv1").realised_sparsity
        0.0
        >>> round(model.get_layer("conv1").realised_sparsity, 2)
        0.9
    """
    weights = masked_weights(model)
    counts = [int(weight.variables.num_kept.numpy()) for weight in weights]
    try:
        for weight in weights:
            weight.variables.num_kept.assign(weight.num_weights)
        yield
    finally:
        for weight, count in zip(weights, counts, strict=True):
            weight.variables.num_kept.assign(count)
