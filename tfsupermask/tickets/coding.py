"""Bytes of masks and of numbers, packed as tightly as deflate can."""

from __future__ import annotations

import zlib

import numpy as np

from tfsupermask._validation import fail

_RAW_DEFLATE = -15
_MOST_MEMORY = 9


def compress(data: bytes) -> tuple[str, bytes]:
    """Returns the shortest form of `data` and its codec, `"raw"` or `"deflate"`.

    Example:
        >>> compress(bytes(1000))[0]
        'deflate'
    """
    # Bits without structure come nearest to their entropy without the search for
    # repetitions; structured ones need it.
    shortest = min(
        (_deflate(data, strategy) for strategy in (zlib.Z_HUFFMAN_ONLY, 0)), key=len
    )
    return ("deflate", shortest) if len(shortest) < len(data) else ("raw", data)


def decompress(data: bytes, codec: str, length: int) -> bytes:
    """Undoes `compress`, never making more than `length` bytes.

    Args:
        data: What `compress` returned.
        codec: `"raw"` or `"deflate"`.
        length: Number of bytes that must come out, at least 0.

    Returns:
        The `length` bytes.

    Raises:
        InputError: The data is damaged, or does not make exactly `length` bytes.

    Example:
        >>> codec, data = compress(bytes(1000))
        >>> decompress(data, codec, 1000) == bytes(1000)
        True
    """
    if codec == "raw":
        decoded, complete = data, True
    else:
        decoder = zlib.decompressobj(_RAW_DEFLATE)
        try:
            # One more than wanted, as 0 would mean without limit.
            decoded = decoder.decompress(data, length + 1)
        except zlib.error as error:
            raise fail("A part must hold a deflate stream.", error=str(error)) from None
        complete = decoder.eof and not decoder.unused_data
    if not complete or len(decoded) != length:
        raise fail(f"A part must decode to {length} bytes.", decoded=len(decoded))
    return decoded


def pack_mask(mask: np.ndarray) -> bytes:
    """Returns a mask's bits in flat order, the first one in the highest bit.

    Example:
        >>> pack_mask(np.array([[1.0, 0.0], [0.0, 1.0]])).hex()
        '90'
    """
    return np.packbits(np.ravel(mask) != 0).tobytes()


def unpack_mask(data: bytes, size: int) -> np.ndarray:
    r"""Undoes `pack_mask`.

    Args:
        data: ⌈size / 8⌉ bytes.
        size: Number of bits.

    Returns:
        Vector of `size` booleans.

    Raises:
        InputError: A bit beyond the last one is set.

    Example:
        >>> unpack_mask(b"\x90", 4)
        array([ True, False, False,  True])
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    if bits[size:].any():
        raise fail(
            "The bits after a mask's last one must be 0.", bits=bits[size:].tolist()
        )
    return bits[:size].astype(bool)


def to_bytes(values: np.ndarray) -> bytes:
    """Returns numbers in flat order, little-endian, in their own dtype.

    Example:
        >>> to_bytes(np.array([1, 2], ">u2")).hex()
        '01000200'
    """
    values = np.ascontiguousarray(values)
    little = f"<u{values.dtype.itemsize}"
    return _bits(values).astype(little).tobytes()


def from_bytes(data: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Undoes `to_bytes`.

    Example:
        >>> from_bytes(bytes([1, 0, 2, 0]), np.dtype("uint16"), (2, 1)).tolist()
        [[1], [2]]
    """
    little = np.frombuffer(data, f"<u{dtype.itemsize}")
    return little.astype(f"u{dtype.itemsize}").view(dtype).reshape(shape)


def _bits(values):
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return values.reshape(-1).view(f"u{values.dtype.itemsize}")


def _deflate(data, strategy):
    encoder = zlib.compressobj(
        wbits=_RAW_DEFLATE, memLevel=_MOST_MEMORY, strategy=strategy
    )
    return encoder.compress(data) + encoder.flush()
