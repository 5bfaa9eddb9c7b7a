"""Derives an independent seed for every purpose from one seed."""

from __future__ import annotations

import hashlib
import operator


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Returns a seed that is a pure function of `seed` and `purpose`.

    Different purposes give unrelated seeds, so that a new random draw does not change
    the others.

    Args:
        seed: The run's seed, an integer (also of NumPy).
        *purpose: Strings and integers that name the purpose.

    Returns:
        An integer in [0, 2³¹), which NumPy, TensorFlow, Keras and scikit-learn accept.

    Raises:
        TypeError: `seed` is not an integer, or a purpose is neither integer nor string.

    Example:
        >>> derive_seed(0, "score", 3) == derive_seed(0, "score", 3)
        True
    """
    # As plain types, because NumPy's integers and strings have another `repr`.
    plain = [str(p) if isinstance(p, str) else operator.index(p) for p in purpose]
    text = repr((operator.index(seed), *plain)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") >> 1
