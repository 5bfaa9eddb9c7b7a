"""Exported models from strangers, and arrays and numbers given to the library."""

import base64
import functools
import json
import marshal
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from unittest import mock

import keras
import numpy as np

from tests.hostile.judging import DEEP, ESCAPE, RAN, Input
from tfsupermask import data
from tfsupermask.data import Dataset, Split
from tfsupermask.export import Classifier, export_model
from tfsupermask.init import PatchesInit
from tfsupermask.layers import SupermaskDense
from tfsupermask.tickets import save_ticket

_MEAN, _STD = [0.5] * 3, [0.2] * 3


def _network():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )


@functools.cache
def _exported(name):
    """Returns the path of an honest export."""
    path = Path(tempfile.mkdtemp(prefix="exported.")) / name
    return export_model(_network(), path, _MEAN, _STD, ["a", "b"])


def exported(name, change=lambda path: None):
    """Returns the maker of an honest export, changed."""

    def make(folder):
        source, path = _exported(name), folder / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, path)
        change(path)

        def call():
            classifier = Classifier(path)
            if "model" in name:
                classifier.logits(np.zeros((1, *classifier.image_shape), np.uint8))

        return call

    return make


def members(compression=zipfile.ZIP_STORED, **replaced):
    """Returns a change of the members of a .keras file; `{ran}` is the canary."""

    def change(path):
        with zipfile.ZipFile(path) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        for name, new in replaced.items():
            name = next(n for n in contents if n.startswith(name))
            new = new(contents[name]) if callable(new) else new
            contents[name] = new.replace(b"{ran}", str(path.parent / RAN).encode())
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)

    return change


def layer(tree):
    """Returns a change of the first layer of a .keras file's network."""

    def change(content):
        config = json.loads(content)
        kinds = [each["class_name"] for each in config["config"]["layers"]]
        network = config["config"]["layers"][kinds.index("Sequential")]
        network["config"]["layers"][1] = tree
        for each in network["config"]["layers"][2:]:
            del each["build_config"]
        return json.dumps(config).encode()

    return members(config=change)


def idle(content):
    """Adds a layer of 10¹⁰ weights that no output needs to a .keras file's config."""
    config = json.loads(content)
    layers = config["config"]["layers"]
    tree = {"module": "keras.layers", "class_name": "Dense", "registered_name": None}
    tree |= {"name": "idle", "inbound_nodes": layers[-1]["inbound_nodes"]}
    layers.append({**tree, "config": {"name": "idle", "units": 10**10}})
    return json.dumps(config).encode()


def lambda_layer(path):
    """Puts a Lambda layer that leaves a file into a .keras file."""
    ran = str(path.parent / RAN)
    code = compile(f"lambda x: open({ran!r}, 'w')", "x", "eval").co_consts[0]
    packed = base64.b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": packed,
        "defaults": None, "closure": None}}  # fmt: skip
    tree = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None,
        "config": {"name": "l", "function": function}}  # fmt: skip
    layer(tree)(path)


def thing(module, class_name, **config):
    kind = {"module": module, "class_name": class_name, "registered_name": None}
    return layer({**kind, "config": config})


def overwrite(content):
    return lambda path: path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def graph(content):
    return lambda path: (path / "saved_model.pb").write_bytes(content)


def graph_cut(path):
    cut(path / "saved_model.pb")


def with_names(names, **options):
    """Returns the maker of a classifier with these class names, put in afterwards."""
    return exported("x.keras", members(class_names=names, **options))


def saved_model_names(folder):
    path = folder / "served"
    # As another program could write it: this one refuses to.
    checked = "tfsupermask.export.inference.check_names"
    with mock.patch(checked, lambda what, names: names, create=True):
        export_model(_network(), path, _MEAN, _STD, [ESCAPE, "b"])
    return lambda: Classifier(path)


def external(path):
    """An ONNX file whose weights are to come from another file of this machine."""
    import onnx

    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../../../../etc/passwd")
    path.write_bytes(model.SerializeToString())


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def call(function):
    """Returns the maker of a call that needs no files but a folder."""
    return lambda folder: functools.partial(function, folder)


def pixels(shape, value=0, dtype=np.uint8):
    return np.full(shape, value, dtype)


def split(images, labels=(0, 1), dtype=np.int64):
    return call(lambda folder: Split(images, np.array(labels, dtype)))


