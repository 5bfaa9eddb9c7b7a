"""Exported models from strangers, and arrays and numbers given to the library."""

import base64
import functools
import json
import marshal
import shutil
import tempfile
import zipfile
from pathlib import Path
from unittest import mock

import keras
import numpy as np

from tests.hostile.judging import DEEP, ESCAPE, RAN, Input, refused, works
from tests.hostile.saved import pipe
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
    config = {"code": packed, "defaults": None, "closure": None}
    function = {"class_name": "__lambda__", "config": config}
    thing("keras.layers", "Lambda", name="l", function=function)(path)


def thing(module, class_name, **config):
    kind = {"module": module, "class_name": class_name, "registered_name": None}
    return layer({**kind, "config": config})


def overwrite(content):
    return lambda path: path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def graph(change):
    return exported("served", lambda path: change(path / "saved_model.pb"))


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


def call(function):
    """Returns the maker of a call that needs no files but a folder."""
    return lambda folder: functools.partial(function, folder)


BLACK = np.zeros((2, 8, 8, 3), np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)


def split(images=BLACK, labels=(0, 1), dtype=np.int64):
    return call(lambda folder: Split(images, np.array(labels, dtype)))


def dataset(labels, names=("a", "b")):
    def make(folder):
        images = np.zeros((len(labels), 8, 8, 3), np.uint8)
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


def saved(number=None, attribute="kernel", **options):
    """Returns the maker of a call that saves a ticket, of a kernel of a number."""

    def save(folder):
        model = keras.Sequential([keras.Input((4,)), SupermaskDense(2, name="d")])
        if number is not None:
            getattr(model.layers[0], attribute).assign(np.full((4, 2), number))
        save_ticket(model, folder / "x.ticket", **options)

    return call(save)


NONE_OF_OURS = "must hold a classifier of this program's"
READER = {"name": "t", "vocabulary": "/etc/passwd", "max_tokens": None}
RECIPE = {"a": functools.reduce(lambda tree, _: [tree], range(100_000), [])}
NAN = float("nan")


def keras_file(change):
    return exported("x.keras", change)


def of_units(units):
    return keras_file(thing("keras.layers", "Dense", name="d", units=units))


def zipped(**contents):
    return keras_file(members(zipfile.ZIP_DEFLATED, **contents))


def named(text):
    return keras_file(members(class_names=text))


