"""Images for runs that take seconds."""

from __future__ import annotations

from tfsupermask import data


def small_digits() -> data.Dataset:
    """Returns real digits at 8×8 pixels: 30 steps of 10 images an epoch."""
    full = data.load("digits")

    def shrink(split, count):
        images = split.images[:count, 2::4, 2::4].copy()
        return data.Split(images, split.labels[:count])

    splits = shrink(full.train, 300), shrink(full.test, 99)
    return data.Dataset("digits", *splits, full.class_names, horizontal_flip=False)
