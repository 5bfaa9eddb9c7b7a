"""The maps that layers receive while PatchesInit works through a network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np

from tfsupermask._validation import fail
from tfsupermask.init.observing import (
    Trace,
    normalisations_in,
    statistics_restored,
    take_statistics,
)
from tfsupermask.layers import dense_forward

_BYTES_KEPT = 5 * 2**27  # of a layer's maps; those of two layers are kept at a time


def forward_mode(model: keras.Model, forward: str) -> contextlib.AbstractContextManager:
    """Returns the context of a `"dense"` or a `"masked"` forward pass."""
    return dense_forward(model) if forward == "dense" else contextlib.nullcontext()


@contextlib.contextmanager
def maps_before(
    trace: Trace, images: np.ndarray, sample: np.ndarray, preprocess: Callable
) -> Iterator[Callable[[keras.Layer], Callable[[np.ndarray], np.ndarray]]]:
    """Yields a function from a layer to the function that gives the layer's maps.

    The latter takes indices of images and returns float32 maps. Layers must be asked
    for in the order of their calls, and those before must stay as they are from then
    on. Batch normalisations use the statistics of the images `sample`, and get theirs
    back after the body.
    """
    waiting, normalisations = list(trace.received), normalisations_in(trace.received)
    activations = Activations(trace, images, preprocess)
    sampled = Activations(trace, images[sample], preprocess)

    def maps_of(layer):
        while (earlier := waiting.pop(0)) is not layer:
            if earlier in normalisations:
                batch = sampled.before(earlier)(np.arange(len(sample)))
                take_statistics(earlier, batch)
        return activations.before(layer)

    with statistics_restored(normalisations):
        yield maps_of


class Activations:
    """The maps that layers receive; the layers are taken in the order of their calls.

    Maps are kept, up to 640 MiB a layer, and those of the next layer computed from
    them. They are computed from the images only where they were not kept, or where the
    network has branches in between.
    """

    def __init__(self, trace: Trace, images: np.ndarray, preprocess: Callable):
        self._trace = trace
        self._sources = [_Images(trace.inputs, images, preprocess)]
        self._num_images = len(images)

    def before(self, layer: keras.Layer) -> Callable[[np.ndarray], np.ndarray]:
        """Returns a function from indices of images to the float32 maps of `layer`."""
        end = self._trace.received[layer]
        routes = [
            (source, function)
            for source in self._sources
            if (function := self._trace.between(source.tensor, end))
        ]
        images, *nearest = routes[0], *routes[1:][-1:]
        kept = _KeptMaps(end, self._num_images)
        self._sources = [source for source, _ in (images, *nearest)] + [kept]

        def activations(indices):
            maps = kept.get(indices)
            if maps is None:
                maps = next(
                    function(known)
                    for source, function in (*nearest, images)
                    if (known := source.get(indices)) is not None
                )
                _check_maps(layer, maps, indices)
                kept.put(indices, maps)
            return maps

        return activations


def _check_maps(layer, maps, indices):
    if len(maps) != len(indices):
        raise fail(
            f"Layer '{layer.name}' must receive one map for each image, or be left "
            "out by `only`.",
            images=len(indices),
            maps=len(maps),
        )


def one_channel_each(
    maps_of: Callable[[np.ndarray], np.ndarray], seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function that gives one channel of each map, by the seed."""

    def one_channel(indices):
        maps = maps_of(indices)
        draws = np.random.Generator(np.random.Philox(seed)).random(indices.max() + 1)
        channel = (draws[indices] * maps.shape[-1]).astype(int)
        return maps[np.arange(len(maps)), :, :, channel][..., None]

    return one_channel


class _Images:
    def __init__(self, tensor, images, preprocess):
        self.tensor = tensor
        self._images, self._preprocess = images, preprocess

    def get(self, indices):
        return self._preprocess(self._images[indices])


class _KeptMaps:
    """A tensor's values for the images that came first."""

    def __init__(self, tensor, num_images):
        self.tensor = tensor
        self._place = np.full(num_images, -1)
        self._count = 0
        self._values = None

    def get(self, indices):
        """Returns the maps of these images, or `None` unless it has all of them."""
        place = self._place[indices]
        return self._values[place] if (place >= 0).all() else None

    def put(self, indices, maps):
        """Keeps the maps as far as there is room."""
        if self._values is None:
            room = min(len(self._place), _BYTES_KEPT // maps[0].nbytes)
            self._values = np.empty((room, *maps.shape[1:]), maps.dtype)
        new = indices[self._place[indices] < 0][: len(self._values) - self._count]
        self._place[new] = np.arange(self._count, self._count + len(new))
        self._count += len(new)
        place = self._place[indices]
        self._values[place[place >= 0]] = maps[place >= 0]
