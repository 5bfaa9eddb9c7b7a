"""Tickets."""

import json
import os

from tests.hostile.judging import DEEP, ESCAPE, Input, refused
from tests.hostile.pictures import zero
from tests.hostile.saved import bare_pickle
from tests.tickets import layout, trees
from tests.tickets.trees import layer, ours, recurrent, sequential, small_ticket
from tfsupermask.tickets import load_ticket


def place(put):
    """Returns the maker of what is put in a ticket's place."""

    def make(folder):
        path = folder / "x.ticket"
        put(path)
        return lambda: load_ticket(path)

    return make


def ticket(change):
    """Returns the maker of a ticket, its bytes changed."""
    return place(lambda path: path.write_bytes(change(small_ticket())))


def rewritten(change):
    """Returns the maker of a ticket that `change(path, header, contents)` rewrites."""

    def put(path):
        path.write_bytes(small_ticket())
        change(path, *layout.read(path))

    return place(put)


def header(**changes):
    return rewritten(
        lambda path, head, parts: layout.write(path, head | changes, parts)
    )


def part(number, **changes):
    """Returns the maker of a ticket whose part claims something else."""

    def change(path, head, contents):
        layout.write(path, head, contents)
        head["parts"][number].update(changes)
        layout.write_raw(path, json.dumps(head).encode(), b"".join(contents))

    return rewritten(change)


def text(content):
    """Returns the maker of a ticket whose header is this text."""
    return place(lambda path: layout.write_raw(path, content, b""))


def tree(tree, num_parameters=9):
    """Returns the maker of a ticket with another architecture."""
    return rewritten(lambda path, *_: trees.put(path, tree, num_parameters))


def of_layer(layer):
    return tree(sequential(layer))


INPUTS = {
    "an honest ticket": Input(ticket(lambda whole: whole), rule="loaded"),
    "a text called .ticket": Input(
        ticket(lambda whole: b"#!/bin/sh\n"), "must be a ticket.*#!/bin"),
    **refused("must be a ticket", {
        "an empty ticket": ticket(lambda whole: b""),
        "a ticket that is a pickle":
            place(lambda path: path.write_bytes(bare_pickle(path))),
    }),
    **refused("must be a file", {
        "a pipe called .ticket": place(os.mkfifo),
        "a folder called .ticket": place(os.mkdir),
        "/dev/zero called .ticket": place(zero),
    }),
    **refused("damaged", {
        "half a ticket": ticket(lambda whole: whole[: len(whole) // 2]),
        "a ticket that says it has 2⁶⁴ − 1 bytes":
            ticket(lambda whole: whole[:16] + b"\xff" * 8 + whole[24:]),
    }),
    "a ticket whose header says 4 GB": Input(
        ticket(lambda whole: whole[:12] + b"\xff" * 4 + whole[16:]), "must fit"),
    "a ticket's header 100,000 deep": Input(text(DEEP.encode()), "well-formed"),
    "a ticket's header 65 deep": Input(
        text(b'{"a":' * 65 + b"1" + b"}" * 65), "64 levels deep"),
    "a ticket's header with 1e999": Input(
        text(b'{"a": 1e999, "parts": []}'), "finite.*inf"),
    "a ticket's header with NaN": Input(
        text(b'{"a": NaN, "parts": []}'), "finite.*nan"),
    "a ticket's header with 2**70": Input(header(num_parameters=2**70), "64 bits"),
    "a ticket of -1 weights": Input(header(num_parameters=-1), "must have the -1"),
    "a ticket of 2⁶² weights": Input(
        header(num_parameters=2**62), "at most 1000000000"),
    "a ticket's header of 8 MB of zeros": Input(
        text(b"{" + b'"a":0,' * 1_300_000 + b'"b":0}'), "must list the parts"),
    "a ticket's class names that are a number": Input(
        header(class_names=3), "`class_names` must be a list"),
    "a ticket's class names that are 100,000 numbers": Input(
        header(class_names=[1] * 100_000), "`class_names` must be texts"),
    "a ticket's class names that command the terminal": Input(
        header(class_names=[ESCAPE, "b", "c"]), "control characters"),
    "a ticket's mean of texts": Input(header(mean=["0"] * 3), "'mean' must be a list"),
    "a ticket of precision int1": Input(header(precision="int1"), "must be one of"),
    **refused("must follow the one before", {
        "a part at -8": part(1, offset=-8),
        "a part of -1 bytes": part(1, length=-1),
        "a part of 2⁶² bytes": part(1, length=2**62),
    }),
    "a part that inflates to 2⁶² bytes": Input(
        part(1, codec="deflate", decoded_length=2**62), "must hold 1 bytes"),
    "a weight of shape [2⁴⁰, 2⁴⁰]": Input(
        part(1, shape=[2**40] * 2), r"shape \(2, 3\)"),
    "a mask of 2⁶² ones": Input(part(1, num_kept=2**62), "must keep the"),
    "a part of signs for a mask without": Input(
        part(2, kind="signs"), "kind kept or drawn"),
    "an unknown codec": Input(part(1, codec="pickle"), "raw or deflate"),
    **refused(r"hold no layer.*(os\.system|Lambda|evil>Super|core\.Map|Split)", {
        "a ticket with a Lambda layer": of_layer(layer("Lambda")),
        "a ticket with os.system for a layer": of_layer(layer("system", "os")),
        "a ticket whose layer is not built by its author's package":
            of_layer(ours(name="evil>SupermaskDense")),
        "os.system for a recurrent cell":
            of_layer(layer("RNN", cell=layer("system", "os"))),
        "os.system in a supermask of any layer":
            of_layer(trees.supermask(layer("system", "os"))),
        "an operation that takes a function":
            of_layer(layer("Map", "keras.src.ops.core")),
        "an operation that makes 10¹² tensors":
            of_layer(layer("Split", "keras.src.ops.numpy", indices_or_sections=10**12)),
    }),
    "a Lambda layer in a wrapper": Input(
        of_layer(trees.wrapper("TimeDistributed", layer("Lambda"))),
        "Layer 'x': A ticket can hold no layer"),
    **refused("make a model|weights that the header", {
        "a dense layer of 2⁶² units": of_layer(ours(units=2**62)),
        "a recurrent layer of 10⁹ units": of_layer(recurrent("LSTM", units=10**9)),
    }),
    "a dense layer of 10⁹ units": Input(
        of_layer(ours(units=10**9)), "weights that the header"),
    "a dense layer of -1 units": Input(of_layer(ours(units=-1)), "make a model"),
    "a layer of 10¹⁰ units that nothing needs": Input(
        tree(trees.with_idle_layer()), "beside its weights.*=3000000000000"),
    "a recurrent layer that remembers": Input(
        of_layer(recurrent("LSTM", stateful=True)), "stateful"),
    "models that call each other 10²⁰ times": Input(
        tree(trees.calling(10)), "at most 100000 objects"),
    "an activation called eval": Input(
        of_layer(trees.dense(activation="eval")), "Keras' own"),
}  # fmt: skip