INPUTS = {
    **works("loaded", {
        "an honest .keras file": exported("model.keras"),
        "an honest SavedModel": exported("model"),
        "an honest .onnx file": exported("model.onnx"),
        "an honest .tflite file": exported("model.tflite"),
        "the honest digits": call(lambda folder: data.load("digits")),
    }),
    **refused(NONE_OF_OURS, {
        "a .keras file with a Lambda layer": keras_file(lambda_layer),
        "a .keras file with os.system for a layer":
            keras_file(thing("os", "system", command="touch {ran}")),
        "a .keras file with builtins.open for a layer":
            keras_file(thing("builtins", "open", file="{ran}", mode="w")),
        "a .keras file with a vocabulary from /etc/passwd":
            keras_file(thing("keras.layers", "TextVectorization", **READER)),
        "a .keras file whose weights are no HDF5":
            keras_file(members(model=b"no weights")),
        "half a .keras file": keras_file(cut),
        "a text called .keras": keras_file(overwrite(b"#!/bin/sh")),
        "class names 100,000 deep": named(DEEP.encode()),
        "class names that are a number in a .keras file": named(b"3"),
        "an empty saved_model.pb": graph(overwrite(b"")),
        "half a saved_model.pb": graph(cut),
        "a saved_model.pb of 0xff": graph(overwrite(b"\xff" * 10_000)),
        "an .onnx file of 0xff": exported("x.onnx", overwrite(b"\xff" * 10_000)),
        "half an .onnx file": exported("x.onnx", cut),
        "an .onnx file with weights from /etc/passwd": exported("x.onnx", external),
        "a .tflite file of 0xff": exported("x.tflite", overwrite(b"\xff" * 10_000)),
        "half a .tflite file": exported("x.tflite", cut),
        "an empty .tflite file": exported("x.tflite", overwrite(b"")),
    }),
    **refused("must hold all its weights", {
        "a .keras file with a layer of 10¹⁰ weights": of_units(10**8),
        "a .keras file with a layer of 2·10⁹ weights": of_units(10**7),
        "a .keras file with a layer of 10¹⁰ weights that nothing needs":
            keras_file(members(config=idle)),
    }),
    **refused("must have at most", {
        "a .keras file whose config is 100 MB of spaces in 100 kB":
            zipped(config=b" " * (100 << 20)),
        "class names of 100 MB in 100 kB":
            zipped(class_names=b'["' + b"a" * (100 << 20) + b'", "b"]'),
    }),
    "a .keras file whose config is 100,000 deep": Input(
        keras_file(members(config=DEEP.encode())), "config.json"),
    "a pipe called .keras": Input(keras_file(pipe), "`path` must be"),
    "a SavedModel without variables": Input(
        exported("served", lambda path: shutil.rmtree(path / "variables")),
        NONE_OF_OURS + "|variables"),
    **refused("control characters", {
        "class names that command the terminal in a .keras file":
            named(json.dumps([ESCAPE, "b"]).encode()),
        "class names that command the terminal in a SavedModel": saved_model_names,
        "a class's name that commands the terminal": dataset((0, 1), ("a", ESCAPE)),
        "a ticket with class names that command the terminal":
            saved(class_names=[ESCAPE, "b"]),
    }),
    **refused("class_names", {
        "class names that are numbers in a .keras file": named(b"[1, 2]"),
        "a class's name that is no text": dataset((0, 1), ("a", 3)),
    }),
    "float pixels of NaN": Input(split(BLACK + np.float32(NAN)), "uint8.*float32"),
    "labels that are floats": Input(split(dtype=np.float64), "int64.*float64"),
    "one label too many": Input(split(labels=(0, 1, 1)), r"shape=\(3,\)"),
    "a label of 2": Input(dataset((0, 2)), r"\[0, 2\).*largest=2"),
    "a label of -1": Input(dataset((0, -1)), "smallest=-1"),
    "a label of 2⁶²": Input(dataset((0, 2**62)), "largest=4611686018427387904"),
    "splits without images": Input(dataset(()), "train_images=0"),
    "a dataset of one class": Input(dataset((0, 0), ("a",)), rule="statistics hold"),
    "PatchesInit from honest images": Input(patches(NOISE[:8]), rule="initialised"),
    "PatchesInit from images of 1 × 1": Input(
        patches(NOISE[:, :1, :1]), "num_patches"),
    "PatchesInit from images smaller than the filter": Input(
        patches(NOISE[:, :2, :2]), rule="patches reach into the padding"),
    "PatchesInit from images of one colour": Input(patches(0 * NOISE + 7), "not flat"),
    "PatchesInit from inputs of NaN": Input(
        patches(NOISE, lambda images: images + np.float32(NAN)), "finite|NaN|nan"),
    "PatchesInit from no images": Input(patches(NOISE[:0]), "image"),
    **refused("num_patches|patches", {
        "PatchesInit with 2**70 patches": patches(NOISE, num_patches=2**70),
        "PatchesInit with 10¹² patches": patches(NOISE, num_patches=10**12),
    }),
    "PatchesInit with -1 clusters": Input(
        patches(NOISE, num_clusters=-1), "num_clusters"),
    "a ticket of a kernel of NaN": Input(
        saved(NAN), "kept weights of d/kernel must be finite"),
    "a ticket of scores of NaN": Input(
        saved(NAN, "score"), "scores of d/kernel must be finite"),
    "a ticket with a mean of NaN": Input(saved(mean=[NAN] * 3), "finite"),
    "a ticket with a std of 0": Input(saved(std=[0.0] * 3), "greater than 0"),
    "a ticket with a recipe 100,000 deep": Input(
        saved(recipe=RECIPE), "dict of JSON values"),
}  # fmt: skip
