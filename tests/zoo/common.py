"""A zoo of tickets that nobody has trained."""

import hashlib

from tfsupermask import models
from tfsupermask.runs import Config
from tfsupermask.tickets import save_ticket
from tfsupermask.zoo import Entry

CONFIG = Config(model="conv2", dataset="digits", seed=0).identity()


def make_entry(folder, name, **fields):
    """Stores a ticket that nobody has trained; returns its entry."""
    ticket = save_ticket(models.build("conv2", (8, 8, 3)), folder / f"{name}.ticket")
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
        "sha256": hashlib.sha256(ticket.read_bytes()).hexdigest(),
        "bytes": ticket.stat().st_size,
    }
    return Entry(name, **{**known, **fields})
