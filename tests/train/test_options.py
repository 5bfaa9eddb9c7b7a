"""Runs with options of the network: resumed, loaded, exported, reported."""

import functools
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.small import small_digits
from tests.train.common import PATTERNS, assert_same_result
from tfsupermask import init, models, report, runs, train
from tfsupermask._validation import InputError
from tfsupermask.layers import SupermaskDense, masked_weights, supermask_layers
from tfsupermask.tickets import load_ticket, save_ticket

DRAWN = {"init": "kaiming_normal", "batch_size": 32, "epochs": 2}
WHOLE = {**DRAWN, "whole_layers": "first, dense*", "prune": 0.8}
RESNET = {**DRAWN, "model": "resnet18", "width": 0.1, "affine_norm": True}
# By name: fields of the run, and the layers that are whole.
RUNS = {
    "conv8": ({**DRAWN, "model": "conv8", "width": 0.1}, ""),
    "narrow": ({**PATTERNS, "epochs": 2, "model": "conv4", "width": 0.3}, ""),
    "whole": (WHOLE, "conv1 dense1 dense2 dense3"),
    "global, ramp": (
        {**DRAWN, "whole_layers": "first,last", "prune": 0.8}
        | {"allocation": "global", "ramp_epochs": 1},
        "conv1 dense3",
    ),
    "stochastic": (
        {**DRAWN, "whole_layers": "conv*", "method": "stochastic", "learning_rate": 1},
        "conv1 conv2",
    ),
    "all": (
        {**RESNET, "whole_layers": "first,last", "allocation": "global"},
        "stem_conv dense",
    ),
}


@functools.cache
def images_for(model):
    return small_digits(96, side=16 if model == "conv8" else 8)


def run(workdir, fields, finish=True, **more):
    config = runs.Config(workdir=str(workdir), **fields, **more)
    with train.Job.open(config, images_for(config.model)) as job:
        job.train()
        return job.finish() if finish else None


@pytest.mark.parametrize("name", RUNS)
def test_a_run_in_parts_is_the_same_and_leaves_what_can_be_loaded(name, tmp_path):
    fields, whole = RUNS[name]
    summary = run(tmp_path / "run", fields)
    run(tmp_path / "parts", fields, finish=False, stop_after_epoch=1)
    run(tmp_path / "parts", fields, finish=False)
    assert_same_result(tmp_path / "run", tmp_path / "parts")

    full = {layer for layer, s in summary["layer_sparsity"].items() if s == 0}
    assert full == set(whole.split())
    loaded = train.load_run(tmp_path / "run")
    layers = supermask_layers(loaded.model)
    sparsity = {layer.name: layer.realised_sparsity for layer in layers}
    assert sparsity == summary["layer_sparsity"]
    assert {layer.name for layer in layers if layer.sparsity == 0} == full

    trained = loaded.model.trainable_variables
    scales = [variable for variable in trained if variable.name == "gamma"]
    assert bool(scales) == ("affine_norm" in fields)
    assert all(np.all(variable.numpy() != 1) for variable in scales)

    dataset = images_for(loaded.config.model)
    images = loaded.normalise(dataset.test.images)
    logits = loaded.model(images).numpy()
    hits = (logits.argmax(axis=1) == dataset.test.labels).mean()
    assert summary["test_top1"] == pytest.approx(hits)
    ticket = load_ticket(save_ticket(loaded.model, tmp_path / "model.ticket"))
    np.testing.assert_array_equal(ticket.model(images), logits)
    serve = tf.saved_model.load(str(tmp_path / "run" / "saved_model"))
    exported = serve.signatures["serving_default"](
        images=tf.constant(dataset.test.images)
    )
    np.testing.assert_allclose(exported["logits"], logits, rtol=1e-3, atol=1e-4)
    collected = report.collect_run(
        tmp_path / "run", load=lambda *args, **options: dataset
    )
    assert "<h1>" in report.render([collected])


