"""The maps that layers receive while PatchesInit works through a network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np

from tfsupermask._images import ImageArray
from tfsupermask._validation import fail
from tfsupermask.init.observing import (
    Trace,
    normalisations_in,
    statistics_restored,
    take_statistics,
)

_BYTES_KEPT = 5 * 2**27  # of a layer's maps; those of two layers are kept at a time


@contextlib.contextmanager
def maps_before(
    trace: Trace, images: ImageArray, sample: np.ndarray, preprocess: Callable
) -> Iterator[Callable[[keras.Layer], Callable[[np.ndarray], np.ndarray]]]:
    """Yields a function from a layer to a function from indices of images to its maps.

    Layers must be asked for in the order of their calls, and those before must stay as
    they are. Batch normalisations have the statistics of the `sample` in the body.
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

    Those of a layer are computed from the kept maps of the one before, or from the
    images if they were not kept or the network has branches in between.
    """

    def __init__(self, trace: Trace, images: ImageArray, preprocess: Callable):
        self._trace = trace
        # What there is: tensors, and functions from indices to their values or `None`.
        self._sources = [(trace.inputs, lambda chosen: preprocess(images[chosen]))]
        self._num_images = len(images)

    def before(self, layer: keras.Layer) -> Callable[[np.ndarray], np.ndarray]:
        """Returns a function from indices of images to the layer's float32 maps."""
        end = self._trace.received[layer]
        routes = [
            (source, function)
            for source in self._sources
            if (function := self._trace.between(source[0], end))
        ]
        images, *nearest = routes[0], *routes[1:][-1:]
        kept = _KeptMaps(self._num_images)
        self._sources = [source for source, _ in (images, *nearest)]
        self._sources.append((end, kept.get))

        def activations(indices):
            maps = kept.get(indices)
            if maps is None:
                maps = next(
                    function(known)
                    for (_, get), function in (*nearest, images)
                    if (known := get(indices)) is not None
                )
                if len(maps) != len(indices):
                    raise fail(
                        f"Layer '{layer.name}' must receive one map for each image, or "
                        "be left out by `only`.",
                        images=len(indices),
                        maps=len(maps),
                    )
                kept.put(indices, maps)
            return maps

        return activations


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


class _KeptMaps:
    """A tensor's values for the images that came first."""

    def __init__(self, num_images):
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
