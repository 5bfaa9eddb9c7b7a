import pytest
import requests


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
