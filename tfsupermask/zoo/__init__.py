"""Trained tickets by name: results that anyone can load and check."""

from tfsupermask.zoo.index import Entry, entries, entry, load, names, resolve

__all__ = ["Entry", "entries", "entry", "load", "names", "resolve"]
