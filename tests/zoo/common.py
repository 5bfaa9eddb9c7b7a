"""A zoo of tickets that nobody has trained."""

import functools
import hashlib
import tempfile
from pathlib import Path

from tfsupermask import models
from tfsupermask.runs import Config
from tfsupermask.tickets import save_ticket
from tfsupermask.zoo import Entry

CONFIG = Config(model="conv2", dataset="digits", seed=0).identity()


@functools.cache
def content():
    """The bytes of a ticket that nobody has trained."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.ticket")
        return save_ticket(models.build("conv2", (8, 8, 3)), path).read_bytes()


def make_entry(folder, name, **fields):
    """Stores a ticket that nobody has trained; returns its entry."""
    (folder / f"{name}.ticket").write_bytes(content())
    known = {
        "config": CONFIG,
        "command": "python -m binaries.train",
        "images_sha256": "0" * 64,
        "epoch": 1,
        "train_top1": 0.25,
        "test_top1": 0.5,
        "test_top5": 0.75,
        "init_seconds": 1.0,
        "train_seconds": 2.0,
        "commit": "1" * 40,
        "precision": "float32",
        "machine": {"processor": "Abacus 9", "cores": 4},
        "versions": {"python": "3.11.1"},
        "sha256": hashlib.sha256(content()).hexdigest(),
        "bytes": len(content()),
    }
    return Entry(name, **{**known, **fields})
