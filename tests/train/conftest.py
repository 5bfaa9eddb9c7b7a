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


@pytest.fixture(scope="package", autouse=True)
def every_run_loads_them(small):
    """Makes `data.load` return the small digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda *args: small)
        yield
