import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.train import common
from tfsupermask import data, models, patches, report, runs, tickets, train
from tfsupermask._machine import commit
from tfsupermask._validation import InputError
from tfsupermask.layers import masked_weights, supermask_layers
from tfsupermask.ops import num_kept
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.sparsity import SparsityRamp
from tfsupermask.train.build import build_model, restore, set_sparsity, values_of


def run(workdir, **fields):
    return common.run(workdir, **{**common.PATTERNS, **fields})


def advance(workdir, **fields):
    return common.advance(workdir, **{**common.PATTERNS, **fields})


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small):
    """A complete run of three epochs, and the lines that it printed."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    summary = run(workdir)
    return workdir, summary


def test_leaves_everything_a_person_wants(finished, small):
    workdir, summary = finished
    files = {str(p.relative_to(workdir)) for p in workdir.rglob("*") if p.is_file()}
    assert {
        "config.json",
        "metrics.csv",
        "summary.json",
        "init.json",
        "checkpoints/epoch_00002.npz",
        "checkpoints/epoch_00003.npz",
        "saved_model/saved_model.pb",
        "pictures/boxes_and_patches.png",
        "pictures/first_layer.png",
        "pictures/training_curves.png",
    } <= files
    assert any(name.startswith("events/") for name in files)
    assert not [name for name in files if name.endswith(".partial")]
    assert json.loads((workdir / "summary.json").read_text()) == summary
    assert summary["epoch"] == summary["epochs"] == 3
    assert summary["sparsity"] == pytest.approx(0.5, abs=1e-4)
    assert 0.1 < summary["test_top1"] <= summary["test_top5"] <= 1
    assert summary["init_seconds"] > 0
    assert summary["train_seconds"] > 0
    images = summary["train_images"], summary["test_images"]
    assert images == (len(small.train), len(small.test))
    machine = summary["machine"]
    assert set(machine) == {"processor", "cores"}
    assert machine["processor"]
    assert machine["cores"] == len(os.sched_getaffinity(0))
    assert summary["versions"]["tensorflow"] == tf.__version__
    made_by = "commit", "command", "precision"
    assert [summary[name] for name in made_by] == [commit(), None, "float32"]


def test_init_report_matches_the_kernels_provenance(finished, small):
    workdir, _ = finished
    first = json.loads((workdir / "init.json").read_text())["layers"][0]
    kernel = train.load_run(workdir).model.get_layer("conv1").kernel.numpy()
    image, row, column = (first[name][7] for name in ("image", "row", "column"))
    patch = small.train.images[image, row : row + 3, column : column + 3]
    patch = (patch / 255.0 - small.mean) / small.std
    np.testing.assert_allclose(
        kernel[..., 7],
        (patch - patch.mean()) / patch.std() * np.sqrt(2 / (27 + 576)),
        atol=1e-5,
    )


@pytest.mark.parametrize("stop_after_epoch", [None, 0])
def test_a_finished_run_started_again_changes_nothing_that_it_tells(
    finished, stop_after_epoch
):
    workdir, summary = finished
    before = (workdir / "metrics.csv").read_bytes()
    fields = {**common.PATTERNS, "stop_after_epoch": stop_after_epoch}
    config = runs.Config(workdir=str(workdir), **fields)
    assert train.run(config, command="again") == summary  # also what made it
    assert (workdir / "metrics.csv").read_bytes() == before


def test_a_run_of_before_keeps_who_made_it(finished, tmp_path):
    """Its checkpoint does not say, its summary does."""
    workdir, summary = tmp_path / "run", finished[1]
    shutil.copytree(finished[0], workdir)
    saved = checkpoints.restore_latest(workdir / "checkpoints")
    del saved.state["made_by"]
    checkpoints.save(workdir / "checkpoints", saved)
    made_by = {"commit": "0" * 40, "command": "before"}
    (workdir / "summary.json").write_text(json.dumps(summary | made_by))
    config = runs.Config(workdir=str(workdir), **common.PATTERNS)
    assert train.run(config, command="again") == summary | made_by


@pytest.fixture(scope="module")
def initialised(tmp_path_factory, small):
    """A run that was told to initialise only, and its summary."""
    workdir = tmp_path_factory.mktemp("runs") / "initialised"
    summary = run(workdir, stop_after_epoch=0)
    return workdir, summary


def test_initialising_alone_leaves_what_there_is_to_tell(initialised):
    workdir, summary = initialised
    assert json.loads((workdir / "summary.json").read_text()) == summary
    expected = """epoch epochs sparsity layer_sparsity train_images test_images
        init_seconds commit command precision machine versions"""
    assert set(summary) == set(expected.split())
    assert (summary["epoch"], summary["epochs"]) == (0, 3)
    assert summary["init_seconds"] > 0
    assert not (workdir / "saved_model").exists()
    pictures = {path.name for path in (workdir / "pictures").iterdir()}
    assert pictures == {"boxes_and_patches.png", "first_layer.png"}
    names = [path.name for path in (workdir / "checkpoints").iterdir()]
    assert names == ["epoch_00000.npz"]


def test_what_is_only_initialised_can_be_loaded_evaluated_and_reported(
    initialised, small
):
    workdir, summary = initialised
    loaded = train.load_run(workdir)
    assert loaded.epoch == 0
    assert train.evaluate_path(workdir, small).images == len(small.test)
    layers = supermask_layers(loaded.model)
    sparsity = {layer.name: layer.realised_sparsity for layer in layers}
    assert sparsity == summary["layer_sparsity"]
    collected = report.collect_run(workdir, load=lambda *args, **options: small)
    assert (collected.epoch, collected.rows, collected.last) == (0, [], {})
    assert collected.summary == summary
    assert "No epoch is done yet." in report.render([collected])
    assert report.render([collected, collected])


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        ({"init": "signed_constant", "mixed_precision": True}, []),
        ({"init": "kaiming_uniform", "rescale": "unit_power"}, []),
        (
            {"init": "whitened_patches", "num_patches": 1000, "num_clusters": 80},
            ["conv1/kernel", "conv2/kernel"],
        ),
    ],
)
def test_a_loaded_runs_ticket_stores_patterns_alone(fields, stored, tmp_path):
    """What was drawn is drawn again, whatever it was multiplied by, to the bit."""
    workdir = tmp_path / "run"
    common.advance(workdir, stop_after_epoch=0, **fields)
    model = train.load_run(workdir).model
    path = tickets.save_ticket(model, tmp_path / "a.ticket")
    parts = tickets.read_ticket_header(path)["parts"]
    assert [part["name"] for part in parts if part["kind"] == "kept"] == stored
    again = tickets.load_ticket(path).model
    images = np.random.default_rng(0).normal(size=(9, *model.input_shape[1:]))
    np.testing.assert_array_equal(again(images), model(images))


def test_in_parts_equals_at_once(finished, initialised, tmp_path):
    workdir = shutil.copytree(initialised[0], tmp_path / "copy")
    for epoch in (0, 1):
        assert run(workdir, stop_after_epoch=epoch)["epoch"] == epoch
    assert run(workdir)["epoch"] == 3
    common.assert_same_result(finished[0], workdir)
    assert (workdir / "saved_model" / "saved_model.pb").exists()
    assert (workdir / "pictures" / "training_curves.png").exists()


def test_resumes_from_the_checkpoint_before_a_damaged_one(finished, tmp_path):
    workdir, _ = finished
    advance(tmp_path, stop_after_epoch=2)
    (tmp_path / "checkpoints" / "epoch_00002.npz").write_bytes(b"torn")
    with pytest.warns(UserWarning, match="damaged"):
        advance(tmp_path)
    common.assert_same_result(workdir, tmp_path)


def test_load_run_restores_the_model(finished, small):
    workdir, summary = finished
    loaded = train.load_run(workdir)
    assert loaded.epoch == 3
    assert loaded.class_names == small.class_names
    totals = train.evaluate_path(workdir, small)
    assert totals.means("test_")["test_top1"] == summary["test_top1"]
    for layer in supermask_layers(loaded.model):
        assert layer.mask.numpy().sum() == layer.num_kept


def test_saved_model_agrees_without_this_package(finished, small, tmp_path):
    workdir, summary = finished
    loaded = train.load_run(workdir)
    logits = loaded.model(loaded.normalise(small.test.images)).numpy()
    np.save(tmp_path / "images.npy", small.test.images)
    program = f"""
