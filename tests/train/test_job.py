"""A run step by step, by `train.Job`."""

import dataclasses
import json
import signal

import pytest

from tests.train.common import assert_same_result
from tfsupermask import data, runs, train
from tfsupermask._machine import num_cores
from tfsupermask._validation import InputError

FIELDS = {"init": "kaiming_normal", "batch_size": 32, "epochs": 2}


def config(workdir, **fields):
    return runs.Config(workdir=str(workdir), **{**FIELDS, **fields})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    return workdir, train.run(config(workdir))


@pytest.mark.parametrize("steps_per_call", [4, 20])
def test_interrupted_in_an_epoch_it_goes_on_in_the_same_object(
    whole, tmp_path, monkeypatch, steps_per_call
):
    monkeypatch.setattr("tfsupermask.train.loop.STEPS_PER_CALL", steps_per_call)
    with train.Job.open(config(tmp_path)) as job:
        job.train_epoch()
        train_steps = job.loop.train_steps

        def signalled(*args):
            job.loop.train_steps = train_steps
            signal.raise_signal(signal.SIGTERM)
            return train_steps(*args)

        job.loop.train_steps = signalled
        with pytest.raises(train.Interrupted):
            job.train_epoch()
        assert (job.saved.epoch, job.saved.step) == (1, min(steps_per_call, 10))
        assert job.train_epoch()["epoch"] == 2
        job.finish()
    assert_same_result(whole[0], tmp_path)


def test_interrupted_while_it_is_evaluated_it_goes_on_from_there(whole, tmp_path):
    with train.Job.open(config(tmp_path)) as job:
        evaluate = job.loop.evaluate

        def signalled(*args):
            job.loop.evaluate = evaluate
            signal.raise_signal(signal.SIGTERM)
            return evaluate(*args)

        job.loop.evaluate = signalled
        with pytest.raises(train.Interrupted):
            job.train()
        steps = job.batches.steps_per_epoch
        assert (job.saved.epoch, job.saved.step) == (0, steps)
    train.run(config(tmp_path))
    assert_same_result(whole[0], tmp_path)


def test_step_by_step_is_the_same_run(whole, tmp_path):
    with train.Job.open(config(tmp_path)) as job:
        rows = [job.train_epoch() for _ in range(2)]
        with pytest.raises(InputError, match=r"an epoch left.*epoch=2, epochs=2"):
            job.train_epoch()
        first, again = job.finish(), job.finish()
    assert first == again
    assert [row["epoch"] for row in rows] == [1, 2]
    assert first["test_top1"] == whole[1]["test_top1"]
    assert_same_result(whole[0], tmp_path)


def test_the_config_holds_out_of_given_images(small, tmp_path):
    fields = {"validation_images": 50, "limit_images": 64, "epochs": 1}
    with train.Job.open(config(tmp_path / "run", **fields), small) as job:
        assert (len(job.dataset.train), len(job.dataset.validation)) == (64, 50)


def test_images_of_ones_own_are_described_as_given(small, tmp_path):
    """Whether they come as arrays or as a dataset; unmirrored if the config says so."""
    splits = [(split.images, split.labels % 2) for split in (small.train, small.test)]
    for number, images in enumerate((tuple(splits), data.from_examples(*splits))):
        own = config(tmp_path / str(number), flip=False)
        with train.Job.open(dataclasses.replace(own, batch_size=None), images) as job:
            assert job.config.batch_size == 128  # of the recipe of given images
            assert (job.config.dataset, job.config.flip) == ("given", False)
            assert job.dataset.horizontal_flip is False


@pytest.mark.parametrize(
    ("name", "flip", "known"),
    [
        ("digits", False, True),
        ("digits", True, False),
        ("tfds:mine", True, True),
        ("tfds:mine", False, False),
        ("tfds:mnist", False, True),
    ],
)
def test_images_mirrored_otherwise_than_by_their_name_are_others(
    small, tmp_path, name, flip, known
):
    images = dataclasses.replace(small, name=name, horizontal_flip=flip)
    with train.Job.open(config(tmp_path, dataset=name), images) as job:
        assert job.config.dataset == (name if known else "given")


def test_given_images_may_have_validation_images(small, tmp_path):
    held = data.hold_out(small, 50)
    with train.Job.open(config(tmp_path / "own"), held) as job:
        assert job.dataset.validation is held.validation
        assert (job.config.validation_images, job.config.epoch_split) == (
            50,
            "validation",
        )
    fields = {"validation_images": 49}
    with (
        pytest.raises(InputError, match=r"of its own.*validation_images=49, found=50"),
        train.Job.open(config(tmp_path / "other", **fields), held),
    ):
        pass
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ("conv2", "must hold a config and data"),
        ({"pattern_fraction": 0.5}, r"not initialised yet.*pattern_fraction=0.5"),
    ],
)
def test_a_saved_config_that_cannot_be_gone_on_with(whole, tmp_path, saved, message):
    description = json.loads((whole[0] / "config.json").read_text())
    if isinstance(saved, dict):
        saved = {**description["config"], **saved}
    text = json.dumps({**description, "config": saved})
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "init_progress").mkdir()
    with pytest.raises(InputError, match=message):
        train.run(config(tmp_path))


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (num_cores(), False),
        (num_cores() + 1, True),
        (None, False),  # of a version that did not keep it
        ("many", False),
    ],
)
def test_a_run_that_goes_on_with_other_cores_says_so(
    small, tmp_path, capsys, monkeypatch, before, said
):
    fields = {"init": "kaiming_normal", "stop_after_epoch": 0, "epochs": 1}
    with monkeypatch.context() as patch:
        patch.setattr("tfsupermask.train.job.num_cores", lambda: before)
        with train.Job.open(config(tmp_path, **fields), small):
            pass
    capsys.readouterr()
    with train.Job.open(config(tmp_path, **fields), small) as job:
        assert job.saved.state["cores"] == before
    line = " ".join(capsys.readouterr().out.split())
    assert ("may end with other bits" in line) is said
    assert (f"before on {num_cores() + 1}" in line) is said
