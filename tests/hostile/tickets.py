"""Tickets."""

import functools
import json
import os
import tempfile
from types import MappingProxyType

import keras

from tests.hostile.judging import DEEP, ESCAPE, Input
from tests.hostile.saved import ZERO, bare_pickle, contents
from tests.tickets import layout
from tfsupermask.layers import SupermaskDense
from tfsupermask.tickets import load_ticket, save_ticket

LAMBDA = {"module": "keras.layers", "class_name": "Lambda"}
SYSTEM = {"module": "os", "class_name": "system"}


@functools.cache
def small_ticket():
    """Returns the bytes of an honest ticket."""
    keras.utils.set_random_seed(0)
    layer = SupermaskDense(3, use_bias=True, name="d")
    model = keras.Sequential([keras.Input((2,), name="i"), layer], name="m")
    with tempfile.TemporaryDirectory() as folder:
        path = save_ticket(model, f"{folder}/s.ticket", class_names=["a", "b", "c"])
        return path.read_bytes()


def ticket(change):
    """Returns the maker of a ticket, its bytes changed."""

    def make(folder):
        path = folder / "x.ticket"
        path.write_bytes(change(small_ticket()))
        return lambda: load_ticket(path)

    return make


def rewritten(change):
    """Returns the maker of a ticket with all hashes right, its header changed."""

    def make(folder):
        path = folder / "x.ticket"
        path.write_bytes(small_ticket())
        header, contents = layout.read(path)
        change(header, contents)
        layout.write(path, header, contents)
        return lambda: load_ticket(path)

    return make


def header(**changes):
    return rewritten(lambda head, contents: head.update(changes))


def part(number, **changes):
    """Returns the maker of a ticket whose part claims something else."""

    def make(folder):
        path = folder / "x.ticket"
        path.write_bytes(small_ticket())
        head, contents = layout.read(path)
        layout.write(path, head, contents)
        head["parts"][number].update(changes)
        layout.write_raw(path, json.dumps(head).encode(), b"".join(contents))
        return lambda: load_ticket(path)

    return make


def text(content):
    """Returns the maker of a ticket whose header is this text."""

    def make(folder):
        layout.write_raw(folder / "x.ticket", content, b"")
        return lambda: load_ticket(folder / "x.ticket")

    return make


def layer(into_config=MappingProxyType({}), **changes):
    """Returns the maker of a ticket with another layer in its architecture."""

    def change(head, contents):
        architecture = json.loads(contents[0])
        found = architecture["config"]["layers"][1]
        found.update(changes)
        found["config"].update(into_config)
        contents[0] = json.dumps(architecture).encode()

    return rewritten(change)


def dense(**config):
    return layer(into_config=config)


def inside(class_name, **config):
    """Returns the maker of a ticket whose layer holds other things."""
    config = {"name": "d", **config}
    return layer(
        module="keras.layers",
        class_name=class_name,
        registered_name=None,
        config=config,
    )


def keras_layer(class_name, module="keras.layers", **config):
    return {
        "module": module,
        "class_name": class_name,
        "registered_name": None,
        "config": {"name": "x", **config},
    }


def functional(*layers, calls=1):
    """Returns a model whose layers are all called with its input."""
    tensor = {"shape": [None, 2], "dtype": "float32", "keras_history": ["i", 0, 0]}
    tensor = {"class_name": "__keras_tensor__", "config": tensor}
    nodes = [{"args": [tensor], "kwargs": {}}] * calls
    entry = keras_layer("InputLayer", name="i", batch_shape=[None, 2])
    entry |= {"name": "i", "inbound_nodes": []}
    inner = [
        {**each, "name": f"x{place}", "inbound_nodes": nodes}
        for place, each in enumerate(layers)
    ]
    model = keras_layer("Functional", "keras.src.models.functional")
    model["config"] = {
        "name": "m",
        "trainable": True,
        "layers": [entry, *inner],
        "input_layers": ["i", 0, 0],
        "output_layers": ["x0", 0, 0],
    }
    return model


def graph(*layers):
    """Returns the maker of a ticket of layers that are all called with its input."""

    def change(head, contents):
        contents[0] = json.dumps(functional(*layers)).encode()
        head["num_parameters"] = 0

    return rewritten(change)