import sys
import numpy as np, tensorflow as tf
images = np.load({str(tmp_path / "images.npy")!r})
loaded = tf.saved_model.load({str(workdir / "saved_model")!r})
out = loaded.signatures["serving_default"](images=tf.constant(images))
unit = tf.constant(np.float32(images) / np.float32(255))
same = loaded.signatures["float_images"](images=unit)
np.savez({str(tmp_path / "out.npz")!r}, uint8=out["logits"], float=same["logits"],
         probabilities=out["probabilities"], names=loaded.class_names.numpy())
assert not [name for name in sys.modules if name.split(".")[0] == "tfsupermask"]
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    with np.load(tmp_path / "out.npz", allow_pickle=True) as out:
        np.testing.assert_allclose(out["uint8"], logits, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(out["uint8"], out["float"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(out["probabilities"].sum(axis=1), 1, rtol=1e-5)
        assert [name.decode() for name in out["names"]] == list(small.class_names)
        top1 = (out["uint8"].argmax(axis=1) == small.test.labels).mean()
    assert top1 == pytest.approx(summary["test_top1"], abs=1e-12)


@pytest.mark.parametrize(
    ("init", "stop_after_epoch"),
    [("glorot_normal", 0), ("simple_patches", 1), ("signed_constant", 1)],
)
def test_other_initialisations_run_through(tmp_path, capsys, init, stop_after_epoch):
    patches = {} if init == "simple_patches" else {"num_patches": None}
    summary = run(tmp_path, init=init, num_clusters=None, epochs=1,
        stop_after_epoch=stop_after_epoch, **patches)  # fmt: skip
    assert summary["epoch"] == stop_after_epoch
    assert (tmp_path / "init.json").exists() is (init == "simple_patches")
    assert (tmp_path / "pictures" / "first_layer.png").exists()
    said = capsys.readouterr().out
    assert f"after {stop_after_epoch} of 1 epochs, sparsity 0.5000\n" in said


def test_mixed_precision_keeps_scores_in_float32(tmp_path):
    advance(tmp_path, epochs=1, mixed_precision=True)
    model = train.load_run(tmp_path).model
    assert model.get_layer("conv2").compute_dtype == "bfloat16"
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert tf.keras.config.dtype_policy().name == "float32"


def test_jit_compile_agrees_up_to_rounding(finished, tmp_path):
    workdir, _ = finished
    first = (workdir / "metrics.csv").read_text().splitlines()[1].split(",")
    summary = run(tmp_path, epochs=3, stop_after_epoch=1, jit_compile=True)
    assert summary["train_loss"] == pytest.approx(float(first[1]), rel=1e-4)
    assert train.load_run(tmp_path).config.jit_compile


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed=0.*seed=1"),
        ({"prune": 0.7}, "prune=0.5.*prune=0.7"),
        ({"num_patches": 900}, "num_patches=1000.*num_patches=900"),
        ({"allocation": "global"}, "allocation='uniform'.*allocation='global'"),
        ({"ramp_epochs": 1}, "ramp_epochs=0.*ramp_epochs=1"),
        ({"limit_images": 300}, "limit_images=None.*limit_images=300"),
        ({"num_components": 64}, "num_components=None.*num_components=64"),
        ({"double_from": 2}, "double_from=None.*double_from=2"),
        ({"resume": False}, "very run"),
    ],
)
def test_a_folder_of_another_run_is_refused_untouched(finished, change, message):
    workdir, _ = finished
    before = {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=message):
        run(workdir, **change)
    assert before == {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()}


def test_other_images_are_another_run(finished, small):
    images = small.train.images.copy()
    images[0, 0, 0, 0] ^= 1
    other = dataclasses.replace(small, train=data.Split(images, small.train.labels))
    config = runs.Config(workdir=str(finished[0]), **common.PATTERNS)
    with (
        pytest.raises(InputError, match="a run with images of sha256="),
        train.Job.open(config, other),
    ):
        pytest.fail("let in")


def test_folders_that_cannot_be_used_are_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="new or empty folder"):
        run(tmp_path)
    with pytest.raises(InputError, match="can be written to"):
        run(tmp_path / "thesis.txt" / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ({"num_patches": 10, "num_clusters": 80}, "num_patches|patches"),
        ({"method": "fixed", "mask_from": "{there}/none"}, "mask_from"),
        ({"method": "fixed", "mask_from": "{there}/other"}, "same network"),
        (
            {"method": "fixed", "mask_from": "{there}/none", "weights_from": "init"},
            "mask_from",
        ),
    ],
)
def test_a_folder_with_a_refused_configuration_alone_is_free(
    tmp_path, refused, message
):
    small = {"init": "kaiming_normal", "width": 0.1, "stop_after_epoch": 0}
    if "other" in str(refused):
        common.advance(tmp_path / "other", **{**small, "width": 0.2})
    given = {"width": 0.1, **refused}
    given = {
        key: value.format(there=tmp_path) if key == "mask_from" else value
        for key, value in given.items()
    }
    with pytest.raises(InputError, match=message):
        common.run(tmp_path / "run", **given)
    assert not (tmp_path / "run" / "init_progress").exists()
    assert common.advance(tmp_path / "run", **small) == 0
    with pytest.raises(InputError, match=r"seed=0.*seed=1"):
        common.advance(tmp_path / "run", **small, seed=1)


