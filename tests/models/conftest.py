import pytest

from tfsupermask.models import resnet


@pytest.fixture
def narrow(monkeypatch):
    """Gives residual networks so few filters that their depth costs little time."""
    monkeypatch.setattr(resnet, "_FILTERS", (4, 8, 12, 16))
