import pytest

from tests.init.common import tinted_digits


@pytest.fixture(scope="session")
def digits():
    return tinted_digits(200)


@pytest.fixture(scope="session")
def small():
    return tinted_digits(120, step=2)
