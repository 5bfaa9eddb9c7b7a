"""Images for runs that take seconds."""

from tfsupermask import data
from tfsupermask.data import load  # some tests replace data.load


def small_digits(num_train, class_names=None, side=8):
    """Returns real digits of few pixels: as many to train on, and 99 to test on."""
    full, step = load("digits"), 32 // side

    def shrink(split, count):
        images = split.images[:count, step // 2 :: step, step // 2 :: step].copy()
        return data.Split(images, split.labels[:count])

    splits = shrink(full.train, num_train), shrink(full.test, 99)
    names = class_names or full.class_names
    return data.Dataset("digits", *splits, names, horizontal_flip=False)
