"""What is masked in a model and what else is trained, as a table."""

from __future__ import annotations

import math

import keras

from tfsupermask._text import aligned
from tfsupermask._validation import listed
from tfsupermask.layers import masked_weights
from tfsupermask.layers.walking import check_built, leaves, mask_variables


def summary(model: keras.Model) -> str:
    """Returns a table of a model's masks, and of all that has none.

    Args:
        model: Built Keras model.

    Returns:
        A row for each masked weight; a row for each layer with trainable weights that
        have no mask, such as biases, and with frozen ones; and the shares of all three.
        Scores count as masks, not as weights. Print it.

    Raises:
        InputError: `model` is not a built model.

    Example:
        >>> from tfsupermask.layers import SupermaskDense
        >>> hidden = SupermaskDense(100, name="hidden", sparsity=0.7)
        >>> top = keras.layers.Dense(2, name="top")
        >>> print(summary(keras.Sequential([keras.Input((8,)), hidden, top])))
        masked weight  class           shape  weights  sparsity  kept
        hidden/kernel  SupermaskDense  8×100      800     0.700   240
        total                                     800     0.700   240
        <BLANKLINE>
        trained without mask  class  weights
        top                   Dense      202
        total                            202
        <BLANKLINE>
        of 1,002 parameters 79.8 % are masked, 20.2 % trained without a mask
    """
    check_built(model)
    masked = masked_weights(model)
    others = _without_mask(model)
    tables = [_masked_table(model, masked)] if masked else []
    tables += [_other_table(head, rows) for head, rows in others.items() if rows]
    return "\n\n".join([*tables, *_shares(_sizes(masked, others))])


def share_masked(model: keras.Model) -> float:
    """Returns the fraction of a model's parameters that are under a mask."""
    sizes = _sizes(masked_weights(model), _without_mask(model))
    return sizes[0] / max(1, sum(sizes))


def said_of_frozen(model: keras.Model) -> list[str]:
    """Returns a warning of the masked weights that training does not change, if any."""
    trained = {id(variable) for variable in model.trainable_weights}
    weights = masked_weights(model)
    frozen = [each.name for each in weights if id(each.trained) not in trained]
    return frozen and [
        f"{len(frozen)} masked weights are not trained ({listed(frozen)}), as "
        "they or their layers are frozen: set `layer.trainable = True`."
    ]


def _masked_table(model, weights):
    trainable = {id(variable) for variable in model.trainable_weights}
    rows = []
    for weight in weights:
        trained = id(weight.trained) in trainable
        kind = type(weight.layer).__name__ + ("" if trained else " (not trained)")
        texts = (weight.name, kind, "×".join(map(str, weight.kernel.shape)))
        rows.append((*texts, *_counts(weight.num_weights, weight.num_kept)))
    size = sum(weight.num_weights for weight in weights)
    kept = sum(weight.num_kept for weight in weights)
    heads = ("masked weight", "class", "shape", "weights", "sparsity", "kept")
    total = ("total", "", "", *_counts(size, kept))
    return aligned([heads, *rows, total], "<<<>>>")


def _counts(size, kept):
    return f"{size:,}", f"{1 - kept / size:.3f}", f"{kept:,}"


def _without_mask(model):
    """Returns rows (name, class, number of weights) of what is trained and is not."""
    trainable = {id(each) for each in model.trainable_weights}
    counted = mask_variables(model) | {
        id(each.kernel) for each in masked_weights(model)
    }
    rows = {"trained without mask": [], "frozen": []}
    # The model last: it holds what no layer in it does.
    for layer in [*leaves(model), model]:
        sizes = dict.fromkeys(rows, 0)
        for each in layer.weights:
            if id(each) not in counted:
                counted.add(id(each))
                head = "trained without mask" if id(each) in trainable else "frozen"
                sizes[head] += math.prod(each.shape)
        for head, size in sizes.items():
            if size:
                rows[head].append((layer.name, type(layer).__name__, size))
    return rows


def _other_table(head, rows):
    total = sum(size for *_, size in rows)
    rows = [*rows, ("total", "", total)]
    lines = [(name, kind, f"{size:,}") for name, kind, size in rows]
    return aligned([(head, "class", "weights"), *lines], "<<>")


def _sizes(masked, others):
    """Returns the numbers of weights that are masked, trained without, and frozen."""
    sizes = [sum(weight.num_weights for weight in masked)]
    return sizes + [sum(size for *_, size in rows) for rows in others.values()]


def _shares(sizes):
    """Returns a line that says what share each is; none of a model without weights."""
    words = ("are masked", "trained without a mask", "frozen")
    total = sum(sizes)
    shares = [
        f"{size / total:.1%}".replace("%", " %") + f" {word}"
        for size, word in zip(sizes, words, strict=True)
        if total and (size or word == words[0])
    ]
    return [f"of {total:,} parameters {', '.join(shares)}"] if shares else []