def dataset(labels, names=("a", "b"), images=None):
    if images is None:
        images = pixels((len(labels), 8, 8, 3))

    def make(folder):
        part = Split(images, np.array(labels, np.int64))
        return Dataset("mine", part, part, names, horizontal_flip=False)

    return call(make)


def patches(images, preprocess=None, **settings):
    """Returns the maker of an initialisation from these images."""

    def initialise(folder):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input(images.shape[1:]), keras.layers.Conv2D(2, 3, padding="same")]
        )
        before = model.layers[0].kernel.numpy()
        options = {"num_patches": 50, "num_clusters": 4} | settings
        try:
            PatchesInit(**options).apply(
                model, images, np.arange(len(images)) % 2, preprocess
            )
        except ValueError:
            if not np.array_equal(before, model.layers[0].kernel.numpy()):
                raise AssertionError("the kernel changed") from None
            raise

    return call(initialise)


def masked(**options):
    def save(folder):
        model = keras.Sequential([keras.Input((4,)), SupermaskDense(2)])
        save_ticket(model, folder / "x.ticket", **options)

    return call(save)


def nan_kernel(folder):
    model = keras.Sequential([keras.Input((4,)), SupermaskDense(2, name="d")])
    model.get_layer("d").kernel.assign(np.full((4, 2), np.nan))
    save_ticket(model, folder / "x.ticket")


def nan_scores(folder):
    model = keras.Sequential([keras.Input((4,)), SupermaskDense(2, name="d")])
    model.get_layer("d").score.assign(np.full((4, 2), np.nan))
    save_ticket(model, folder / "x.ticket")


def noise(count=8, side=8):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def to_nan(images):
    return np.full(images.shape, np.nan, np.float32)


NONE_OF_OURS = "must hold a classifier of this program's"
READER = {"name": "t", "vocabulary": "/etc/passwd", "max_tokens": None}

