"""Which convolutions of a model PatchesInit sets, and why it leaves the others."""

from __future__ import annotations

import keras

from tfsupermask._validation import fail


def find_convolutions(
    model: keras.Model, only: list[str] | None
) -> tuple[dict[int, keras.layers.Conv2D], dict[str, str], int]:
    """Returns the convolutions to set by number, and why others are not set.

    Numbers count the convolutions that could be set in forward order, from 1; the last
    of them comes third.
    """
    found, skipped = {}, {}
    for layer in model.layers:
        if hasattr(layer, "layers"):
            skipped[layer.name] = "nested model"
        elif not isinstance(layer, keras.layers.Conv2D):
            continue
        elif layer.kernel_size == (1, 1):
            skipped[layer.name] = "1x1 convolution"
        elif layer.groups > 1:
            skipped[layer.name] = "grouped convolution"
        elif layer.data_format != "channels_last":
            skipped[layer.name] = "channels first"
        else:
            found[len(found) + 1] = layer
    if not found:
        raise fail(
            "`model` must have a Conv2D layer larger than 1x1, ungrouped and "
            "channels last.",
            model=model.name,
            skipped=skipped,
        )
    return _chosen(found, skipped, only), skipped, len(found)


def _chosen(found, skipped, only):
    """Returns the convolutions that `only` names; the others are skipped."""
    if only is None:
        return found
    names = [layer.name for layer in found.values()]
    unknown = sorted(set(only) - set(names))
    if unknown or not only:
        raise fail(f"`only` must name some of {names}.", only=only)
    skipped |= {name: "not in `only`" for name in names if name not in only}
    return {n: layer for n, layer in found.items() if layer.name in only}
