import pytest
import requests

from tfsupermask.data import stored


@pytest.fixture
def no_network(monkeypatch):
    def head(url, **kwargs):
        raise requests.ConnectionError(f"no network for {url}")

    monkeypatch.setattr(requests, "head", head)


@pytest.fixture
def reachable(monkeypatch):
    """Every address answers; what it delivers is up to the test."""
    response = requests.Response()
    response.status_code = 200
    monkeypatch.setattr(requests, "head", lambda url, **kwargs: response)


@pytest.fixture
def reads(monkeypatch):
    """Lists how many images are read from files, time after time."""
    numbers, read = [], stored._File.read

    def counted(file, rows):
        numbers.append(len(rows))
        return read(file, rows)

    monkeypatch.setattr(stored._File, "read", counted)
    return numbers
