"""Checkpoints and the progress of an initialisation."""

import dataclasses
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import keras
import numpy as np

from tests.hostile.judging import DEEP, ESCAPE, RAN, Input, works
from tests.hostile.pictures import zero
from tfsupermask.init.progress import Progress
from tfsupermask.init.report import LayerReport
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.runs.checkpoint import Checkpoint

_PICKLE_PROTOCOL = 2
_REPORT = {field.name: [] for field in dataclasses.fields(LayerReport)}
_MORE = {"settings": {"seed": 0}, "report": _REPORT | {"evil": 1}}


class Harm:
    """Pickles to a call that leaves a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def honest_checkpoint(epoch):
    values = {"model/k": np.arange(6, dtype=np.float32), "n": np.array(3)}
    return Checkpoint(epoch, values, {"rows": []})


def checkpoint(put, intact=True, name="epoch_00002.npz"):
    """Returns the maker of a folder whose newest checkpoint is made by `put`."""

    def make(folder):
        if intact:
            checkpoints.save(folder, honest_checkpoint(1))
        put(folder / name)

        def call():
            found = checkpoints.restore_latest(folder)
            if (found.epoch if found else None) != (1 if intact else None):
                raise AssertionError(f"restored {found}")

        return call

    return make


def contents(make):
    """Returns a function that writes what `make(path)` returns."""
    return lambda path: path.write_bytes(make(path))


def npz(members, compression=zipfile.ZIP_STORED):
    """Returns the bytes of an archive of arrays; members are (name, bytes)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for member in members:
            archive.writestr(*member)
    return file.getvalue()


def npy(shape, dtype="<f4", payload=b"", order="False"):
    """Returns an array's file that claims a shape."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': {order}, 'shape': {shape}}}\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() + payload


def array(content):
    file = io.BytesIO()
    np.save(file, content)
    return file.getvalue()


STATE = ("state.json.npy", array(np.frombuffer(b'{"rows": []}', np.uint8)))


def members(*others, state=STATE, **options):
    """Returns the maker of a checkpoint of these members and a state."""
    return checkpoint(contents(lambda path: npz([*others, state], **options)))


def claiming(*arguments, **options):
    """Returns the maker of a checkpoint whose array claims what it does not hold."""
    return members(("k.npy", npy(*arguments, **options)))


def state(content):
    return members(state=("state.json.npy", array(np.frombuffer(content, np.uint8))))


def bare_pickle(path):
    return pickle.dumps(Harm(path.parent / RAN), protocol=_PICKLE_PROTOCOL)


def pickled(path):
    return npz([("k.npy", npy("(1,)", "|O", bare_pickle(path))), STATE])


def overlapping():
    """Four hundred names of one array of 100 kB."""
    whole = npz([("a.npy", array(np.zeros(25_000, np.float32)))])
    start, end = whole.index(b"PK\x01\x02"), whole.rindex(b"PK\x05\x06")
    entry = whole[start:end]
    size = 400 * len(entry)
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 400, 400, size, start, 0)
    return whole[:start] + entry * 400 + tail


def one_layer():
    """Returns a convolution to restore, and the report of its initialisation."""
    conv = keras.layers.Conv2D(2, 3)
    conv.build((None, 8, 8, 3))
    zeros = np.zeros(2, np.int64)
    done = LayerReport("c", False, 9, 2, 2, zeros, zeros / 1.0, 0, *[zeros] * 3, {})
    return conv, done


def progress(change, done=False):
    """Returns the maker of the file of a layer, changed; `done` if it still counts."""

    def make(folder):
        conv, report = one_layer()
        Progress(folder, {"seed": 0}).save(1, conv.kernel, report)
        before = conv.kernel.numpy()
        change(folder / "layer_001.npz")

        def call():
            found = Progress(folder, {"seed": 0}).restore(1, conv.kernel)
            if (found is not None) != done:
                raise AssertionError(f"restored {found}")
            if not np.array_equal(conv.kernel.numpy(), before):
                raise AssertionError("the kernel changed")

        return call

    return make


def progress_of(state=b"{}", kernel=None):
    """Returns the maker of a layer's file that holds this state and kernel."""
    if kernel is None:
        kernel = array(np.zeros((3, 3, 3, 2), np.float32))
    members = [("kernel.npy", kernel), ("state.npy", array(np.frombuffer(state, "u1")))]
    return progress(contents(lambda path: npz(members)))


