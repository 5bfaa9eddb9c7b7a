"""Chooses the kernels of a model to mask, and their sparsities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import keras

from tfsupermask._validation import fail
from tfsupermask.layers import SupermaskMixin, kernels_of, supermask_layers
from tfsupermask.layers.names import check_patterns, matches
from tfsupermask.layers.walking import children_of, is_graph, leaves
from tfsupermask.sparsity.choosing import Sparsity, choose

IsKernel = Callable[[keras.Layer, keras.Variable], bool]


def choose_sparsities(
    model: keras.Model, sparsity: Sparsity, skip: str | Iterable[str], kernels: IsKernel
) -> dict[int, dict[int, float]]:
    """Returns sparsities by layer id and kernel position; see `convert`."""
    skip = [skip] if isinstance(skip, str) else skip
    if not isinstance(skip, Iterable):
        raise fail("`skip` must be names of layers or patterns of names.", skip=skip)
    if not callable(kernels):
        raise fail(
            "`kernels` must be a function of a layer and one of its weights.",
            kernels=kernels,
        )
    skip = list(skip)
    every_name = [each.name for each in model._flatten_layers(include_self=False)]
    check_patterns("skip", skip, every_name)
    found = []
    for layer, outer in _layers_in(model):
        if not matches([*outer, layer.name], skip):
            _check_convertible(layer, skip)
            for kernel in kernels_of(layer, kernels):
                names = [*outer, layer.name, *kernel.name.split("/")[:-1]]
                if not matches(names, skip):
                    found.append((layer, kernel, names))
    chosen: dict[int, dict[int, float]] = {}
    seen = set()
    for (layer, kernel, _), value in zip(found, choose(sparsity, found), strict=True):
        # As the first model has it, of several that hold the layer.
        if value is not None and id(kernel.variable) not in seen:
            chosen.setdefault(id(layer), {})[kernel.position] = value
        seen.add(id(kernel.variable))
    if not chosen and not supermask_layers(model):
        raise fail(
            "`model` must have a kernel to mask, in a layer that neither `skip` nor "
            "`sparsity` leaves out.",
            model=model.name,
            classes=sorted({type(layer).__name__ for layer in leaves(model)}),
        )
    return chosen


def _layers_in(model, outer=()) -> Iterator[tuple[keras.Layer, tuple[str, ...]]]:
    """Yields the layers that can be masked, and the names of the models around them."""
    if is_graph(model):
        for layer in model.layers:
            around = (*outer, layer.name) if is_graph(layer) else outer
            yield from _layers_in(layer, around)
    elif not isinstance(model, SupermaskMixin) and not children_of(model):
        yield model, outer


def _check_convertible(layer, skip):
    for each in layer._flatten_layers():
        lora = getattr(each, "lora_enabled", False)
        quantized = getattr(each, "quantization_mode", None) is not None
        if (lora or quantized) and not matches([each.name], skip):
            state = "uses LoRA" if lora else "is quantized"
            raise fail(
                f"A layer that {state} has no plain kernel to mask: name it in `skip`.",
                layer=each.name,
            )
