import dataclasses

import pytest

from tfsupermask.experiments import EXPERIMENTS, Scope, find, plan
from tfsupermask.experiments.telling.statements import statements_of

TABLE = find("table", "8.3")


def background(fake, scope, experiment=TABLE):
    return statements_of(fake.collect(experiment, scope)).background


def test_numbers_by_cell_and_seed(fake, short):
    value = {(0.1, 0): 0.11, (0.1, 2): 0.12, (0.9, 1): 0.91}
    fake.finish(TABLE, short, lambda c: value.get((c.prune, c.seed)))
    results = fake.collect(TABLE, short)
    first = results.cells[0]
    assert (first.cell.row, first.cell.config.prune) == ("Xavier normal", 0.1)
    assert first.removed.values == pytest.approx({0: 11.0, 2: 12.0})
    assert first.kept.values == pytest.approx({1: 91.0})
    last = results.cells[4]
    assert last.removed.values == pytest.approx({1: 91.0})
    assert last.kept.values == pytest.approx({0: 11.0, 2: 12.0})
    assert results.cells[2].kept is None  # half removed is half kept
    assert results.cells[2].removed.n == 0


def test_what_is_not_done_is_said(fake, short):
    fake.finish(TABLE, short, lambda c: 0.5 if c.seed == 0 else None)
    failed = fake.fail(TABLE, short, 1, "Out of memory.")
    results = fake.collect(TABLE, short)
    assert (results.num_jobs, results.num_done) == (30, 10)
    assert results.failed == dict.fromkeys(failed, "Out of memory.")
    assert len(results.missing) == 10
    assert all("seed2" in name for name in results.missing)


@pytest.mark.parametrize(
    "more",
    [
        {"epoch": 1},  # of two
        {"test_top1": ...},
        {"test_top1": float("nan")},
    ],
)
def test_an_unfinished_run_or_one_without_the_number_is_missing(fake, short, more):
    fake.finish(TABLE, short, lambda c: 0.5, **more)
    results = fake.collect(TABLE, short)
    assert (results.num_done, results.cells[0].removed.n) == (0, 0)


def test_what_was_only_initialised_has_entropies_and_no_accuracy(fake, short):
    entropies, sizes = find("table", "5.4"), find("table", "5.3")
    fake.finish(entropies, short, lambda c: 0.5)
    results = fake.collect(entropies, short)
    assert results.num_done == results.num_jobs == 18
    assert results.cells[3].removed.values == dict.fromkeys(range(3), 5.3)
    results = fake.collect(sizes, short)
    assert (results.num_done, results.num_jobs) == (0, 18)
    by_column = {cell.cell.column: cell for cell in results.cells}
    assert by_column["minutes"].removed.values == {0: 1.5, 1: 1.5, 2: 1.5}
    assert by_column["minutes"].kept is None
    assert by_column["top-5 accuracy"].removed.n == 0


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.slug)
def test_panels_are_whole_and_runs_those_of_the_plan(experiment, fake):
    scope = Scope(seeds=2, epochs=3)
    results = fake.collect(experiment, scope)
    for panel in results.panels.values():
        rows, columns = ({place[axis] for place in panel} for axis in (0, 1))
        assert len(panel) == len(rows) * len(columns)
    assert sum(map(len, results.panels.values())) == len(experiment.cells)
    assert set(results.missing) == {job.name for job in plan([experiment], scope)}


@pytest.mark.parametrize(
    ("label", "column", "expected"),
    [
        (("table", "8.3"), 0, "10 % removed (90 % kept)"),
        (("table", "8.3"), 4, "90 % removed (10 % kept)"),
        (("table", "5.4"), 1, "layer 2"),
        (("figure", "8.1"), 2, "70 % removed (30 % kept)"),
    ],
)
def test_heads_say_both_readings(label, column, expected, fake):
    cell = fake.collect(find(*label), Scope()).cells[column]
    assert cell.head.replace("\N{NO-BREAK SPACE}", " ") == expected


def test_another_dataset_is_said(fake):
    scope = Scope(seeds=1, epochs=1, datasets=("digits",))
    results = fake.collect(TABLE, scope)
    assert results.title.endswith("(here on digits)")
    assert not any(cell.cell.published for cell in results.cells)
    assert "digits instead of CIFAR-10" in results.shortcomings
    assert "no published numbers apply" in " ".join(background(fake, scope))
    assert results.num_images == 1433


def test_fewer_images_than_published_are_said(fake, short):
    fake.finish(TABLE, short, lambda c: 0.5, train_images=12_000)
    words = "12,000 training images instead of CIFAR-10's 50,000"
    assert words in fake.collect(TABLE, short).shortcomings
    said = background(fake, short)
    assert "2 epochs of 12,000 images of CIFAR-10 each." in said
    assert f"Not the published dataset, or not the whole of it: {words}." in said


def test_images_held_out_are_not_missed(fake, short):
    study = find("study", "clusters")
    fake.finish(study, short, lambda c: 0.5, train_images=45_000)
    results = fake.collect(study, short)
    assert (results.num_images, results.fewer_images) == (45_000, "")


def test_machines_and_time(fake, short):
    fake.finish(TABLE, short, lambda c: 0.5 if c.seed == 0 else None)
    less = {"machine": ..., "train_seconds": ..., "versions": {"python": "3.12.0"}}
    fake.finish(TABLE, short, lambda c: 0.5 if c.seed == 1 else None, **less)
    made_by = {"commit": "0123456789" * 4 + "+", "precision": "mixed_bfloat16"}
    fake.finish(TABLE, short, lambda c: 0.5 if c.seed == 2 else None, **made_by)
    spent, *machines = background(fake, short)[:4]
    # 20 runs of 90 + 30 seconds, 10 of 90
    assert spent.replace("\N{NO-BREAK SPACE}", " ") == (
        "Runs: 30 of 30 done, 55 min 0 s in all."
    )
    assert machines == [
        "Machine of 10 runs: Abacus 9, 4 cores; commit 0123456789+, precision "
        "mixed_bfloat16, python 3.11.1, tensorflow 2.21.0.",
        "Machine of 10 runs: Abacus 9, 4 cores; python 3.11.1, tensorflow 2.21.0.",
        "Machine of 10 runs: machine not recorded; python 3.12.0.",
    ]


def test_size_restrictions_and_notes_are_said(fake):
    scope = Scope(seeds=1, epochs=1, limit_images=2000)
    noted = dataclasses.replace(TABLE, note="Mind the gap.")
    said = background(fake, scope, noted)
    assert "1 epoch of 2,000 images of CIFAR-10 each." in said
    restrictions = "1 epoch instead of 100; 2,000 training images only; 1 seed"
    assert f"Restrictions: {restrictions}." in said
    assert "Mind the gap." in said
    initialised = background(fake, scope, find("table", "5.4"))
    assert "Initialised only, from 2,000 images of CIFAR-100." in initialised


def test_sizes_that_a_study_varies_stay_and_are_not_said_to_be_restricted(fake):
    scope = Scope(seeds=1, epochs=2, limit_images=500)
    results = fake.collect(find("study", "few_images_parts"), scope)
    assert results.epochs == 40
    assert {results.images_of(cell.cell) for cell in results.cells} == {1000}
    assert results.shortcomings == ("1 seed", "14 of 14 runs not done")
