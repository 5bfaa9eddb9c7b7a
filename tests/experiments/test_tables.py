import csv
import dataclasses
import io

from tfsupermask.experiments import Scope, find
from tfsupermask.experiments.telling.statements import CAUTION, statements_of
from tfsupermask.experiments.telling.tables import csv_text, tables_of

TABLE = find("table", "8.4")  # published with deviations
RANDOM, PATCHES = "glorot_normal", "patches"


def accuracy(values):
    """Function from a run to what it reached, of percentages by rate and init."""

    def read(config):
        found = values.get((config.prune, config.init), {})
        return found[config.seed] / 100 if config.seed in found else None

    return read


def better_patches(config):
    return 0.5 + 0.1 * (config.init == PATCHES)


def rows_of(fake, scope, experiment=TABLE):
    (table,) = tables_of(fake.collect(experiment, scope))
    return table.rows


def said_of(fake, scope, experiment=TABLE):
    return statements_of(fake.collect(experiment, scope))


def plain(texts):
    return [text.replace("\N{NO-BREAK SPACE}", " ") for text in texts]


def places(texts):
    return [text.partition(":")[0] for text in plain(texts)]


def test_lines_of_a_row(fake, short):
    values = {
        (0.1, RANDOM): {0: 15.0, 1: 16.0, 2: 17.0},  # thesis: 15.3 ± 0.7
        (0.3, RANDOM): {0: 30.0, 2: 31.0},  # 25.5 ± 0.5
        (0.5, RANDOM): {1: 20.0},  # 28.3 ± 0.5
        (0.9, RANDOM): {0: 4.0, 1: 4.0, 2: 4.0},  # 6.3 ± 0.6
    }
    fake.finish(TABLE, short, accuracy(values))
    lines = rows_of(fake, short)["Xavier normal"]
    assert {name: " | ".join(texts) for name, texts in lines.items()} == {
        "thesis": "15.3 ± 0.7 | 25.5 ± 0.5 | 28.3 ± 0.5 | 23.8 ± 0.4 | 6.3 ± 0.6",
        "ours": "16.0 ± 1.0 | 30.5 ± 0.7 (2 seeds) | 20.0 (1 seed) | – | 4.0 ± 0.0",
        "difference": "+0.7 | +5.0 † | −8.3 | – | −2.3 †",
        "ours, rate read as kept": (
            "4.0 ± 0.0 | – | – | 30.5 ± 0.7 (2 seeds) | 16.0 ± 1.0"
        ),
        "difference, rate read as kept": "−11.3 † | – | – | +6.7 † | +9.7 †",
    }


def test_a_row_that_is_not_published_has_only_ours(fake, short):
    rows = rows_of(fake, short, find("study", "inits"))
    assert list(rows["SimpleInit"]) == ["ours", "ours, rate read as kept"]
    assert next(iter(rows["Xavier normal"])) == "thesis"


def test_entropies_have_two_digits_one_reading_and_no_comparison(fake, short):
    table = find("table", "5.4")
    fake.finish(table, short, lambda c: 0.5)
    rows, said = rows_of(fake, short, table), said_of(fake, short, table)
    assert set(map(tuple, rows.values())) == {("thesis", "ours", "difference")}
    assert rows["C = 500"]["ours"][1] == "5.10 ± 0.00"
    assert rows["C = 500"]["difference"][1] == "−0.75 †"
    assert said.overall == said.by_column == ()
    assert CAUTION not in said.all


def test_of_one_seed_neither_number_nor_interval_is_said(fake):
    scope = Scope(seeds=1, epochs=2)
    fake.finish(TABLE, scope, lambda c: 0.25)
    said = said_of(fake, scope)
    assert rows_of(fake, scope)["Xavier normal"]["ours"][0] == "25.0"
    assert said.overall
    assert said.caution == ""
    assert CAUTION not in said.all


def test_the_nearer_reading_is_named(fake, short):
    # Thesis: 15.3 removed or kept 10 %, 6.3 at 90 %.
    fake.finish(TABLE, short, accuracy({(0.1, RANDOM): {0: 6.3}}))
    assert said_of(fake, short).reading == ""
    fake.finish(TABLE, short, accuracy({(0.9, RANDOM): {0: 14.3}}))
    text = said_of(fake, short).reading
    assert "removed, the mean absolute difference to the thesis is 8.5 points" in text
    assert "kept, 0.5 points (2 cells that both readings have)" in text
    assert text.endswith(
        "Read as the fraction kept they fit better (ours after 2 epochs, the thesis's "
        "after 100)."
    )


