"""Chooses the kernels of a model to mask, and their sparsities."""

from __future__ import annotations

import fnmatch
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping

import keras

from tfsupermask._validation import check_fraction, fail
from tfsupermask.layers import Kernel, SupermaskMixin, kernels_of, supermask_layers
from tfsupermask.layers.walking import children_of, is_graph, leaves

Sparsity = float | Mapping[str, float] | Callable[[keras.Layer], float | None]
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
    _check_patterns("skip", skip, every_name)
    found = []
    for layer, outer in _layers_in(model):
        if not _matches([*outer, layer.name], skip):
            _check_convertible(layer, skip)
            for kernel in kernels_of(layer, kernels):
                names = [*outer, layer.name, *_names_in(layer, kernel)]
                if not _matches(names, skip):
                    found.append((layer, kernel, names))
    choose = _chooser(sparsity, found)
    chosen: dict[int, dict[int, float]] = {}
    for layer, kernel, names in found:
        value = choose(layer, kernel, names)
        if value is not None:
            by_position = chosen.setdefault(id(layer), {})
            by_position[kernel.position] = check_fraction("sparsity", value)
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


def _names_in(layer, kernel: Kernel):
    """Returns the names of the inner layers that a kernel belongs to."""
    if kernel.owner is layer:
        return []
    return [kernel.owner.name, *kernel.name.split("/")[:-1]]


def _chooser(sparsity, found):
    """Returns a function from a kernel to its sparsity or `None`."""
    if isinstance(sparsity, numbers.Real):
        return lambda layer, kernel, names: sparsity
    if isinstance(sparsity, Mapping):
        every_name = [name for *_, names in found for name in names]
        _check_patterns("sparsity", sparsity, every_name)
        return lambda layer, kernel, names: next(
            (sparsity[key] for key in sparsity if _matches(names, [key])), None
        )
    if callable(sparsity):
        return lambda layer, kernel, names: sparsity(_shown(layer, kernel))
    raise fail(
        "`sparsity` must be a number in [0, 1), a dict from patterns of layer names to "
        "numbers, or a function from a layer to a number or `None`.",
        sparsity=sparsity,
    )


def _shown(layer, kernel):
    """Returns the layer to give to users: for a recurrent cell the layer around it."""
    return layer if hasattr(kernel.owner, "state_size") else kernel.owner


def _check_patterns(argument, patterns, names):
    for pattern in patterns:
        if not isinstance(pattern, str) or not fnmatch.filter(names, pattern):
            raise fail(
                f"Each pattern in `{argument}` must match the name of a layer.",
                pattern=pattern,
            )


def _matches(names, patterns):
    return any(
        fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns
    )


def _check_convertible(layer, skip):
    for each in layer._flatten_layers():
        lora = getattr(each, "lora_enabled", False)
        quantized = getattr(each, "quantization_mode", None) is not None
        if (lora or quantized) and not _matches([each.name], skip):
            state = "uses LoRA" if lora else "is quantized"
            raise fail(
                f"A layer that {state} has no plain kernel to mask: name it in `skip`.",
                layer=each.name,
            )