def test_a_config_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "config.json").write_text('{"mine": 1}')
    with pytest.raises(InputError, match="must hold a config and data"):
        run(tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"mine": 1}'


def test_events_that_cannot_be_written_name_their_folder(tmp_path):
    small = {"init": "kaiming_normal", "width": 0.1, "stop_after_epoch": 0}
    common.advance(tmp_path, **small)
    shutil.rmtree(tmp_path / "events")
    (tmp_path / "events").touch()
    with pytest.raises(OSError, match="events'"):
        common.advance(tmp_path, **small)


def test_default_folder_is_named_after_the_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with train.Job.open(runs.Config(**common.PATTERNS)):
        pass
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("conv2-digits-prune0.5-patches-seed0-")


def test_divergence_keeps_the_last_checkpoint(tmp_path):
    with pytest.raises(InputError, match="must stay finite"):
        run(tmp_path, learning_rate=3e38, weight_decay=1e38)
    assert checkpoints.restore_latest(tmp_path / "checkpoints").epoch == 0


def test_evaluation_refuses_a_dataset_that_does_not_fit(finished, small):
    workdir, _ = finished
    train_images, test = (
        data.Split(split.images.repeat(2, 1).repeat(2, 2), split.labels)
        for split in (small.train, small.test)
    )
    larger = dataclasses.replace(small, train=train_images, test=test)
    for path in (workdir, workdir / "saved_model"):
        with pytest.raises(InputError, match=r"\(16, 16, 3\)"):
            train.evaluate_path(path, larger)
    names = small.class_names
    for others, differing in (
        ([*names[:9], "x"], r"\['9', 'x'\]"),
        ([*names, "x"], r"\['x'\]"),
        (names[::-1], "'their order'"),
    ):
        renamed = dataclasses.replace(small, class_names=others)
        message = f"classes must be the model's 10.*differing={differing}"
        with pytest.raises(InputError, match=message):
            train.evaluate_path(workdir, renamed)