INPUTS = {
    "an honest .keras file": Input(exported("model.keras"), rule="loaded"),
    "a .keras file with a Lambda layer": Input(
        exported("x.keras", lambda_layer), NONE_OF_OURS),
    "a .keras file with os.system for a layer": Input(
        exported("x.keras", thing("os", "system", command="touch {ran}")),
        NONE_OF_OURS),
    "a .keras file with builtins.open for a layer": Input(
        exported("x.keras", thing("builtins", "open", file="{ran}", mode="w")),
        NONE_OF_OURS),
    "a .keras file with a vocabulary from /etc/passwd": Input(
        exported("x.keras", thing("keras.layers", "TextVectorization", **READER)),
        NONE_OF_OURS),
    "a .keras file with a layer of 10¹⁰ weights": Input(
        exported("x.keras", thing("keras.layers", "Dense", name="d", units=10**8)),
        "must hold all its weights"),
    "a .keras file with a layer of 10¹⁰ weights that nothing needs": Input(
        exported("x.keras", members(config=idle)), "must hold all its weights"),
    "a .keras file whose config is 100,000 deep": Input(
        exported("x.keras", members(config=DEEP.encode())), "config.json"),
    "a .keras file whose config is 100 MB of spaces in 100 kB": Input(
        exported("x.keras", members(zipfile.ZIP_DEFLATED, config=b" " * (100 << 20))),
        "must have at most"),
    "a .keras file whose weights are no HDF5": Input(
        exported("x.keras", members(model=b"no weights")), NONE_OF_OURS),
    "a .keras file with a layer of 2·10⁹ weights": Input(
        exported("x.keras", thing("keras.layers", "Dense", name="d", units=10**7)),
        "must hold all its weights"),
    "half a .keras file": Input(exported("x.keras", cut), NONE_OF_OURS),
    "a text called .keras": Input(
        exported("x.keras", overwrite(b"#!/bin/sh")), NONE_OF_OURS),
    "a pipe called .keras": Input(exported("x.keras", pipe), "`path` must be"),
    "class names 100,000 deep": Input(with_names(DEEP.encode()), NONE_OF_OURS),
    "class names that are a number in a .keras file": Input(
        with_names(b"3"), NONE_OF_OURS),
    "class names that are numbers in a .keras file": Input(
        with_names(b"[1, 2]"), "class_names"),
    "class names of 100 MB in 100 kB": Input(
        with_names(b'["' + b"a" * (100 << 20) + b'", "b"]',
            compression=zipfile.ZIP_DEFLATED),
        "must have at most"),
    "class names that command the terminal in a .keras file": Input(
        with_names(json.dumps([ESCAPE, "b"]).encode()), "control characters"),
    "an honest SavedModel": Input(exported("model"), rule="loaded"),
    "class names that command the terminal in a SavedModel": Input(
        saved_model_names, "control characters"),
    "an empty saved_model.pb": Input(exported("served", graph(b"")), NONE_OF_OURS),
    "half a saved_model.pb": Input(exported("served", graph_cut), NONE_OF_OURS),
    "a saved_model.pb of 0xff": Input(
        exported("served", graph(b"\xff" * 10_000)), NONE_OF_OURS),
    "a SavedModel without variables": Input(
        exported("served", lambda path: shutil.rmtree(path / "variables")),
        NONE_OF_OURS + "|variables"),
    "an honest .onnx file": Input(exported("model.onnx"), rule="loaded"),
    "an .onnx file of 0xff": Input(
        exported("x.onnx", overwrite(b"\xff" * 10_000)), NONE_OF_OURS),
    "half an .onnx file": Input(exported("x.onnx", cut), NONE_OF_OURS),
    "an .onnx file with weights from /etc/passwd": Input(
        exported("x.onnx", external), NONE_OF_OURS),
    "an honest .tflite file": Input(exported("model.tflite"), rule="loaded"),
    "a .tflite file of 0xff": Input(
        exported("x.tflite", overwrite(b"\xff" * 10_000)), NONE_OF_OURS),
    "half a .tflite file": Input(exported("x.tflite", cut), NONE_OF_OURS),
    "an empty .tflite file": Input(
        exported("x.tflite", overwrite(b"")), NONE_OF_OURS),
    "the honest digits": Input(
        call(lambda folder: data.load("digits")), rule="loaded"),
    "float pixels of NaN": Input(
        split(pixels((2, 8, 8, 3), np.nan, np.float32)), "uint8.*float32"),
    "labels that are floats": Input(
        split(pixels((2, 8, 8, 3)), dtype=np.float64), "int64.*float64"),
    "one label too many": Input(
        split(pixels((2, 8, 8, 3)), (0, 1, 1)), r"shape=\(3,\)"),
    "a label of 2": Input(dataset((0, 2)), r"\[0, 2\).*largest=2"),
    "a label of -1": Input(dataset((0, -1)), "smallest=-1"),
    "a label of 2⁶²": Input(dataset((0, 2**62)), "largest=4611686018427387904"),
    "splits without images": Input(dataset(()), "train_images=0"),
    "a dataset of one class": Input(dataset((0, 0), ("a",)), rule="statistics hold"),
    "a class's name that commands the terminal": Input(
        dataset((0, 1), ("a", ESCAPE)), "control characters"),
    "a class's name that is no text": Input(dataset((0, 1), ("a", 3)), "class_names"),
    "PatchesInit from honest images": Input(patches(noise()), rule="initialised"),
    "PatchesInit from images of 1 × 1": Input(
        patches(pixels((8, 1, 1, 3))), "num_patches"),
    "PatchesInit from images smaller than the filter": Input(
        patches(noise(16, side=2)), rule="patches reach into the padding"),
    "PatchesInit from images of one colour": Input(
        patches(pixels((8, 8, 8, 3), 7)), "not flat"),
    "PatchesInit from inputs of NaN": Input(
        patches(noise(), to_nan), "finite|NaN|nan"),
    "PatchesInit from no images": Input(patches(noise(0)), "image"),
    "PatchesInit with 2**70 patches": Input(
        patches(noise(), num_patches=2**70), "num_patches|patches"),
    "PatchesInit with 10¹² patches": Input(
        patches(noise(), num_patches=10**12), "num_patches|patches"),
    "PatchesInit with -1 clusters": Input(
        patches(noise(), num_clusters=-1), "num_clusters"),
    "a ticket of a kernel of NaN": Input(
        call(nan_kernel), "kept weights of d/kernel must be finite"),
    "a ticket of scores of NaN": Input(
        call(nan_scores), "scores of d/kernel must be finite"),
    "a ticket with a mean of NaN": Input(masked(mean=[float("nan")] * 3), "finite"),
    "a ticket with a std of 0": Input(masked(std=[0.0] * 3), "greater than 0"),
    "a ticket with a recipe 100,000 deep": Input(
        masked(recipe={"a": functools.reduce(lambda t, _: [t], range(100_000), [])}),
        "dict of JSON values"),
    "a ticket with class names that command the terminal": Input(
        masked(class_names=[ESCAPE, "b"]), "control characters"),
}  # fmt: skip
