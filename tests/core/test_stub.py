import ast
from pathlib import Path

import numpy as np
import pytest

import tfsupermask
from tfsupermask import _core

PACKAGE = Path(tfsupermask.__file__).parent
STUB = {
    node.name: node.args
    for node in ast.parse((PACKAGE / "_core.pyi").read_text()).body
    if isinstance(node, ast.FunctionDef)
}
FUNCTIONS = {name for name in vars(_core) if not name.startswith("_")}


def parameters(arguments):
    # Names, which of them are keywords only, and defaults; not the annotations, which
    # the module leaves as `object`.
    defaults = [*arguments.defaults, *arguments.kw_defaults]
    return (
        [argument.arg for argument in arguments.args],
        [argument.arg for argument in arguments.kwonlyargs],
        [None if value is None else ast.literal_eval(value) for value in defaults],
    )


def test_the_stub_names_every_function_and_no_other():
    assert set(STUB) == FUNCTIONS


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_stub_has_the_parameters_of_the_module(name):
    signature, _, text = getattr(_core, name).__doc__.partition("\n")
    assert text.strip()
    (function,) = ast.parse(f"def {signature}: ...").body
    assert parameters(STUB[name]) == parameters(function.args)


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").exists()


def test_hardware_threads_is_at_least_one():
    assert _core.hardware_threads() >= 1


def test_too_few_arguments_are_a_type_error():
    with pytest.raises(TypeError):
        _core.filter_boxes(np.zeros((0, 4), np.int32))
