import pytest

from tfsupermask import data


@pytest.fixture(scope="session")
def small():
    """Real digits at 8×8 pixels: 320 to train on, 99 to test on."""
    full = data.load("digits")

    def shrink(split, count):
        images = split.images[:count, 2::4, 2::4].copy()
        return data.Split(images, split.labels[:count])

    return data.Dataset(
        "digits",
        shrink(full.train, 320),
        shrink(full.test, 99),
        full.class_names,
        horizontal_flip=False,
    )


@pytest.fixture
def small_digits(small, monkeypatch):
    """Makes `data.load` return the small digits."""
    monkeypatch.setattr(data, "load", lambda *args: small)
    return small
