import dataclasses
import itertools

import pytest

from tfsupermask._validation import InputError
from tfsupermask.experiments import EXPERIMENTS, Scope, find, plan, shard
from tfsupermask.experiments.running.planning import has_opposite


def names(jobs):
    return [job.name for job in jobs]


def test_no_run_is_counted_twice_and_the_first_seed_comes_first():
    jobs = plan(EXPERIMENTS, Scope())
    assert len(set(names(jobs))) == len(jobs)
    identities = {
        (job.config.stop_after_epoch, *job.config.identity().items()) for job in jobs
    }
    assert len(identities) == len(jobs)
    seeds = [job.config.seed % 1000 for job in jobs]
    assert [seed for seed, _ in itertools.groupby(seeds)] == [0, 1, 2]
    alone = set().union(*(names(plan([e], Scope())) for e in EXPERIMENTS))
    assert alone == set(names(jobs))


@pytest.mark.parametrize(
    ("label", "runs"),
    [
        ("table 8.3", 10),  # five rates, read either way: the same five
        ("table 8.9", 10),
        ("table 5.2", 15),  # 90 % is none of its rates, but 10 % kept is
        ("table 5.3", 6),
        ("table 8.10", 12),  # 30 % removed, and 30 % kept
        ("table 5.5", 7),
        ("figure 5.2", 30),
        ("figure 5.3", 2),
        ("figure 8.1", 4),
        ("figure 4.2", 0),
        ("study inits", 20),
        ("study choice", 13),
        ("study beyond", 24),
        ("study stochastic", 6),
        ("study depth", 8),
        ("study methods", 22),  # 10 methods at two rates, two dense networks
        ("study rounds", 34),  # the dense network twice, four rows of eight rounds
    ],
)
def test_number_of_runs_a_seed(label, runs):
    experiment = find(*label.split())
    assert len(plan([experiment], Scope(seeds=1))) == runs
    assert len(plan([experiment], Scope(seeds=3))) == 3 * runs


def test_chains_of_runs_name_those_that_they_need_and_stay_together():
    scope = Scope(seeds=2, epochs=3)
    jobs = plan([find("study", "rounds")], scope)
    seen = set()
    for job in jobs:
        needed = {flag: other.name for flag, other in job.needs}
        assert seen.issuperset(needed.values())
        assert job.config.mask_from == needed.get("mask_from")
        if job.config.weights_from != "init":
            assert job.config.weights_from == needed.get("weights_from")
        seen.add(job.name)
    late = [
        job for job in jobs if dict(job.needs).keys() == {"mask_from", "weights_from"}
    ]
    assert {job.needs[1][1].config.stop_after_epoch for job in late} == {1}
    assert all(job.needs[1][1].name.endswith("-epoch1") for job in late)
    shards = [shard(jobs, index, 3) for index in range(3)]
    assert sorted(map(len, shards)) == [0, 34, 34]
    assert {job.config.seed % 1000 for job in shards[0]} == {0}


def test_wide_networks_take_longer_by_the_square_of_their_width():
    job = plan([find("table", "8.1")], Scope(seeds=1))[0]
    fields = {"model": "conv8", "width": 2.0}
    wide = dataclasses.replace(job, config=dataclasses.replace(job.config, **fields))
    conv8 = dataclasses.replace(job.config, model="conv8")
    expected = 4 * dataclasses.replace(job, config=conv8).training_seconds(3)
    assert wide.training_seconds(3) == expected > 4 * job.training_seconds(3)


def runs_of(*tables):
    return names(plan([find("table", name) for name in tables], Scope(seeds=1)))


def test_tables_share_their_runs():
    for one, other in (
        ("8.8", "8.9"),
        ("5.3", "5.4"),
        ("8.4", "8.5"),
        ("8.10", "8.11"),
    ):
        assert set(runs_of(one)) == set(runs_of(other))
        assert runs_of(one, other) == runs_of(one)
    ablations = (set(runs_of(name)) for name in ("8.9", "5.3", "5.4", "5.5"))
    (common,) = set.intersection(*ablations)
    assert common.startswith("conv6-cifar100-prune0.5-patches-seed0-")


def test_names_are_stable():
    """A name that changes makes all that was run so far be run again."""
    assert names(plan([find("table", "8.1")], Scope(seeds=1, epochs=2)))[:2] == [
        "conv2-cifar10-prune0.1-glorot_normal-seed0-b6af4d65",
        "conv2-cifar10-prune0.3-glorot_normal-seed0-532b9e0a",
    ]
    job = plan([find("study", "deep")], Scope(seeds=1))[3]
    assert job.config.double_from == 10
    assert job.name == "resnet18-tiny_imagenet-prune0.3-patches-seed0-eae86c6f"


