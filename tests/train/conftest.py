import pytest

from tests.small import small_digits
from tfsupermask import data


@pytest.fixture(scope="session")
def small():
    return small_digits(320)


@pytest.fixture(scope="module", autouse=True)
def every_run_loads_them(small):
    """Makes `data.load` return the small digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda *args, **options: small)
        yield
