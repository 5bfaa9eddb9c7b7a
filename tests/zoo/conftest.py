import pytest

from tests.zoo.common import make_entry
from tfsupermask.zoo import index


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A zoo of two tickets."""
    monkeypatch.setattr(index, "FOLDER", tmp_path)
    index.write_index([make_entry(tmp_path, name) for name in ("small", "another")])
    return tmp_path