def nan_kernel(folder):
    report = one_layer()[1].as_dict()
    state = json.dumps({"settings": {"seed": 0}, "report": report}).encode()
    return progress_of(state, array(np.full((3, 3, 3, 2), np.nan, "f4")))(folder)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


INPUTS = {
    "an honest checkpoint": Input(checkpoint(lambda path: None), rule="restored"),
    **works("passed over with a warning; the one before is taken", {
        "an empty checkpoint": checkpoint(Path.touch),
        "a checkpoint that is a text": checkpoint(contents(lambda path: b"no archive")),
        "a checkpoint that is a pickle": checkpoint(contents(bare_pickle)),
        "a checkpoint that is one bare array":
            checkpoint(contents(lambda path: array(np.zeros(3)))),
        "a checkpoint with a pickled object": checkpoint(contents(pickled)),
        "a checkpoint without its state": members(state=("k.npy", array(np.zeros(3)))),
        "a checkpoint's array that claims 4 EB": claiming("(1073741824, 1073741824)"),
        "a checkpoint's array that claims 4 GB": claiming("(1073741824,)"),
        "a checkpoint's array of 2**70 numbers": claiming(f"({2**70},)"),
        "a checkpoint's array of -1 numbers": claiming("(-1,)", payload=bytes(40)),
        "a checkpoint's array whose shape is a text": claiming("'abc'"),
        "a checkpoint's array whose header is a program":
            claiming("__import__('os').system('true')"),
        "a checkpoint's array whose header is 5,000 deep":
            claiming("(" * 5000 + ")" * 5000),
        "a checkpoint of 400 names for one array":
            checkpoint(contents(lambda path: overlapping())),
        "a checkpoint of 400 MB of zeros in 400 kB": members(
            ("k.npy", npy("(100000000,)", payload=bytes(400_000_000))),
            compression=zipfile.ZIP_DEFLATED),
        "a checkpoint whose member is ../../escaped": members(("../../escaped", b"x")),
        "a checkpoint's state 100,000 deep": state(DEEP.encode()),
        "a checkpoint's state that is a list": state(b"[1, 2]"),
        "a checkpoint's state of text that is no JSON": state(ESCAPE.encode()),
        "a checkpoint's state with a number of 5,000 digits":
            state(b'{"a":' + b"9" * 5000 + b"}"),
        "a pipe called epoch_00002.npz": checkpoint(os.mkfifo),
        "a folder called epoch_00002.npz": checkpoint(os.mkdir),
        "/dev/zero called epoch_00002.npz": checkpoint(zero),
    }),
    "an only checkpoint with a pickled object": Input(
        checkpoint(contents(pickled), intact=False),
        rule="passed over with a warning; there is none, so the run starts anew"),
    **works("no checkpoint: it has no number", {
        "a checkpoint called epoch_abc.npz":
            checkpoint(Path.touch, name="epoch_abc.npz"),
        "a checkpoint whose name commands the terminal":
            checkpoint(Path.touch, name=f"epoch_2{ESCAPE}.npz"),
    }),
    "an honest layer of an initialisation": Input(
        progress(lambda path: None, done=True), rule="restored"),
    **works("does not count: the layer is done again", {
        "half a layer":
            progress(lambda path: path.write_bytes(path.read_bytes()[:300])),
        "a layer that is a pickle": progress(contents(bare_pickle)),
        "a layer that is one bare array":
            progress(contents(lambda path: array(np.zeros(3)))),
        "a layer with a pickled kernel":
            progress_of(kernel=npy("(1,)", "|O", b"cos\nsystem\n.")),
        "a layer whose kernel claims 4 GB": progress_of(kernel=npy("(1073741824,)")),
        "a layer's state without settings": progress_of(),
        "a layer's state that is no JSON": progress_of(b"\xff"),
        "a layer's state 100,000 deep": progress_of(DEEP.encode()),
        "a layer's report that is a list":
            progress_of(b'{"settings": {"seed": 0}, "report": []}'),
        "a layer's report with arguments of nobody":
            progress_of(json.dumps(_MORE).encode()),
        "a layer's kernel of NaN": nan_kernel,
        "a pipe in place of a layer": progress(pipe),
    }),
}  # fmt: skip
