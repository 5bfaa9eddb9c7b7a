"""Saves a model with its masks as a ticket, and loads it."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfsupermask._reading import check_names
from tfsupermask._validation import check_choice, check_integer, check_number, fail
from tfsupermask._version import __version__
from tfsupermask.tickets.architecture import build, build_empty, describe
from tfsupermask.tickets.file import (
    MAX_JSON,
    PRECISIONS,
    VERSION,
    Part,
    check_keys,
    from_json,
    open_container,
    to_json,
    write_container,
)
from tfsupermask.tickets.weights import list_weights, restore_weight, weight_parts

MAX_PARAMETERS = 10**9
_FACTS = ("precision", "class_names", "mean", "std", "recipe")
_HEADER = {"versions": dict, "num_parameters": int, "parts": list}
_HEADER |= dict.fromkeys(_FACTS, object)


@dataclasses.dataclass(frozen=True)
class Ticket:
    """The content of a ticket.

    Attributes:
        model: Keras model with the masks of the file. The scores are 1 for kept
            weights, -1 for those that a signed mask inverts, and 0 for the others.
        class_names: One string for each logit, or `None`.
        mean: To subtract from each channel of an image in 0..1, or `None`.
        std: To divide each channel by after that, or `None`.
        recipe: How the model was made, a JSON dict, or `None`.
        precision: The dtype that the kept weights were rounded to: `"float32"`,
            `"float16"` or `"bfloat16"`.
        version: Version of the file's format.

    Example:
        >>> ticket = load_ticket(save_ticket(model, "model.ticket"))
        >>> ticket.precision, ticket.model.output_shape
        ('float32', (None, 3))
    """

    model: keras.Model
    class_names: tuple[str, ...] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    recipe: dict[str, Any] | None
    precision: str
    version: int


def save_ticket(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    precision: str = "float32",
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a model and its masks, ready for use, as one small file.

    A mask takes at most one bit a weight, a signed one two. A kernel takes no bytes if
    its layer's initializer draws it again from its seed, bit for bit; of other masked
    kernels only the kept weights are stored. Scores are not stored.

    The same model gives the same bytes. An older file at `path` is replaced when the
    new one is complete.

    Args:
        model: Functional or Sequential Keras model, built, of Keras' own layers and
            operations and of supermask layers.
        path: File to write, by convention `*.ticket`, in a folder that exists.
        precision: What the kept weights of masked kernels are rounded to: `"float32"`
            (default), `"float16"` or `"bfloat16"`. Drawn kernels stay exact.
        class_names: One name for each logit, without control characters, which could
            control a terminal. Defaults to none.
        mean: To subtract from each channel of an image in 0..1. Defaults to none.
        std: To divide each channel by after that. Defaults to none.
        recipe: How the model was made, a dict of JSON values. Defaults to none.

    Returns:
        The file.

    Raises:
        InputError: The model has a layer that a ticket cannot hold, a score or a
            weight that is not removed is not finite or does not fit in `precision`, or
            another argument is not as above, or of another length than channels or
            logits.

    Example:
        >>> model = models.build("conv2", (8, 8, 3))
        >>> path = save_ticket(model, "small.ticket")
        >>> path.stat().st_size < 60_000  # 368,832 weights
        True
        >>> load_ticket(path).model.name
        'conv2'

    Reference:
        - Thesis §2.3, winning tickets; docs/ticket_format.md, the format.
    """
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        raise fail("`path` must be a file in a folder that exists.", path=str(path))
    facts = _check_facts(precision, class_names, mean, std, recipe)
    _check_lengths(model, facts)
    architecture = describe(model)
    weights = _as_rebuilt(
        model, list_weights(model), list_weights(build_empty(architecture)[0])
    )
    header = {
        **facts,
        "versions": {
            "format": VERSION,
            "keras": keras.__version__,
            "tfsupermask": __version__,
        },
        "num_parameters": sum(weight.size for weight in weights),
    }
    parts = [Part(model.name, "architecture", to_json(architecture))]
    _check_architecture_bytes(len(parts[0].data))
    for weight in weights:
        parts.extend(weight_parts(weight, precision))
    write_container(path, header, parts)
    return path