@pytest.mark.parametrize("order", [("5.3", "5.4"), ("5.4", "5.3")])
def test_what_one_table_only_initialises_another_trains(order):
    alone = plan([find("table", "5.4")], Scope(seeds=1))
    assert {job.epochs for job in alone} == {0}
    both = plan([find("table", name) for name in order], Scope(seeds=1))
    assert {job.epochs for job in both} == {100}
    assert {job.config.stop_after_epoch for job in both} == {None}
    assert set(names(both)) == set(names(alone))


def test_smaller_scope():
    scope = Scope(seeds=1, epochs=4, limit_images=500, datasets=("digits",))
    jobs = plan([find("table", "8.9")], scope)
    assert {job.config.epochs for job in jobs} == {job.epochs for job in jobs} == {4}
    assert {job.config.dataset for job in jobs} == {"digits"}
    patches = next(job.config for job in jobs if job.config.init == "patches")
    assert patches.num_patches == 20_000
    fewer = plan([find("table", "8.9")], dataclasses.replace(scope, limit_images=100))
    assert {job.config.num_patches for job in fewer} == {None, 5000}
    assert not set(names(fewer)) & set(names(jobs))


@pytest.mark.parametrize(
    ("name", "received"),
    [
        ("choice", "None, validation_images=5000"),
        ("few_images", "1000, validation_images=500"),
    ],
)
def test_refuses_to_plan_with_more_images_than_there_are(name, received):
    scope = Scope(datasets=("digits",))
    with pytest.raises(InputError, match=rf"1,433 of digits.*limit_images={received}"):
        plan([find("study", name)], scope)


def test_datasets_replace_only_those_that_they_do_not_name():
    scope = Scope(datasets=("cifar10", "digits"))
    table_10, table_100 = (scope.adapt(find("table", n)) for n in ("8.1", "8.4"))
    assert (table_10.dataset, table_100.dataset) == ("cifar10", "cifar10")
    assert all(cell.published for cell in table_10.cells)
    assert not any(cell.published for cell in table_100.cells)
    assert {cell.config.dataset for cell in table_100.cells} == {"cifar10"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ()),
        ({"epochs": 100}, ()),
        ({"seeds": 5}, ()),
        ({"epochs": 1, "seeds": 1}, ("1 epoch instead of 100", "1 seed")),
        (
            {"limit_images": 1000, "datasets": ("digits",)},
            ("1,000 training images only", "on digits only"),
        ),
    ],
)
def test_restrictions_are_said(fields, words):
    assert Scope(**fields).restrictions == words


def test_polarity_matters_where_trained_and_not_in_the_middle():
    middle, table = find("table", "5.3"), find("table", "8.10")
    assert not any(has_opposite(middle, cell) for cell in middle.cells)
    assert {cell.measure: has_opposite(table, cell) for cell in table.cells} == {
        "test_top5": True,
        "init_minutes": False,
    }
    own = dataclasses.replace(table, both_readings=False)
    assert not any(has_opposite(own, cell) for cell in own.cells)


def test_a_run_is_named_after_what_identifies_it():
    cell, scope = find("table", "8.2").cells[0], Scope()
    job = scope.job(cell, 0)
    assert job.name.startswith("conv4-cifar10-prune0.1-glorot_normal-seed0-")

    def renamed(**fields):
        config = dataclasses.replace(cell.config, **fields)
        return scope.job(dataclasses.replace(cell, config=config), 0).name != job.name

    assert not renamed(data_dir="/data", workdir="/run")
    assert not renamed(learning_rate=0.1)  # the recipe's
    assert renamed(learning_rate=0.2)
    assert scope.job(cell, 1).name != job.name


@pytest.mark.parametrize("count", [1, 3, 7, 100])
def test_shards_are_all_and_disjoint(count):
    jobs = plan([find("table", "8.3")], Scope())
    parts = [shard(jobs, index, count) for index in range(count)]
    assert sorted(itertools.chain(*map(names, parts))) == sorted(names(jobs))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: shard((), 2, 2), "`index` must be less than `count`."),
        (lambda: shard((), 0, 0), "`count`"),
        (lambda: shard((), -1, 2), "`index`"),
        (lambda: Scope(seeds=0), "`seeds`"),
        (lambda: Scope(epochs=0), "`epochs`"),
        (lambda: Scope(limit_images=0), "`limit_images`"),
        (lambda: Scope(datasets=("mnist",)), "`datasets`"),
        (lambda: find("table", "9.9"), "`table` must be one of 5.2, 5.3"),
    ],
)
def test_bad_values(call, words):
    with pytest.raises(InputError, match=words):
        call()
