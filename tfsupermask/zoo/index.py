"""The index of the zoo, and its tickets."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfsupermask import tickets
from tfsupermask._files import write_json
from tfsupermask._reading import read_json
from tfsupermask._validation import fail, listed
from tfsupermask.runs import Config
from tfsupermask.runs.metrics import read_csv

FOLDER = Path(__file__).parent / "tickets"
_INDEX = "index.json"
_PREFIX = "zoo:"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A ticket of the zoo, and the run that made it.

    What the run reached and what made it have the names of its `summary.json`.

    Attributes:
        name: Its name in the zoo.
        config: The fields of `tfsupermask.runs.Config` that determine the result.
        command: The command that repeats the run; `--data_dir` and `--workdir` are
            left to the reader.
        images_sha256: SHA-256 of the images, as in the run's `config.json`.
        epoch: Number of epochs trained. The accuracies are those of the last one.
        train_top1: Fraction of the augmented training images, while it trained.
        test_top1: Fraction of the test images.
        test_top5: The same for the five most probable classes.
        init_seconds: Seconds of the initialisation.
        train_seconds: Seconds of the training, on a machine that may have had other
            work.
        commit: Commit of this package that made the run.
        precision: `"float32"`, or `"mixed_bfloat16"`: computes in bfloat16, with
            scores and weights in float32.
        machine: Its `"processor"` and number of `"cores"`.
        versions: Of Python and the packages, by name.
        sha256: SHA-256 of the ticket.
        bytes: Size of the ticket.

    Example:
        >>> found = entry("conv2_signed_constant_s0")
        >>> found.config["init"], found.test_top1
        ('signed_constant', 0.7542)
    """

    name: str
    config: dict[str, Any]
    command: str
    images_sha256: str
    epoch: int
    train_top1: float
    test_top1: float
    test_top5: float
    init_seconds: float
    train_seconds: float
    commit: str
    precision: str
    machine: dict[str, Any]
    versions: dict[str, str]
    sha256: str
    bytes: int

    @property
    def ticket(self) -> Path:
        """The ticket's file."""
        return FOLDER / f"{self.name}.ticket"

    @property
    def metrics(self) -> Path:
        """The CSV file with a line for each epoch."""
        return FOLDER / f"{self.name}.csv"

    @property
    def rows(self) -> list[dict[str, float]]:
        """The lines of `metrics`, from the first epoch to the last."""
        return read_csv(self.metrics, "test")

    def check_ticket(self) -> Path:
        """Returns the ticket's file, or raises InputError if it is another one."""
        found = hashlib.sha256(self.ticket.read_bytes()).hexdigest()
        if found != self.sha256:
            raise fail(
                f"The zoo's ticket {self.name} must have the SHA-256 of the index, "
                f"{self.sha256}.",
                sha256=found,
            )
        return self.ticket


def entries() -> tuple[Entry, ...]:
    """Returns all entries, in the order of their names.

    Example:
        >>> sum(entry.bytes for entry in entries() if "conv2" in entry.name) > 500_000
        True
    """
    index = read_json(FOLDER / _INDEX)
    for fields in index.values():
        # Those of an earlier version get the fields that are new since.
        fields["config"] = Config.from_saved(fields["config"]).identity()
    return tuple(Entry(name, **index[name]) for name in sorted(index))


def names() -> tuple[str, ...]:
    """Returns the names of all tickets: network, initialisation, seed.

    Example:
        >>> "conv2_signed_constant_s0" in names()
        True
    """
    return tuple(entry.name for entry in entries())


def entry(name: str) -> Entry:
    """Returns what is known of a ticket.

    Args:
        name: One of `names()`.

    Raises:
        InputError: There is no such name; the message has those that are close.

    Example:
        >>> entry("conv2_signed_constant_s0").precision
        'mixed_bfloat16'
    """
    index = {each.name: each for each in entries()}
    if name not in index:
        close = difflib.get_close_matches(str(name), index, cutoff=0.5)
        known = " or ".join(close) or listed(index)
        raise fail(f"`name` must be a ticket of the zoo, such as {known}.", name=name)
    return index[name]


def load(name: str) -> tickets.Ticket:
    """Loads a trained ticket.

    Args:
        name: One of `names()`.

    Returns:
        The model with its masks, class names, mean and std. It computes in the
        precision of its training.

    Raises:
        InputError: There is no such name, the file is not the one of the index, or
            this machine or version of TensorFlow draws other kernels from a seed.

    Example:
        >>> ticket = load("conv2_signed_constant_s0")
        >>> ticket.model.name, ticket.class_names[0], ticket.model.input_shape
        ('conv2', 'airplane', (None, 32, 32, 3))
    """
    return tickets.load_ticket(entry(name).check_ticket())


def resolve(path: str | os.PathLike) -> Path:
    """Returns the file that a path names: `zoo:NAME` is the ticket of that name.

    Args:
        path: `zoo:` and a name, or any other path, which stays as it is.

    Raises:
        InputError: There is no such name, or the file is not the one of the index.

    Example:
        >>> resolve("zoo:conv2_signed_constant_s0").name
        'conv2_signed_constant_s0.ticket'
        >>> resolve("runs/my_run")
        PosixPath('runs/my_run')
    """
    path = os.fspath(path)
    if path.startswith(_PREFIX):
        return entry(path.removeprefix(_PREFIX)).check_ticket()
    return Path(path)


def write_index(entries: Iterable[Entry]) -> None:
    """Writes the index of these entries; their files are written before."""
    index = {entry.name: dataclasses.asdict(entry) for entry in entries}
    for fields in index.values():
        del fields["name"]
    write_json(FOLDER / _INDEX, dict(sorted(index.items())))
