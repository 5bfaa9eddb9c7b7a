"""Every public docstring is complete, and every example does what it says.

Examples may use NumPy, TensorFlow and Keras under their usual names, the parts of the
package, all that their part and their module know, and what `OBJECTS` and `FILES` hold.
Each docstring gets its own, in a working directory of its own, so that none sees what
another did.
"""

import dataclasses
import doctest
import functools
import importlib
import inspect
import pkgutil
import re
import shutil

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

import tfsupermask
from tfsupermask import data, models
from tfsupermask.layers import methods
from tfsupermask.models import registry
from tfsupermask.runs import Config
from tfsupermask.train import run

PARTS = [
    module.name
    for module in pkgutil.iter_modules(tfsupermask.__path__)
    if not module.name.startswith("_")
]
MODULES = ["tfsupermask"] + [
    module.name
    for module in pkgutil.walk_packages(tfsupermask.__path__, "tfsupermask.")
    if not module.name.startswith(("tfsupermask._core", "tfsupermask._tensorflow"))
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
IMAGE_SIZE = 8


def write_images(path):
    """Three classes of 40 drawings."""
    rng = np.random.default_rng(0)
    for shape in ("circle", "cross", "square"):
        (path / shape).mkdir(parents=True)
        for number in range(40):
            image = rng.integers(0, 60, (32, 32, 3), np.uint8)
            x, y, size = map(int, rng.integers((10, 10, 5), (22, 22, 10)))
            colour = tuple(map(int, rng.integers(120, 256, 3)))
            if shape == "circle":
                cv2.circle(image, (x, y), size, colour, 2)
            elif shape == "cross":
                cv2.drawMarker(image, (x, y), colour, cv2.MARKER_CROSS, 2 * size, 2)
            else:
                cv2.rectangle(image, (x - size, y - size, 2 * size, 2 * size), colour)
            cv2.imwrite(str(path / shape / f"{number:02d}.png"), image)


def write_photo(path):
    cv2.imwrite(str(path), np.full((60, 80, 3), 127, np.uint8))


def write_run(path):
    """One epoch of a network that has seen `my_images`."""
    config = Config(
        dataset="folder",
        data_dir=str(path.parents[1] / "my_images"),
        image_size=IMAGE_SIZE,
        init="kaiming_normal",
        epochs=1,
        batch_size=32,
        workdir=str(path),
    )
    run(config)


# What a docstring finds in its working directory if it mentions it.
FILES = {
    "my_images": write_images,
    "photo.jpg": write_photo,
    "runs/my_run": write_run,
}


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    """Function from a name in `FILES` to the original, made when first asked for."""
    root = tmp_path_factory.mktemp("originals")

    @functools.cache
    def make(name):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        if name == "runs/my_run":
            make("my_images")
        FILES[name](path)
        return path

    return make


@pytest.fixture(scope="session")
def dataset(file):
    dataset = data.load("folder", file("my_images"), IMAGE_SIZE)
    for split in (dataset.train, dataset.test):
        split.images.flags.writeable = split.labels.flags.writeable = False
    return dataset


# What a docstring finds among its names if its examples mention it.
OBJECTS = {
    "dataset": lambda dataset: dataset,
    "images": lambda dataset: dataset.train.images,
    "labels": lambda dataset: dataset.train.labels,
    "model": lambda dataset: models.build(
        "conv2", dataset.image_shape, dataset.num_classes
    ),
}


def documented_in(module):
    """Yields what a module defines with a docstring, and what that is called."""
    yield module.__name__, module
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            yield name, value
        if inspect.isclass(value):
            for member_name, member in members_of(value).items():
                yield f"{name}.{member_name}", member


def members_of(value):
    """The methods and properties of a class that it defines itself, by name."""
    kinds = (classmethod, staticmethod, property, functools.cached_property)
    return {
        name: member
        for name, member in vars(value).items()
        if inspect.isfunction(member) or isinstance(member, kinds)
    }


def examples_of(module):
    """Yields a doctest for each docstring with examples, with names of its own."""
    parts = {part: importlib.import_module(f"tfsupermask.{part}") for part in PARTS}
    part = parts.get(module.__name__.partition(".")[2].partition(".")[0], module)
    names = {name: getattr(part, name) for name in dir(part)}
    known = {"keras": keras, "np": np, "tf": tf, **parts, **names, **vars(module)}
    parser = doctest.DocTestParser()
    for name, value in documented_in(module):
        test = parser.get_doctest(
            inspect.getdoc(value) or "", dict(known), name, module.__file__, 0
        )
        if test.examples:
            yield test


def copy_files(test, file, place):
    """Copies what a docstring mentions into its working directory."""
    for name in FILES:
        if name in test.docstring:
            original, copy = file(name), place / name
            copy.parent.mkdir(exist_ok=True)
            if original.is_dir():
                shutil.copytree(original, copy)
            else:
                shutil.copy(original, copy)


def run_example(test):
    """Returns what doctest says of a docstring's examples: nothing if all is well."""
    said = []
    keras.utils.set_random_seed(0)
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("name", MODULES)
def test_examples_do_what_they_say(name, file, request, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    monkeypatch.setattr(methods, "_METHODS", dict(methods._METHODS))
    said = ""
    for number, test in enumerate(examples_of(importlib.import_module(name))):
        place = tmp_path / str(number)
        place.mkdir()
        copy_files(test, file, place)
        monkeypatch.chdir(place)
        source = "".join(example.source for example in test.examples)
        for object_name, make in OBJECTS.items():
            if re.search(rf"\b{object_name}\b", source):
                test.globs[object_name] = make(request.getfixturevalue("dataset"))
        said += run_example(test)
    assert not said, said


def test_examples_are_found_behind_decorators():
    module = importlib.import_module("tfsupermask.layers.walking")
    assert "dense_forward" in {test.name for test in examples_of(module)}


def test_wrong_examples_are_noticed():
    parser = doctest.DocTestParser()
    right, wrong = (
        parser.get_doctest(f">>> 1 + 1\n{answer}\n", {}, "sum", None, 0)
        for answer in (2, 3)
    )
    assert not run_example(right)
    assert "Expected:\n    3\nGot:\n    2" in run_example(wrong)


def sections_of(docstring):
    """Returns the indented lines below each `Heading:` of a docstring."""
    sections = {}
    heading = None
    for line in docstring.splitlines():
        match = re.fullmatch(r"([A-Z][A-Za-z ]+):", line)
        if match:
            heading = match[1]
        sections.setdefault(heading, []).append(line)
    return sections


def parameters_of(value):
    """Returns the parameters of a function or of a class's construction."""
    if inspect.isclass(value):
        value = value.__new__ if issubclass(value, tuple) else value.__init__
    parameters = [
        parameter
        for name, parameter in inspect.signature(value).parameters.items()
        # The last two are what is passed on to a base class.
        if name not in ("self", "cls", "_cls", "args", "kwargs")
    ]
    return [parameter.name for parameter in parameters]


def faults_of(value):
    """Yields what the docstring of a public function or class lacks."""
    docstring = inspect.cleandoc(value.__doc__ or "")
    summary = docstring.partition("\n\n")[0]
    if "\n" in summary or not summary.endswith("."):
        yield "its summary is not one sentence on one line"
    sections = sections_of(docstring)
    headings = ("Args", "Attributes") if inspect.isclass(value) else ("Args",)
    described = [
        match[1]
        for heading in headings
        for line in sections.get(heading, ())
        if (match := re.match(r" {4}\*{0,2}(\w+):", line))
    ]
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        described += [field.name for field in fields if field.metadata.get("help")]
    parameters = parameters_of(value)
    for name in parameters:
        if name not in described:
            yield f"`{name}` is not described"
    if inspect.isclass(value):
        for base in value.__mro__:
            if base.__module__.startswith("tfsupermask"):
                for name, member in members_of(base).items():
                    if not name.startswith("_") and not member.__doc__:
                        yield f"`{name}` has no docstring"
    else:
        for name in described:
            if name not in (*parameters, "args", "kwargs"):
                yield f"`{name}` is described but no parameter"
        returned = inspect.signature(value).return_annotation
        nothing = returned in (None, "None", "Iterator[None]")
        told = "Returns" in sections or "Yields" in sections
        if not nothing and not told and not summary.startswith("Returns"):
            yield "what it returns is not told"
    is_error = inspect.isclass(value) and issubclass(value, Exception)
    # Sphinx takes only what is indented for a part of the section.
    if not is_error and not any(
        line.startswith("    >>> ") for line in sections.get("Example", ())
    ):
        yield "it has no example, indented below `Example:`"


@pytest.mark.parametrize("part", PARTS)
def test_public_docstrings_are_complete(part):
    module = importlib.import_module(f"tfsupermask.{part}")
    public = {name: getattr(module, name) for name in module.__all__}
    faults = [
        f"{part}.{name}: {fault}"
        for name, value in public.items()
        if inspect.isfunction(value) or inspect.isclass(value)
        for fault in faults_of(value)
    ]
    assert not faults, "\n".join(faults)


def test_a_complete_docstring_has_no_fault():
    assert not list(faults_of(documented()))


@pytest.mark.parametrize(
    ("part", "replacement", "fault"),
    [
        ("Returns the sum.", "Returns\nthe sum.", "its summary"),
        ("Returns the sum.", "Returns the sum", "its summary"),
        ("Returns the sum.", "Adds up.", "what it returns"),
        ("    b: Another", "    c: Another", "`b` is not described"),
        ("    b: Another", "    c: Another", "`c` is described but no parameter"),
        ("Args:", "Arguments:", "`a` is not described"),
        ("    >>> 1", ">>> 1", "it has no example"),
        ("Example:", "Examples:", "it has no example"),
    ],
)
def test_faults_are_noticed(part, replacement, fault):
    found = list(faults_of(documented(part, replacement)))
    assert any(text.startswith(fault) for text in found), found


def documented(part="", replacement=""):
    """Returns a function with a docstring of which a part is replaced."""

    def add(a, b=0) -> int:
        return a + b

    add.__doc__ = """Returns the sum.

    Args:
        a: A number.
        b: Another.

    Example:
        >>> 1 + 1
        2
    """.replace(part, replacement)
    return add


def test_undocumented_methods_are_noticed():
    class Sum:
        """A sum.

        Example:
            >>> 1 + 1
            2
        """

        def compute(self):
            return 2

    Sum.__module__ = "tfsupermask.sums"
    assert list(faults_of(Sum)) == ["`compute` has no docstring"]
