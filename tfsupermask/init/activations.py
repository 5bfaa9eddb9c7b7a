"""What each layer of a network receives while PatchesInit works through it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np

from tfsupermask._validation import fail
from tfsupermask.init.finding import normalisations_in
from tfsupermask.init.tracing import Trace
from tfsupermask.init.watching import borrowed_statistics, take_statistics
from tfsupermask.layers import dense_forward

_BYTES_KEPT = 5 * 2**27  # of a layer's maps; those of two layers are kept at a time


def forward_mode(model: keras.Model, forward: str) -> contextlib.AbstractContextManager:
    """Returns the context of a `"dense"` or a `"masked"` forward pass."""
    return dense_forward(model) if forward == "dense" else contextlib.nullcontext()


class Activations:
    """The maps that layers receive; the layers are taken in the order of their calls.

    Maps are kept, as far as 640 MiB a layer hold them, and those of the next layer
    computed from them. The whole way from the images is gone only for what was not
    kept, or where the network has branches in between.

    Args:
        trace: What the layers receive, in symbols.
        images: Array (n, ...).
        preprocess: Function from a batch of images to what the model takes.
    """

    def __init__(self, trace: Trace, images: np.ndarray, preprocess: Callable):
        self._trace = trace
        self._sources = [_Images(trace.inputs, images, preprocess)]
        self._num_images = len(images)

    def before(self, layer: keras.Layer) -> Callable[[np.ndarray], np.ndarray]:
        """Returns a function from indices of images to the float32 maps of `layer`.

        The layers before must stay as they are from now on.
        """
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
    activations: Callable[[np.ndarray], np.ndarray], seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function that gives one channel of each image's map, any by the seed.

    Args:
        activations: Function from indices of images to maps of all channels.
        seed: Non-negative integer below 2⁶⁴.
    """

    def maps_of(indices):
        maps = activations(indices)
        draws = np.random.Generator(np.random.Philox(seed)).random(indices.max() + 1)
        channel = (draws[indices] * maps.shape[-1]).astype(int)
        return maps[np.arange(len(maps)), :, :, channel][..., None]

    return maps_of


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


@contextlib.contextmanager
def batch_statistics(
    trace: Trace, images: np.ndarray, preprocess: Callable
) -> Iterator[Callable[[keras.Layer], None]]:
    """Lends batch normalisations the statistics of one batch; takes them back after.

    Yields a function that brings those up to date that are called before a given layer,
    whose own inputs have just got their kernels.
    """
    waiting, normalisations = list(trace.received), normalisations_in(trace.received)
    activations = Activations(trace, images, preprocess)

    def update_before(layer):
        while (earlier := waiting.pop(0)) is not layer:
            if earlier in normalisations:
                maps_of = activations.before(earlier)
                take_statistics(earlier, maps_of(np.arange(len(images))))

    with borrowed_statistics(normalisations):
        yield update_before