def calling(levels):
    """Returns a model that calls another a hundred times, which does the same."""
    model = keras_layer("ReLU")
    for _ in range(levels):
        model = functional(model, calls=100)
    return model


def place(put, read):
    """Returns the maker of something that is no file, read as one."""

    def make(folder):
        put(folder / "x.ticket")
        return lambda: read(folder / "x.ticket")

    return make


INPUTS = {
    "an honest ticket": Input(ticket(lambda whole: whole), rule="loaded"),
    "an empty ticket": Input(ticket(lambda whole: b""), "must be a ticket"),
    "a text called .ticket": Input(ticket(lambda whole: b"#!/bin/sh\n"),
        "must be a ticket.*#!/bin"),
    "half a ticket": Input(ticket(lambda whole: whole[: len(whole) // 2]), "damaged"),
    "a ticket that says it has 2⁶⁴ − 1 bytes": Input(
        ticket(lambda whole: whole[:16] + b"\xff" * 8 + whole[24:]), "damaged"),
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
    "a part at -8": Input(part(1, offset=-8), "must follow the one before"),
    "a part of -1 bytes": Input(part(1, length=-1), "must follow the one before"),
    "a part of 2⁶² bytes": Input(part(1, length=2**62), "must follow the one before"),
    "a part that inflates to 2⁶² bytes": Input(
        part(1, codec="deflate", decoded_length=2**62), "must hold 1 bytes"),
    "a weight of shape [2⁴⁰, 2⁴⁰]": Input(
        part(1, shape=[2**40] * 2), r"shape \(2, 3\)"),
    "a mask of 2⁶² ones": Input(part(1, num_kept=2**62), "must keep the"),
    "a part of signs for a mask without": Input(
        part(2, kind="signs"), "kind kept or drawn"),
    "an unknown codec": Input(part(1, codec="pickle"), "raw or deflate"),
    "a ticket with a Lambda layer": Input(
        layer(**LAMBDA), "hold no layer of this class"),
    "a ticket with os.system for a layer": Input(
        layer(**SYSTEM), r"hold no layer.*os\.system"),
    "a ticket whose layer is not built by its author's package": Input(
        layer(registered_name="evil>SupermaskDense"), "hold no layer"),
    "a dense layer of 2⁶² units": Input(dense(units=2**62), "make a model|weights"),
    "a dense layer of 10⁹ units": Input(dense(units=10**9), "weights that the header"),
    "a dense layer of -1 units": Input(dense(units=-1), "make a model"),
    "a layer of 10¹⁰ units that nothing needs": Input(
        graph(keras_layer("ReLU"), keras_layer("Dense", name="y", units=10**10)),
        "beside its weights"),
    "a Lambda layer in a wrapper": Input(
        inside("TimeDistributed", layer=keras_layer("Lambda")),
        "Layer 'd': A ticket can hold no layer"),
    "os.system for a recurrent cell": Input(
        inside("RNN", cell=keras_layer("system", "os")), r"hold no layer.*os\.system"),
    "os.system in a supermask of any layer": Input(
        layer(class_name="Supermask<system>",
            registered_name="tfsupermask>Supermask",
            config={"name": "d", "layer": keras_layer("system", "os")}),
        "hold no layer"),
    "a recurrent layer of 10⁹ units": Input(
        inside("LSTM", units=10**9), "make a model|weights that the header"),
    "a recurrent layer that remembers": Input(
        inside("LSTM", units=3, stateful=True), "stateful"),
    "an operation that takes a function": Input(
        graph(keras_layer("Map", "keras.src.ops.core")), r"hold no layer.*core\.Map"),
    "an operation that makes 10¹² tensors": Input(
        graph(keras_layer("Split", "keras.src.ops.numpy", indices_or_sections=10**12)),
        r"hold no layer.*Split"),
    "models that call each other 10²⁰ times": Input(
        graph(calling(10)), "at most 100000 objects"),
    "an activation called eval": Input(dense(activation="eval"), "Keras' own"),
    "a ticket that is a pickle": Input(
        place(contents(bare_pickle), load_ticket), "must be a ticket"),
    "a pipe called .ticket": Input(place(os.mkfifo, load_ticket), "must be a file"),
    "a folder called .ticket": Input(place(os.mkdir, load_ticket), "must be a file"),
    "/dev/zero called .ticket": Input(place(ZERO, load_ticket), "must be a file"),
}  # fmt: skip