def test_rows_are_compared_with_the_first(fake, short):
    values = {
        (0.1, RANDOM): {0: 10.0, 1: 11.0, 2: 12.0},
        (0.1, PATCHES): {0: 30.0, 1: 31.2, 2: 31.9},  # 20 better
        (0.3, RANDOM): {0: 10.0, 1: 11.0},
        (0.3, PATCHES): {0: 8.0, 1: 10.0, 2: 99.0},  # 1 or 2 worse, which may be chance
        (0.5, RANDOM): {0: 10.0, 1: 10.0, 2: 10.0},
        (0.5, PATCHES): {0: 9.0, 1: 10.0, 2: 12.0},  # either
        (0.7, RANDOM): {1: 10.0},
        (0.7, PATCHES): {1: 9.0},
        (0.9, RANDOM): {0: 40.0, 1: 41.0, 2: 42.0},
        (0.9, PATCHES): {0: 4.0, 1: 4.8, 2: 6.1},  # 36 worse
    }
    fake.finish(TABLE, short, accuracy(values))
    said = said_of(fake, short)
    assert plain(said.by_column) == [
        "10 % removed (90 % kept): PatchesInit beats Xavier normal by 20.0 "
        "points (99 % interval 19.2 to 20.9; 3 pairs of the same seed).",
        "30 % removed (70 % kept): no difference shown between PatchesInit and "
        "Xavier normal: −1.5 points, less in all 2 seeds "
        "(99 % interval −33.3 to +30.3; 2 pairs of the same seed).",
        "50 % removed (50 % kept): no difference shown between PatchesInit and "
        "Xavier normal: +0.3 points (99 % interval −8.4 to +9.1; 3 pairs of the same "
        "seed).",
        "70 % removed (30 % kept): PatchesInit is 1.0 points below Xavier normal "
        "(one seed: no interval; 1 pair of the same seed).",
        "90 % removed (10 % kept): PatchesInit falls short of Xavier normal by 36.0 "
        "points (99 % interval 35.2 to 36.9; 3 pairs of the same seed).",
    ]
    (overall,) = said.overall
    assert overall.startswith("all columns: ")
    assert overall.endswith("; 3 pairs of the same seed, each over 3 of 5 columns).")
    assert CAUTION in said.all


def test_a_small_difference_is_seen_not_to_be_zero(fake, short):
    values = {(0.1, RANDOM): {0: 10.0, 1: 11.0, 2: 12.0}}
    values[0.1, PATCHES] = {0: 10.08, 1: 11.09, 2: 12.10}
    fake.finish(TABLE, short, accuracy(values))
    (said,) = plain(said_of(fake, short).by_column)
    assert said == (
        "10 % removed (90 % kept): PatchesInit beats Xavier normal by 0.09 points "
        "(99 % interval 0.03 to 0.15; 3 pairs of the same seed)."
    )


def test_seeds_without_spread_have_no_interval(fake, short):
    values = {(0.1, RANDOM): {0: 10.0, 1: 20.0}, (0.1, PATCHES): {0: 13.0, 1: 23.0}}
    values |= {(0.3, name): {0: 9.0, 1: 8.0} for name in (RANDOM, PATCHES)}
    fake.finish(TABLE, short, accuracy(values))
    said = said_of(fake, short)
    assert plain(said.by_column) == [
        "10 % removed (90 % kept): PatchesInit is 3.0 points above Xavier normal in "
        "all 2 seeds (no spread between the seeds: no interval; 2 pairs of the same "
        "seed).",
        "30 % removed (70 % kept): no difference shown between PatchesInit and "
        "Xavier normal: +0.0 points (no spread between the seeds: no interval; 2 pairs "
        "of the same seed).",
    ]
    (overall,) = said.overall
    assert overall.startswith(
        "all columns: PatchesInit is 1.5 points above Xavier normal"
    )
    assert said.caution == ""


