"""Images for runs that take seconds."""

from tfsupermask import data


def small_digits(num_train, class_names=None):
    """Returns real digits at 8×8 pixels: as many to train on, and 99 to test on."""
    full = data.load("digits")

    def shrink(split, count):
        images = split.images[:count, 2::4, 2::4].copy()
        return data.Split(images, split.labels[:count])

    splits = shrink(full.train, num_train), shrink(full.test, 99)
    names = class_names or full.class_names
    return data.Dataset("digits", *splits, names, horizontal_flip=False)
