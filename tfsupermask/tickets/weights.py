"""A model's weights, from variables to the parts of a ticket and back."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._validation import fail
from tfsupermask.layers import MaskedWeight, kernels_of, masked_weights
from tfsupermask.layers.kernels import draw_like, weights_in
from tfsupermask.layers.walking import leaves
from tfsupermask.tickets.allowed import is_allowed
from tfsupermask.tickets.architecture import to_tree
from tfsupermask.tickets.file import PRECISIONS, Container, Part, check_keys

_AUTOMATIC_NUMBER = re.compile(r"(?<=/variable)_\d+$")


@dataclasses.dataclass(frozen=True)
class Weight:
    """A variable of a layer, with its mask and its initializer if it has them."""

    variable: keras.Variable
    owner: str
    masked: MaskedWeight | None = None
    initializer: keras.initializers.Initializer | None = None

    @property
    def name(self) -> str:
        """The names of its layer and of itself, for messages."""
        # Keras numbers variables without names through the whole program.
        return _AUTOMATIC_NUMBER.sub("", "/".join(self.variable.path.split("/")[-2:]))

    @property
    def described(self) -> str:
        """The name with the layer's present one, which may have changed, and a type."""
        own_name = self.name.rpartition("/")[-1]
        return f"{self.owner}/{own_name}: {self.dtype.name} {self.shape}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self.variable.shape)

    @property
    def size(self) -> int:
        """Number of its elements."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """Its dtype."""
        return _dtype(self.variable.dtype)

    def draw(self) -> np.ndarray | None:
        """Returns what its initializer draws, `None` if that has no seed."""
        if self.initializer is None:
            return None
        tree = to_tree(self.initializer)
        known = is_allowed("initializer", tree)
        if not known or type(tree["config"].get("seed")) is not int:
            return None
        # With a new initializer, because this one may have drawn before.
        initializer = type(self.initializer).from_config(tree["config"])
        return draw_like(self.variable, initializer)


def list_weights(model: keras.Model) -> list[Weight]:
    """Returns the weights of a model without its scores, in Keras' order."""
    masks = {id(weight.kernel): weight for weight in masked_weights(model)}
    initializers = {
        id(kernel.variable): kernel.initializer
        for layer in leaves(model)
        for kernel in kernels_of(layer)
    }
    return [
        Weight(each, owner.name, masks.get(id(each)), initializers.get(id(each)))
        for owner, each in weights_in(model)
    ]


def weight_parts(weight: Weight, precision: str) -> list[Part]:
    """Returns the parts that hold a weight; a masked kernel has several."""
    extra = {"shape": list(weight.shape), "dtype": weight.dtype.name}
    parts = []
    values = keras.ops.convert_to_numpy(weight.variable)
    if weight.masked is not None:
        if weight.masked.method.has_scores:
            _check_finite("scores", weight, weight.masked.score.numpy())
        mask = weight.masked.mask.numpy()
        kept = values[mask != 0]
        _check_finite("kept weights", weight, kept)
        extra["num_kept"] = kept.size
        _check_selected(weight, mask)
        parts.append(Part(weight.name, "mask", pack_mask(mask), extra))
        if weight.masked.method.inverts:
            signs = pack_mask(mask[mask != 0] < 0)
            parts.append(Part(weight.name, "signs", signs, extra))
    drawn = weight.draw()
    if drawn is not None and to_bytes(drawn) == to_bytes(values):
        extra = {**extra, "drawn_sha256": _sha256(values)}
        return [*parts, Part(weight.name, "drawn", b"", extra)]
    if weight.masked is None:
        _check_finite("weights", weight, values)
        return [Part(weight.name, "values", to_bytes(values), extra)]
    kept = _narrow(kept, precision, weight.name)
    extra = {**extra, "stored_dtype": kept.dtype.name}
    return [*parts, Part(weight.name, "kept", to_bytes(kept), extra)]


def restore_weight(
    weight: Weight, parts: Iterator[dict[str, Any]], container: Container
) -> None:
    """Sets a weight, and its mask if it has one, from the next parts of a ticket."""
    mask = None
    if weight.masked is not None:
        mask = _read_mask(weight, parts, container)
    part = _next_part(weight, parts, "values" if mask is None else "kept", "drawn")
    if part["kind"] == "drawn":
        values = _draw_again(weight, part, container)
    elif part["kind"] == "kept":
        values = _read_kept(weight, part, container, mask != 0)
    else:
        data = container.read(part, weight.size * weight.dtype.itemsize)
        values = from_bytes(data, weight.dtype, weight.shape)
    weight.variable.assign(values)
    if mask is not None:
        weight.masked.select(mask)


def pack_mask(mask: np.ndarray) -> bytes:
    """Returns a mask's bits in flat order, from the highest bit of each byte."""
    return np.packbits(np.ravel(mask) != 0).tobytes()


