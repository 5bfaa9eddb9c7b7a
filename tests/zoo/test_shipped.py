"""The tickets that come with the package are whole, and are what the index says."""

import hashlib
import json
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

import tfsupermask
from tfsupermask import zoo
from tfsupermask.layers import masked_weights
from tfsupermask.runs import Config, resolve
from tfsupermask.tickets import read_ticket_header
from tfsupermask.zoo import index

ENTRIES = zoo.entries()
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def test_every_file_belongs_to_an_entry_and_is_packed():
    names = {name + end for name in zoo.names() for end in (".ticket", ".csv")}
    assert {path.name for path in index.FOLDER.iterdir()} == {"index.json", *names}
    root = Path(tfsupermask.__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["tfsupermask.zoo"]
    packed = {path for glob in patterns for path in index.FOLDER.parent.glob(glob)}
    assert packed == set(index.FOLDER.iterdir())


def test_no_two_entries_are_the_same_run():
    identities = {json.dumps(entry.config, sort_keys=True) for entry in ENTRIES}
    assert len(identities) == len(ENTRIES)


@each
def test_the_ticket_is_that_of_the_index_and_says_what_it_is(entry):
    content = entry.ticket.read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry.sha256
    assert len(content) == entry.bytes
    header = read_ticket_header(entry.ticket)
    assert Config.from_saved(header["recipe"]).identity() == entry.config
    # A bit a weight, and little more: patterns are all that is stored.
    assert {part["kind"] for part in header["parts"]} <= {
        "architecture",
        "mask",
        "drawn",
        "kept",
    }
    with_patterns = "patches" in entry.config["init"]
    kept = [part["name"] for part in header["parts"] if part["kind"] == "kept"]
    assert bool(kept) == with_patterns
    assert all(name.startswith("conv") for name in kept)


@each
def test_the_ticket_loads(entry):
    ticket = zoo.load(entry.name)
    assert ticket.model.name == entry.config["model"]
    assert len(ticket.class_names) == ticket.model.output_shape[-1]
    assert len(ticket.mean) == len(ticket.std) == ticket.model.input_shape[-1]
    weights = masked_weights(ticket.model)
    counted = [np.count_nonzero(weight.mask) for weight in weights]
    assert counted == [weight.num_kept for weight in weights]
    share = 1 - sum(counted) / sum(weight.num_weights for weight in weights)
    assert share == pytest.approx(entry.config["prune"], abs=1e-3)
    assert ticket.model.layers[1].dtype_policy.name == entry.precision


@each
def test_the_numbers_are_those_of_the_metrics(entry):
    rows = entry.rows
    assert [row["epoch"] for row in rows] == list(range(1, entry.epoch + 1))
    assert entry.epoch == entry.config["epochs"]
    for name in ("train_top1", "test_top1", "test_top5"):
        assert rows[-1][name] == getattr(entry, name)
    assert sum(row["seconds"] for row in rows) == pytest.approx(entry.train_seconds)


def value_of(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


@each
def test_the_command_repeats_the_run(entry):
    *program, first, second = shlex.split(entry.command)[:5]
    assert program == ["python", "-m", "binaries.train"]
    flags = [first, second, *shlex.split(entry.command)[5:]]
    pairs = [flag.removeprefix("--").partition("=") for flag in flags]
    fields = {name: value_of(text) if text else True for name, _, text in pairs}
    config = resolve(Config(**fields), 50_000)
    assert config.identity() == entry.config
    assert Config.from_saved(entry.config).precision == entry.precision


@each
def test_what_made_it_is_known(entry):
    assert len(entry.commit) == 40
    assert len(entry.images_sha256) == 64
    assert entry.machine["cores"] >= 1
    assert {"python", "tensorflow", "keras"} <= entry.versions.keys()
