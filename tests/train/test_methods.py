"""Runs of other methods than edge-popup, and what they leave behind."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.train.common import PATTERNS, STOCHASTIC, assert_same_result, run
from tfsupermask import init, models, runs, train
from tfsupermask._validation import InputError
from tfsupermask.conversion import fold
from tfsupermask.layers import (
    drawn,
    masked_weights,
    method_names,
    supermask_layers,
)
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.tickets import load_ticket, save_ticket
from tfsupermask.train.build import build_model
from tfsupermask.train.interruption import Interrupted


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small):
    """A complete run with stochastic masks, and its summary."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    summary = run(workdir, **STOCHASTIC)
    return workdir, summary


def test_the_realised_sparsity_is_reported(finished):
    workdir, summary = finished
    weights = masked_weights(train.load_run(workdir).model)
    kept = sum(np.count_nonzero(weight.mask) for weight in weights)
    size = sum(weight.num_weights for weight in weights)
    assert summary["sparsity"] == 1 - kept / size != 0.5


def test_what_is_left_says_what_evaluation_said(finished, small, tmp_path):
    workdir, summary = finished
    loaded = train.load_run(workdir)
    images = loaded.normalise(small.test.images)
    logits = loaded.model(images).numpy()
    hits = (logits.argmax(axis=1) == small.test.labels).mean()
    assert summary["test_top1"] == pytest.approx(hits)
    np.testing.assert_allclose(fold(loaded.model)(images), logits, rtol=1e-5, atol=1e-5)
    serve = tf.saved_model.load(str(workdir / "saved_model"))
    exported = serve.signatures["serving_default"](
        images=tf.constant(small.test.images)
    )
    np.testing.assert_allclose(exported["logits"], logits, rtol=1e-4, atol=1e-4)
    ticket = load_ticket(save_ticket(loaded.model, tmp_path / "model.ticket"))
    np.testing.assert_array_equal(ticket.model(images), logits)
    for path in (workdir, workdir / "saved_model"):
        totals = train.evaluate_path(path, small).means("test_")
        assert totals["test_top1"] == summary["test_top1"]


def test_samples_average_probabilities(finished, small):
    workdir, _ = finished
    run = train.load_run(workdir)
    probabilities = []
    for number in (-1, -2, -3):
        with drawn(run.model, number):
            logits = run.model(run.normalise(small.test.images)).numpy()
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities.append(exponentials / exponentials.sum(axis=1, keepdims=True))
    mean, labels = np.mean(probabilities, axis=0), small.test.labels
    totals = train.evaluate_path(workdir, small, samples=3)
    assert totals.images == len(labels)
    assert totals.top1 == (mean.argmax(axis=1) == labels).sum()
    loss = -np.log(mean[np.arange(len(labels)), labels]).sum()
    assert totals.loss == pytest.approx(loss, rel=1e-4)
    assert totals == train.evaluate_path(workdir, small, samples=3)
    assert totals != train.evaluate_path(workdir, small, samples=2)


@pytest.mark.parametrize("samples", [-1, 1.5, True])
def test_refuses_other_numbers_of_samples(finished, small, samples):
    with pytest.raises(InputError, match=f"`samples`.*samples={samples}"):
        train.evaluate_path(finished[0], small, samples=samples)


def test_refuses_samples_where_nothing_is_drawn(finished, small, tmp_path):
    edge_popup = {**STOCHASTIC, "method": "edge_popup", "stop_after_epoch": 0}
    run(tmp_path / "edge_popup", **edge_popup)
    for path in (finished[0] / "saved_model", tmp_path / "edge_popup"):
        with pytest.raises(InputError, match=r"stochastic masks only.*samples=10"):
            train.evaluate_path(path, small, samples=10)


def test_stopped_within_an_epoch_of_two_replicas_and_resumed_on_one(
    finished, tmp_path, monkeypatch
):
    calls = []

    def stop(strategy, pending):
        calls.append(pending)
        return 15 if len(calls) == 2 else 0  # in the first epoch

    with monkeypatch.context() as patch:
        patch.setattr("tfsupermask.train.loop.STEPS_PER_CALL", 4)
        patch.setattr("tfsupermask.train.job.agree_to_stop", stop)
        with pytest.raises(Interrupted):
            run(tmp_path, strategy="mirrored", **STOCHASTIC)
    saved = checkpoints.restore_latest(tmp_path / "checkpoints")
    assert (saved.epoch, saved.step) == (0, 8)
    assert run(tmp_path, **STOCHASTIC)["epoch"] == 2
    assert_same_result(finished[0], tmp_path)


def test_patterns_are_those_of_the_network_without_chance(tmp_path):
    """Activations are those of the dense network while it is initialised."""
    kernels = []
    for method in ("edge_popup", "stochastic"):
        fields = {**PATTERNS, "method": method, "stop_after_epoch": 0}
        run(tmp_path / method, **fields)
        loaded = train.load_run(tmp_path / method)
        kernels.append(
            [weight.kernel.numpy() for weight in masked_weights(loaded.model)]
        )
    for one, other in zip(*kernels, strict=True):
        np.testing.assert_array_equal(one, other)


def test_signed_runs_leave_what_evaluation_said(small, tmp_path):
    fields = {"method": "signed", "allocation": "erdos_renyi", "prune": 0.7}
    summary = run(tmp_path, **{**STOCHASTIC, **fields, "learning_rate": None})
    assert summary["sparsity"] == pytest.approx(0.7, abs=1e-4)
    assert json.loads((tmp_path / "config.json").read_text())["config"]["method"] == (
        "signed"
    )
    loaded = train.load_run(tmp_path)
    values = {float(v) for w in masked_weights(loaded.model) for v in np.unique(w.mask)}
    assert values == {-1.0, 0.0, 1.0}
    images = loaded.normalise(small.test.images)
    logits = loaded.model(images)
    np.testing.assert_allclose(fold(loaded.model)(images), logits, rtol=1e-5, atol=1e-5)
    totals = train.evaluate_path(tmp_path / "saved_model", small).means("test_")
    assert totals["test_top1"] == summary["test_top1"]


@pytest.mark.parametrize("name", method_names())
def test_the_model_has_the_method(name):
    config = runs.Config(method=name, prune=0.3, seed=5)
    built = build_model(config, (8, 8, 3), 10)
    expected = models.build("conv2", (8, 8, 3), 10, 0.3, name, 5)
    for model in (built, expected):
        init.initialize(model, "glorot_normal", 5)
    for one, other in zip(built.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert {layer.method.name for layer in supermask_layers(built)} == {name}