def anonymous(*, input_shape, num_classes, sparsity, method, seed):
    """A network that leaves names and seeds to Keras."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Dropout(0.1)(keras.layers.Flatten()(inputs))
    dense = SupermaskDense(num_classes, sparsity=sparsity, method=method)
    return keras.Model(inputs, dense(x))


def test_networks_without_names_and_seeds_repeat_go_on_and_load(tmp_path, monkeypatch):
    monkeypatch.setitem(models.registry._BUILDERS, "anonymous", anonymous)
    fields, state = {**DRAWN, "model": "anonymous"}, random.getstate()
    for name, stop in (("run", None), ("parts", 1), ("parts", None)):
        run(tmp_path / name, fields, finish=False, stop_after_epoch=stop)
    assert_same_result(tmp_path / "run", tmp_path / "parts")
    loaded = [train.load_run(tmp_path / name).model for name in ("run", "parts")]
    names = [[variable.path for variable in model.variables] for model in loaded]
    assert names[0] == names[1]
    assert random.getstate() == state
    assert SupermaskDense(2).name not in [layer.name for layer in loaded[0].layers]


def twice(*, input_shape, num_classes, sparsity, method, seed):
    """A network with the same block twice: its variables' paths agree."""
    mask = {"sparsity": sparsity, "method": method}

    def block():
        inputs = keras.Input((6,))
        return keras.Model(inputs, SupermaskDense(6, name="same", **mask)(inputs))

    inputs = keras.Input(input_shape)
    x = SupermaskDense(6, **mask)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, SupermaskDense(num_classes, **mask)(block()(block()(x))))


def test_variables_of_equal_paths_are_all_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(models.registry._BUILDERS, "twice", twice)
    fields = {**DRAWN, "model": "twice", "allocation": "global"}
    config = runs.Config(workdir=str(tmp_path / "run"), **fields)
    with train.Job.open(config, images_for("twice")) as job:
        job.train()
        trained = [variable.numpy() for variable in job.model.variables]
        counts = [weight.num_kept for weight in masked_weights(job.model)]
    assert len({variable.path for variable in job.model.variables}) < len(trained)
    loaded = train.load_run(tmp_path / "run").model
    for one, other in zip(trained, loaded.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [weight.num_kept for weight in masked_weights(loaded)] == counts
    for stop in (1, None):
        run(tmp_path / "parts", fields, finish=False, stop_after_epoch=stop)
    assert_same_result(tmp_path / "run", tmp_path / "parts")
    copy = tmp_path / "copy"
    fixed = {"mask_from": str(tmp_path / "run"), "method": "fixed", "init": "patches"}
    fixed |= {"allocation": "uniform", "stop_after_epoch": 0}
    run(copy, {**fields, **fixed}, finish=False)
    masks = (masked_weights(each) for each in (train.load_run(copy).model, loaded))
    for one, other in zip(*masks, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)


def test_weights_that_are_all_kept_are_drawn_without_correction(tmp_path):
    fields = {**WHOLE, "fan_correction": True, "prune": 0.75, "stop_after_epoch": 0}
    run(tmp_path, fields, finish=False)
    plain = models.build("conv2", (8, 8, 3))
    init.initialize(plain, "kaiming_normal")
    for layer in supermask_layers(train.load_run(tmp_path).model):
        factor = 2 if layer.name == "conv2" else 1
        kernel = plain.get_layer(layer.name).kernel
        np.testing.assert_allclose(layer.kernel, factor * kernel, rtol=1e-6)


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        ("first,fc*", r"`whole_layers` must match the name.*pattern='fc\*'"),
        ("relu", "pattern='relu'"),
    ],
)
def test_refuses_patterns_that_match_no_layer(tmp_path, whole, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, {**DRAWN, "whole_layers": whole})


def test_all_layers_may_be_whole(tmp_path):
    summary = run(tmp_path, {**DRAWN, "whole_layers": "*", "epochs": 1})
    assert summary["sparsity"] == 0
    weights = masked_weights(train.load_run(tmp_path).model)
    assert all(weight.num_kept == weight.num_weights for weight in weights)


def test_the_ends_alone_are_whole_where_other_layers_have_their_names():
    def block(name):
        layers = [SupermaskDense(4, name=each) for each in "ab"]
        return keras.Sequential([keras.Input((4,)), *layers], name=name)

    last = SupermaskDense(3, name="b")
    model = keras.Sequential([keras.Input((4,)), block("one"), block("two"), last])
    config = runs.Config(whole_layers="first, last", prune=0.75)
    train.build.set_sparsity(config, model, 0)
    kept = [weight.num_kept for weight in masked_weights(model)]
    assert kept == [16, 4, 4, 4, 12]
