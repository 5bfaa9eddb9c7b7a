"""Checkpoints and the progress of an initialisation."""

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import keras
import numpy as np

from tests.hostile.judging import DEEP, ESCAPE, RAN, Input
from tfsupermask.init.progress import Progress
from tfsupermask.init.report import LayerReport
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.runs.checkpoint import Checkpoint

_PICKLE_PROTOCOL = 2


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
        for name, content in members:
            archive.writestr(name, content)
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
    return contents(lambda path: npz([*others, state], **options))


def state(content):
    return members(state=("state.json.npy", array(np.frombuffer(content, np.uint8))))


def pickled(path):
    harm = pickle.dumps(Harm(path.parent / RAN), protocol=_PICKLE_PROTOCOL)
    return npz([("k.npy", npy("(1,)", "|O", harm)), STATE])


def bare_pickle(path):
    return pickle.dumps(Harm(path.parent / RAN), protocol=_PICKLE_PROTOCOL)


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
    """Returns the maker of the file of a finished layer, changed.

    Args:
        change: Function of the file's path.
        done: Whether the layer still counts as finished.
    """

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


def honest_state():
    """Returns what stands beside the kernel of a layer that is done."""
    _, done = one_layer()
    return json.dumps({"settings": {"seed": 0}, "report": done.as_dict()}).encode()


def progress_of(state=b"{}", kernel=None):
    if kernel is None:
        kernel = array(np.zeros((3, 3, 3, 2), np.float32))
    state = array(np.frombuffer(state, np.uint8))
    return contents(lambda path: npz([("kernel.npy", kernel), ("state.npy", state)]))


def instead(put):
    def change(path):
        path.unlink()
        put(path)

    return change


ZERO = lambda path: path.symlink_to("/dev/zero")  # noqa: E731
PASSED = "passed over with a warning; the one before is taken"
NONE = "passed over with a warning; there is none, so the run starts anew"
AGAIN = "does not count: the layer is done again"

INPUTS = {
    "an honest checkpoint": Input(
        checkpoint(lambda path: None), rule="restored"),
    "an empty checkpoint": Input(checkpoint(Path.touch), rule=PASSED),
    "a checkpoint that is a text": Input(
        checkpoint(contents(lambda path: b"no archive")), rule=PASSED),
    "a checkpoint that is a pickle": Input(
        checkpoint(contents(bare_pickle)), rule=PASSED),
    "a checkpoint that is one bare array": Input(
        checkpoint(contents(lambda path: array(np.zeros(3)))), rule=PASSED),
    "a checkpoint with a pickled object": Input(
        checkpoint(contents(pickled)), rule=PASSED),
    "an only checkpoint with a pickled object": Input(
        checkpoint(contents(pickled), intact=False), rule=NONE),
    "a checkpoint without its state": Input(
        checkpoint(members(state=("k.npy", array(np.zeros(3))))), rule=PASSED),
    "a checkpoint's array that claims 4 EB": Input(
        checkpoint(members(("k.npy", npy("(1073741824, 1073741824)")))), rule=PASSED),
    "a checkpoint's array that claims 4 GB": Input(
        checkpoint(members(("k.npy", npy("(1073741824,)")))), rule=PASSED),
    "a checkpoint's array of 2**70 numbers": Input(
        checkpoint(members(("k.npy", npy(f"({2**70},)")))), rule=PASSED),
    "a checkpoint's array of -1 numbers": Input(
        checkpoint(members(("k.npy", npy("(-1,)", payload=bytes(40))))), rule=PASSED),
    "a checkpoint's array whose shape is a text": Input(
        checkpoint(members(("k.npy", npy("'abc'")))), rule=PASSED),
    "a checkpoint's array whose header is a program": Input(
        checkpoint(members(("k.npy", npy("__import__('os').system('true')")))),
        rule=PASSED),
    "a checkpoint's array whose header is 5,000 deep": Input(
        checkpoint(members(("k.npy", npy("(" * 5000 + ")" * 5000)))), rule=PASSED),
    "a checkpoint of 400 names for one array": Input(
        checkpoint(contents(lambda path: overlapping())), rule=PASSED),
    "a checkpoint of 400 MB of zeros in 400 kB": Input(
        checkpoint(members(("k.npy", npy("(100000000,)", payload=bytes(400_000_000))),
            compression=zipfile.ZIP_DEFLATED)), rule=PASSED),
    "a checkpoint whose member is ../../escaped": Input(
        checkpoint(members(("../../escaped", b"x"))), rule=PASSED),
    "a checkpoint's state 100,000 deep": Input(
        checkpoint(state(DEEP.encode())), rule=PASSED),
    "a checkpoint's state that is a list": Input(
        checkpoint(state(b"[1, 2]")), rule=PASSED),
    "a checkpoint's state of text that is no JSON": Input(
        checkpoint(state(ESCAPE.encode())), rule=PASSED),
    "a checkpoint's state with a number of 5,000 digits": Input(
        checkpoint(state(b'{"a":' + b"9" * 5000 + b"}")), rule=PASSED),
    "a pipe called epoch_00002.npz": Input(checkpoint(os.mkfifo), rule=PASSED),
    "a folder called epoch_00002.npz": Input(checkpoint(os.mkdir), rule=PASSED),
    "/dev/zero called epoch_00002.npz": Input(checkpoint(ZERO), rule=PASSED),
    "a checkpoint called epoch_abc.npz": Input(
        checkpoint(Path.touch, name="epoch_abc.npz"),
        rule="no checkpoint: it has no number"),
    "a checkpoint whose name commands the terminal": Input(
        checkpoint(Path.touch, name=f"epoch_2{ESCAPE}.npz"),
        rule="no checkpoint: it has no number"),
    "an honest layer of an initialisation": Input(
        progress(lambda path: None, done=True), rule="restored"),
    "half a layer": Input(
        progress(lambda path: path.write_bytes(path.read_bytes()[:300])), rule=AGAIN),
    "a layer that is a pickle": Input(progress(contents(bare_pickle)), rule=AGAIN),
    "a layer that is one bare array": Input(
        progress(contents(lambda path: array(np.zeros(3)))), rule=AGAIN),
    "a layer with a pickled kernel": Input(
        progress(progress_of(kernel=npy("(1,)", "|O", b"cos\nsystem\n."))), rule=AGAIN),
    "a layer whose kernel claims 4 GB": Input(
        progress(progress_of(kernel=npy("(1073741824,)"))), rule=AGAIN),
    "a layer's state without settings": Input(progress(progress_of()), rule=AGAIN),
    "a layer's state that is no JSON": Input(
        progress(progress_of(b"\xff")), rule=AGAIN),
    "a layer's state 100,000 deep": Input(
        progress(progress_of(DEEP.encode())), rule=AGAIN),
    "a layer's report that is a list": Input(
        progress(progress_of(b'{"settings": {"seed": 0}, "report": []}')), rule=AGAIN),
    "a layer's report with arguments of nobody": Input(
        progress(progress_of(b'{"settings": {"seed": 0}, "report": {"evil": 1}}')),
        rule=AGAIN),
    "a layer's kernel of NaN": Input(
        progress(progress_of(honest_state(),
            array(np.full((3, 3, 3, 2), np.nan, "f4")))),
        rule=AGAIN),
    "a pipe in place of a layer": Input(progress(instead(os.mkfifo)), rule=AGAIN),
}  # fmt: skip
