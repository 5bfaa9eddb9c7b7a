"""Runs of other methods than edge-popup, and what they leave behind."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.train.common import (
    PATTERNS,
    STOCHASTIC,
    advance,
    assert_same_result,
    run,
    stop_within_the_first_epoch,
)
from tfsupermask import init, models, runs, train
from tfsupermask._validation import InputError
from tfsupermask.conversion import fold
from tfsupermask.layers import (
    drawn,
    masked_weights,
    method_names,
    supermask_layers,
)
from tfsupermask.tickets import load_ticket, save_ticket
from tfsupermask.train import evaluation
from tfsupermask.train.build import build_model


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


def test_samples_average_in_full_precision(finished, small, monkeypatch):
    workdir, _ = finished
    loaded = train.load_run(workdir)
    loaded.model.layers[-1].dtype_policy = "mixed_bfloat16"
    monkeypatch.setattr(evaluation, "load_run", lambda path: loaded)
    with drawn(loaded.model, -1):
        logits = loaded.model(loaded.normalise(small.test.images))
    assert logits.dtype == "bfloat16"
    logits = np.float64(logits)
    labels = small.test.labels
    loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]
    totals = evaluation.evaluate_path(workdir, small, samples=1)
    assert totals.loss == pytest.approx(loss.sum(), rel=1e-5)


@pytest.mark.parametrize("samples", [-1, 1.5, True])
def test_refuses_other_numbers_of_samples(finished, small, samples):
    with pytest.raises(InputError, match=f"`samples`.*samples={samples}"):
        train.evaluate_path(finished[0], small, samples=samples)


def test_refuses_samples_where_nothing_is_drawn(finished, small, tmp_path):
    edge_popup = {**STOCHASTIC, "method": "edge_popup", "stop_after_epoch": 0}
    advance(tmp_path / "edge_popup", **edge_popup)
    for path in (finished[0] / "saved_model", tmp_path / "edge_popup"):
        with pytest.raises(InputError, match=r"stochastic masks only.*samples=10"):
            train.evaluate_path(path, small, samples=10)


def test_stopped_within_an_epoch_of_two_replicas_and_resumed_on_one(
    finished, tmp_path, monkeypatch
):
    stop_within_the_first_epoch(monkeypatch, tmp_path, **STOCHASTIC)
    assert advance(tmp_path, **STOCHASTIC) == 2
    assert_same_result(finished[0], tmp_path)


def test_patterns_are_those_of_the_network_without_chance(tmp_path):
    """Activations are those of the dense network while it is initialised."""
    kernels = []
    for method in ("edge_popup", "stochastic"):
        fields = {**PATTERNS, "method": method, "stop_after_epoch": 0}
        advance(tmp_path / method, **fields)
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


OTHERS = {
    "iterand": {"redraw_steps": 3},
    "magnitude": {"prune": 0.8, "allocation": "global", "epochs": 3},
}


@pytest.fixture(scope="module", params=OTHERS)
def other(request, tmp_path_factory, small):
    """A complete run of another method: its fields and its summary."""
    workdir = tmp_path_factory.mktemp("runs") / request.param
    own = {"method": request.param, "learning_rate": None, **OTHERS[request.param]}
    fields = {**STOCHASTIC, "init": "kaiming_normal", **own}
    return workdir, fields, run(workdir, **fields)


def test_other_methods_leave_what_evaluation_said(other, small, tmp_path):
    workdir, fields, summary = other
    loaded = train.load_run(workdir)
    images = loaded.normalise(small.test.images)
    logits = loaded.model(images).numpy()
    hits = (logits.argmax(axis=1) == small.test.labels).mean()
    assert summary["test_top1"] == pytest.approx(hits)
    assert hits > 0.2
    np.testing.assert_allclose(fold(loaded.model)(images), logits, rtol=1e-5, atol=1e-5)
    totals = train.evaluate_path(workdir / "saved_model", small).means("test_")
    assert totals["test_top1"] == summary["test_top1"]
    ticket = load_ticket(save_ticket(loaded.model, tmp_path / "model.ticket"))
    np.testing.assert_array_equal(ticket.model(images), logits)
    prune = fields.get("prune", 0.5)
    assert summary["sparsity"] == pytest.approx(prune, abs=1e-4)
    # What the run began with, drawn again.
    drawn = models.build("conv2", (8, 8, 3), 10, prune, fields["method"], 0)
    init.initialize(drawn, "kaiming_normal", 0)
    pairs = list(zip(*map(masked_weights, (loaded.model, drawn)), strict=True))
    if fields["method"] == "iterand":
        # Six draws of a tenth of what was removed then; nothing else was changed.
        for weight, start in pairs:
            values, before = weight.kernel.numpy(), start.kernel.numpy()
            assert np.isin(values, before).all()
            assert 0.05 < (values != before).mean() < 1 - 0.9**6
    else:
        with open(workdir / "metrics.csv") as file:
            sparsity = [float(row["sparsity"]) for row in csv.DictReader(file)]
        np.testing.assert_allclose(sparsity, [0, 0.8, 0.8], atol=1e-4)
        magnitudes = [np.abs(weight.kernel.numpy()) for weight, _ in pairs]
        kept = [
            m[w.mask.numpy() == 1] for m, (w, _) in zip(magnitudes, pairs, strict=True)
        ]
        assert (
            len({len(k) / m.size for k, m in zip(kept, magnitudes, strict=True)}) == 5
        )


def test_other_methods_stop_within_an_epoch_of_two_replicas_and_resume_on_one(
    other, tmp_path, monkeypatch
):
    workdir, fields, _ = other
    stop_within_the_first_epoch(monkeypatch, tmp_path, **fields)
    assert advance(tmp_path, **fields) == fields["epochs"]
    assert_same_result(workdir, tmp_path)


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
