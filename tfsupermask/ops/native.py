"""The masking ops in C++, which run on CPUs outside of XLA."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
import traceback
import warnings
import weakref

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

_EXPORTERS = (
    "keras.src.export.",
    "keras.src.backend.tensorflow.export",
    "tensorflow.lite.",
    "tensorflow.python.saved_model.save",
)
_WITHOUT: weakref.WeakSet[tf.Graph] = weakref.WeakSet()


def usable() -> bool:
    """Returns whether the current code can use the C++ ops.

    XLA compiles only its own ops. On a GPU the scores would go to the host and back. An
    export must run where this package is not installed.
    """
    graph = tf.compat.v1.get_default_graph()
    if control_flow_util.GraphOrParentsInXlaContext(graph):
        return False
    while graph is not None:
        if graph in _WITHOUT:
            return False
        graph = getattr(graph, "outer_graph", None)
    if not tf.executing_eagerly() and _being_exported():
        return False
    return not tf.config.list_logical_devices("GPU") and _library() is not None


def avoid_in(graph: tf.Graph) -> None:
    """Keeps the C++ ops out of a function that XLA or an export may take later."""
    _WITHOUT.add(graph)


def _being_exported() -> bool:
    """Returns whether Keras, TensorFlow or the user is tracing for an export."""
    return any(
        _module(frame).startswith(_EXPORTERS) or _makes_a_signature(frame)
        for frame, _ in traceback.walk_stack(sys._getframe())
    )


def _makes_a_signature(frame):
    """Returns whether the user calls `get_concrete_function` here, not TensorFlow."""
    called = frame.f_code.co_name == "get_concrete_function"
    return called and not _module(frame.f_back).startswith("tensorflow.")


def _module(frame):
    return frame.f_globals.get("__name__", "")


def mask_all_but_top_k(
    values: tf.Tensor, scores: tf.Tensor, k: int | tf.Tensor, ranking: str
) -> tf.Tensor:
    """Returns `values` times 1 at the `k` highest ranked scores, 0 elsewhere."""
    return _library().supermask_mask_all_but_top_k(
        values, scores, k, by_magnitude=ranking == "magnitude"
    )


def straight_through(
    upstream: tf.Tensor, kernel: tf.Tensor, scores: tf.Tensor, ranking: str
) -> tf.Tensor:
    """Returns `upstream · kernel`, times sign(scores) when ranking by magnitude."""
    return _library().supermask_straight_through(
        upstream, kernel, scores, by_magnitude=ranking == "magnitude"
    )


def _gradient(op, gradient):
    upstream, kernel, scores = op.inputs
    ranking = "magnitude" if op.get_attr("by_magnitude") else "score"
    return (
        straight_through(gradient, kernel, scores, ranking),
        straight_through(gradient, upstream, scores, ranking),
        None,
    )


with contextlib.suppress(KeyError):  # when the module is loaded again
    tf.RegisterGradient("SupermaskStraightThrough")(_gradient)


@functools.cache
def _library():
    found = importlib.util.find_spec("tfsupermask._tensorflow_ops")
    try:
        return None if found is None else tf.load_op_library(found.origin)
    except (tf.errors.OpError, RuntimeError) as error:
        warnings.warn(
            f"Masks are found by TensorFlow's own ops, which is slower: {error}",
            stacklevel=2,
        )
        return None
