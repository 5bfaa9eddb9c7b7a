"""One seed in, an independent seed for every purpose out."""

from __future__ import annotations

import hashlib
import operator


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Returns a seed that is a pure function of `seed` and `purpose`.

    Different purposes give unrelated seeds, so that adding a random draw somewhere
    changes no other.

    Args:
        seed: The run's seed, an integer, NumPy's included.
        *purpose: What the seed is for: strings and integers.

    Returns:
        An integer in [0, 2³¹), which NumPy, TensorFlow, Keras and scikit-learn accept.

    Raises:
        TypeError: `seed` is no integer, or a part of the purpose neither that nor a
            string.

    Example:
        >>> derive_seed(0, "score", 3) == derive_seed(0, "score", 3)
        True
    """
    # Plain types: NumPy's integers and strings have a `repr` of their own.
    plain = [str(p) if isinstance(p, str) else operator.index(p) for p in purpose]
    text = repr((operator.index(seed), *plain)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") >> 1