def unpack_mask(data: bytes, size: int) -> np.ndarray:
    """Returns the first `size` bits as booleans; those after them must be 0."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    if bits[size:].any():
        raise fail(
            "The bits after a mask's last one must be 0.", bits=bits[size:].tolist()
        )
    return bits[:size].astype(bool)


def to_bytes(values: np.ndarray) -> bytes:
    """Returns numbers in flat order, little-endian, in their own dtype."""
    # As integers, because NumPy cannot swap the bytes of bfloat16.
    size = values.dtype.itemsize
    bits = np.ascontiguousarray(values).reshape(-1).view(f"u{size}")
    return bits.astype(f"<u{size}").tobytes()


def from_bytes(data: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Undoes `to_bytes`."""
    bits = np.frombuffer(data, f"<u{dtype.itemsize}").astype(f"u{dtype.itemsize}")
    return bits.view(dtype).reshape(shape)


def _check_selected(weight, mask):
    """Raises unless the method's scores for a mask select this mask."""
    method, bits = weight.masked.method, np.sign(mask)
    again = method.mask(tf.constant(method.score_for(bits)), weight.masked.num_kept)
    if not np.array_equal(again, mask):
        raise fail(
            f"The scores that `score_for` gives must select the mask of {weight.name} "
            "again.",
            method=method.name,
        )


def _check_finite(what, weight, values):
    others = values.size - int(np.count_nonzero(np.isfinite(values)))
    if others:
        raise fail(
            f"The {what} of {weight.name} must be finite numbers.",
            not_finite=f"{others} of {values.size}",
        )


def _narrow(values, precision, name):
    """Returns values in a precision, or as they are if they already have less."""
    dtype = _dtype(precision)
    if values.dtype.itemsize <= dtype.itemsize:
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype)
    lost = ~np.isfinite(narrow)
    if lost.any():
        raise fail(
            f"The weights of {name} must fit in {precision}: choose another precision.",
            weight=float(values[lost][0]),
        )
    return narrow


def _next_part(weight, parts, *kinds):
    part = next(parts, None)
    if part is None:
        raise fail(f"The ticket must hold {weight.name}, which is not there.")
    check_keys("A weight's part", part, {"shape": list, "dtype": str})
    if tuple(part["shape"]) != weight.shape or part["dtype"] != weight.dtype.name:
        raise fail(
            f"{part['name']!r} must be {weight.dtype.name} of shape {weight.shape}.",
            shape=part["shape"],
            dtype=part["dtype"],
        )
    if part["kind"] not in kinds:
        raise fail(
            f"Part {part['name']!r} must be of kind {' or '.join(kinds)}.",
            kind=part["kind"],
        )
    return part


def _read_mask(weight, parts, container):
    """Returns a float32 mask of 0 and 1, and -1 where a weight is inverted."""
    part = _next_part(weight, parts, "mask")
    check_keys("A mask", part, {"num_kept": int})
    bits = _read_bits(part, container, weight.size)
    found = int(np.count_nonzero(bits))
    if found != part["num_kept"] or not found:
        raise fail(
            f"The mask of {part['name']!r} must keep the {part['num_kept']} weights, "
            "at least 1, that the header says.",
            num_kept=found,
        )
    mask = bits.astype(np.float32)
    if weight.masked.method.inverts:
        part = _next_part(weight, parts, "signs")
        mask[bits] = np.where(_read_bits(part, container, found), -1.0, 1.0)
    return mask.reshape(weight.shape)


def _read_bits(part, container, size):
    return unpack_mask(container.read(part, -(-size // 8)), size)


def _draw_again(weight, part, container):
    check_keys("A drawn weight", part, {"drawn_sha256": str})
    container.read(part, 0)
    values = weight.draw()
    if values is None:
        raise fail(f"The initializer of {part['name']!r} must have a seed.")
    if _sha256(values) != part["drawn_sha256"]:
        raise fail(
            f"{part['name']!r} must be drawn again exactly, and this version of "
            f"TensorFlow ({tf.__version__}) or Keras ({keras.__version__}) draws other "
            "numbers from its seed.",
            sha256=_sha256(values),
        )
    return values


def _read_kept(weight, part, container, mask):
    check_keys("Kept weights", part, {"stored_dtype": str})
    if part["stored_dtype"] not in (*PRECISIONS, weight.dtype.name):
        raise fail(
            f"Kept weights must be stored as {', '.join(PRECISIONS)} or as they are.",
            stored_dtype=part["stored_dtype"],
        )
    dtype = _dtype(part["stored_dtype"])
    num_kept = int(np.count_nonzero(mask))
    data = container.read(part, num_kept * dtype.itemsize)
    values = np.zeros(weight.shape, weight.dtype)
    values[mask] = from_bytes(data, dtype, (num_kept,)).astype(weight.dtype)
    return values


def _dtype(name):
    return np.dtype(tf.as_dtype(name).as_numpy_dtype)


def _sha256(values):
    return hashlib.sha256(to_bytes(values)).hexdigest()