def load_ticket(
    path: str | os.PathLike, *, max_parameters: int = MAX_PARAMETERS
) -> Ticket:
    """Loads a ticket; safe for files from anywhere.

    No code in the file is run. Only allowed classes of Keras and those of this package
    are made. Every byte is checked, and the model's size before it is built.

    Args:
        path: The file.
        max_parameters: Largest number of weights to build. Defaults to 10⁹; building
            takes about 8 bytes a weight.

    Returns:
        The ticket. Its model is not compiled. It can be trained on, from scores of 0, 1
        and -1.

    Raises:
        InputError: The file is not a ticket, is damaged, is of another version, is
            larger than `max_parameters`, names a layer that tickets cannot hold, or
            this version of Keras or TensorFlow draws other kernels from its seeds.

    Example:
        >>> model = models.build("conv2", (8, 8, 3), sparsity=0.9)
        >>> path = save_ticket(model, "conv2.ticket", mean=[0.5] * 3)
        >>> ticket = load_ticket(path)
        >>> ticket.mean, ticket.model.get_layer("conv1").num_kept
        ((0.5, 0.5, 0.5), 173)
    """
    path = Path(path)
    check_integer("max_parameters", max_parameters, minimum=1)
    with open_container(path) as container:
        header = container.header
        check_keys("The header", header, _HEADER)
        facts = _check_facts(**{key: header[key] for key in _FACTS})
        parts = iter(container.parts)
        part = next(parts, None)
        if part is None or part["kind"] != "architecture":
            raise fail("The ticket's first part must be the architecture.", part=part)
        _check_architecture_bytes(part["decoded_length"])
        architecture = from_json(container.read(part, part["decoded_length"]))
        _check_size(architecture, header["num_parameters"], max_parameters)
        model = build(architecture)
        for weight in list_weights(model):
            restore_weight(weight, parts, container)
        left = [part["name"] for part in parts]
    if left:
        raise fail("A ticket must hold nothing but the model's weights.", left=left)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return Ticket(model=model, version=container.version, **facts)


def read_ticket_header(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the header of a ticket, without building its model.

    Args:
        path: The file.

    Returns:
        The JSON header of docs/ticket_format.md: `"versions"`, `"num_parameters"`,
        `"class_names"`, `"recipe"`, ... and the list of `"parts"`.

    Raises:
        InputError: The file is not a ticket, is damaged, or is of another version.

    Example:
        >>> model = models.build("conv2", (8, 8, 3))
        >>> path = save_ticket(model, "conv2.ticket", recipe={"seed": 0})
        >>> header = read_ticket_header(path)
        >>> header["num_parameters"], header["recipe"]
        (368832, {'seed': 0})
    """
    with open_container(Path(path)) as container:
        return container.header


def _as_rebuilt(model, weights, rebuilt):
    """Returns the weights with the initializers of a model rebuilt from its configs."""
    names, again = ([each.described for each in all_] for all_ in (weights, rebuilt))
    if names != again:
        raise fail(
            "`model` must be described by its layers' configs, which give other "
            "weights.",
            model=model.name,
            missing=sorted(set(names) - set(again))[:3],
            added=sorted(set(again) - set(names))[:3],
        )
    return [
        dataclasses.replace(weight, initializer=again.initializer)
        for weight, again in zip(weights, rebuilt, strict=True)
    ]


def _check_architecture_bytes(number):
    if number > MAX_JSON:
        raise fail(f"An architecture must be at most {MAX_JSON} bytes.", bytes=number)


def _check_size(architecture, announced, max_parameters):
    """Raises unless the model is as large as announced and not too large to build."""
    if announced > max_parameters:
        raise fail(
            f"The ticket's model must have at most {max_parameters} weights "
            "(`max_parameters`).",
            num_parameters=announced,
        )
    empty, others = build_empty(architecture)
    found = sum(weight.size for weight in list_weights(empty))
    if found != announced:
        raise fail(
            f"The ticket's model must have the {announced} weights that the header "
            "says.",
            num_parameters=found,
        )
    if others > max_parameters:
        raise fail(
            f"The ticket's model must have at most {max_parameters} numbers beside its "
            "weights (`max_parameters`).",
            constants=others,
        )


def _check_facts(precision, class_names, mean, std, recipe):
    """Returns the facts that a ticket holds beside its model."""
    if class_names is not None:
        class_names = check_names("class_names", class_names)
    return {
        "precision": check_choice("precision", precision, PRECISIONS),
        "class_names": class_names,
        "mean": _check_numbers("mean", mean, minimum=-math.inf),
        "std": _check_numbers("std", std, minimum=0.0),
        "recipe": _check_recipe(recipe),
    }


def _check_numbers(name, values, minimum):
    if values is None:
        return None
    listed = isinstance(values, (list, tuple, np.ndarray))
    if not listed or not all(isinstance(value, numbers.Real) for value in values):
        raise fail(f"{name!r} must be a list of numbers.", received=values)
    return tuple(check_number(name, value, minimum, above=True) for value in values)


def _check_lengths(model, facts):
    """Raises if images and logits have another number of channels and of classes."""
    images, logits = (getattr(model, f"{of}_shape", None) for of in ("input", "output"))
    known = isinstance(images, tuple) and len(images) == 4 and None not in images[1:]
    for name in ("mean", "std"):
        if known and facts[name] and len(facts[name]) not in images[1:]:
            raise fail(
                f"`{name}` must have a number for each channel of the model's images.",
                images=images,
                **{name: facts[name]},
            )
    names = facts["class_names"]
    count = logits[-1] if isinstance(logits, tuple) and len(logits) == 2 else None
    if names is not None and count not in (None, 1, len(names)):
        raise fail(
            f"`class_names` must have a name for each of {count} logits.",
            class_names=names,
        )


def _check_recipe(recipe):
    if recipe is None:
        return None
    try:
        return from_json(to_json(dict(recipe)))
    except (TypeError, ValueError, RecursionError) as error:
        raise fail(
            "`recipe` must be a dict of JSON values.", error=str(error)
        ) from error