def test_fewer_minutes_are_better(fake, short):
    experiment = find("table", "5.3")
    for init, seed, seconds in (
        ("simple_patches", 0, 60.0),
        ("simple_patches", 1, 60.0),
        (PATCHES, 0, 600.0),
        (PATCHES, 1, 600.6),
    ):
        only = accuracy({(0.5, init): {seed: 50.0}})
        fake.finish(experiment, short, only, init_seconds=seconds)
    simple, large = "P = 10,000, C = SimpleInit", "P = 50,000, C = 500"
    minutes = next(
        t for t in said_of(fake, short, experiment).overall if "minutes" in t
    )
    assert minutes == (
        f"minutes: {large} is worse than {simple}: "
        "9.0 minutes more (99 % interval 8.7 to 9.3; 2 pairs of the same seed)."
    )
    rows = [[c for c in experiment.cells if c.row == row] for row in (large, simple)]
    turned = dataclasses.replace(experiment, cells=(*rows[0], *rows[1]))
    _, minutes = said_of(fake, short, turned).overall
    assert f"{simple} is better than {large}: 9.0 minutes less" in minutes


def test_panels_have_a_table_each_and_are_named(fake, short):
    experiment = find("figure", "5.2")
    fake.finish(experiment, short, better_patches)
    panels = [f"Conv{n}" for n in (2, 4, 6)]
    assert [t.title for t in tables_of(fake.collect(experiment, short))] == panels
    said = said_of(fake, short, experiment)
    assert places(said.overall) == [f"{panel}, all columns" for panel in panels]
    assert places(said.by_column)[5] == "Conv4, 10 % removed (90 % kept)"
    # A single column is not said twice.
    experiment = find("figure", "8.1")
    fake.finish(experiment, short, better_patches)
    said = said_of(fake, short, experiment)
    expected = ["30 % removed (70 % kept)", "70 % removed (30 % kept)"]
    assert places(said.overall) == expected
    assert said.by_column == ()


def test_what_is_missing_and_failed_is_said(fake, short):
    (name, *_) = fake.fail(TABLE, short, 1, "Out of memory.")
    said = said_of(fake, short).all
    assert f"Failed: {name}: Out of memory." in said
    assert sum(text.startswith("Missing: ") for text in said) == 20


def records(fake, scope, experiment=TABLE):
    text = csv_text(fake.collect(experiment, scope))
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_line_for_each_number(fake):
    scope = Scope(seeds=2, epochs=2, limit_images=1000)
    values = {(0.1, RANDOM): {0: 14.0, 1: 15.0}, (0.9, RANDOM): {1: 40.25}}
    fake.finish(TABLE, scope, accuracy(values))
    first, second, *others = records(fake, scope)
    assert first == {
        "experiment": "table_8.4",
        "panel": "",
        "row": "Xavier normal",
        "column": "10 %",
        "measure": "test_top1",
        "reading": "removed",
        "prune": "0.1",
        "published_by": "thesis",
        "published_mean": "15.3",
        "published_sd": "0.7",
        "mean": "14.5",
        "sd": "0.707107",
        "seeds": "2",
        "difference": "-0.8",
        "exceeds_both_spreads": "yes",
        "values": "0:14 1:15",
        "epochs": "2",
        "training_images": "1000",
        "dataset": "cifar100",
        "statement": "",
    }
    assert second == first | {
        "reading": "kept",
        "prune": "0.9",
        "mean": "40.25",
        "sd": "",
        "seeds": "1",
        "difference": "24.95",
        "exceeds_both_spreads": "",
        "values": "1:40.25",
    }
    numbers = [each for each in others if not each["statement"]]
    assert len(numbers) + 2 == 2 * 4 * 2 + 2  # half removed is half kept


def test_csv_says_what_it_is(fake):
    scope = Scope(seeds=1, epochs=2)
    fake.fail(TABLE, scope, 0, 'A "reason", with\nlines')
    texts = [each["statement"] for each in records(fake, scope) if each["statement"]]
    assert texts == plain(said_of(fake, scope).all)
    assert any(text.endswith('A "reason", with\nlines') for text in texts)
    numbers = [each for each in records(fake, scope) if not each["statement"]]
    assert {each["seeds"] for each in numbers} == {"0"}
    for name in ("mean", "difference", "values"):
        assert {each[name] for each in numbers} == {""}