@pytest.mark.parametrize(("blocks", "expected"), [(1, 2), (2, 4)])
def test_partial_patches_sets_the_first_blocks(tmp_path, blocks, expected):
    fields = {"model": "conv4", "num_clusters": 130, "stop_after_epoch": 0}
    advance(tmp_path, init="partial_patches", patch_blocks=blocks, **fields)
    layers = json.loads((tmp_path / "init.json").read_text())["layers"]
    names = [layer["layer"] for layer in layers]
    assert names == [f"conv{i + 1}" for i in range(expected)]
    baseline = models.build("conv4", (8, 8, 3), seed=0)
    for layer in supermask_layers(train.load_run(tmp_path).model):
        same = np.array_equal(layer.kernel, baseline.get_layer(layer.name).kernel)
        assert same is (layer.name not in names)


def test_more_blocks_than_the_model_has_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"the 1 blocks of conv2.*patch_blocks=2"):
        run(tmp_path, init="partial_patches", patch_blocks=2)


def test_interrupted_initialisation_goes_on_and_ends_the_same(
    finished, tmp_path, monkeypatch
):
    workdir, _ = finished
    cluster, calls = patches.cluster, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return cluster(*args)

    monkeypatch.setattr(patches, "cluster", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert (tmp_path / "init_progress" / "layer_001.npz").exists()
    summary = run(tmp_path)
    assert len(calls) == 3
    assert not (tmp_path / "init_progress").exists()
    layers = json.loads((tmp_path / "init.json").read_text())["layers"]
    assert summary["init_seconds"] > sum(sum(x["seconds"].values()) for x in layers)
    common.assert_same_result(workdir, tmp_path)


ALLOCATED = {"allocation": "global", "ramp_epochs": 2, "prune": 0.8}


@pytest.fixture(scope="module")
def allocated(tmp_path_factory, small):
    """A complete run with a ramp and one ranking over all layers."""
    workdir = tmp_path_factory.mktemp("runs") / "allocated"
    run(workdir, **ALLOCATED)
    return workdir


def test_metrics_show_the_ramp(allocated):
    with open(allocated / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    # Nothing is removed in the first epoch, before and after.
    assert float(rows[0]["mask_flips"]) == 0
    sparsity = [float(row["sparsity"]) for row in rows]
    model = train.load_run(allocated).model
    total = sum(weight.num_weights for weight in masked_weights(model))
    ramp = SparsityRamp(final=0.8, end_epoch=2)
    assert sparsity == [1 - num_kept(total, ramp(e)) / total for e in range(3)]


def test_a_ramp_and_one_ranking_on_two_replicas_and_resumed_on_one(allocated, tmp_path):
    advance(tmp_path, stop_after_epoch=2, strategy="mirrored", **ALLOCATED)
    advance(tmp_path, **ALLOCATED)
    common.assert_same_result(allocated, tmp_path)


def test_load_run_restores_the_last_epochs_counts(allocated, small):
    """They come from the scores at its beginning, so the final ones give others."""
    loaded = train.load_run(allocated)
    summary = json.loads((allocated / "summary.json").read_text())
    assert {
        layer.name: layer.realised_sparsity for layer in supermask_layers(loaded.model)
    } == summary["layer_sparsity"]
    for path in (allocated, allocated / "saved_model"):
        totals = train.evaluate_path(path, small)
        assert totals.means("test_")["test_top1"] == summary["test_top1"]
    weights = masked_weights(loaded.model)
    before = [weight.num_kept for weight in weights]
    assert len({round(weight.sparsity, 2) for weight in weights}) > 1
    set_sparsity(loaded.config, loaded.model, 2)
    assert [weight.num_kept for weight in weights] != before


def test_restoring_leaves_the_configured_sparsity():
    config = runs.Config(prune=0.3)
    model = build_model(config, (8, 8, 3), 10)
    optimizer = train.SGDWithL2(0.1, 0.9, 1e-4)
    optimizer.build(model.trainable_variables)
    restore(config, checkpoints.Checkpoint(0, values_of(model, optimizer), {}), model)
    assert {layer.sparsity for layer in supermask_layers(model)} == {0.3}


def test_a_run_from_before_allocation_can_be_loaded(finished, tmp_path):
    old = shutil.copytree(finished[0], tmp_path / "old")
    description = json.loads((old / "config.json").read_text())
    later = "limit_images", "num_components", "double_from"
    for name in ("allocation", "ramp_epochs", *later):
        del description["config"][name]
    (old / "config.json").write_text(json.dumps(description))
    saved = checkpoints.restore_latest(old / "checkpoints")
    values = {
        name: value
        for name, value in saved.values.items()
        if not name.startswith("num_kept/")
    }
    assert len(values) == len(saved.values) - 5
    checkpoints.save(old / "checkpoints", dataclasses.replace(saved, values=values))
    model, expected = train.load_run(old).model, train.load_run(finished[0]).model
    for mine, theirs in zip(
        masked_weights(model), masked_weights(expected), strict=True
    ):
        np.testing.assert_array_equal(mine.mask, theirs.mask)
    advance(old)
    rows = common.rows_without_time
    assert rows(finished[0]) == rows(old)
