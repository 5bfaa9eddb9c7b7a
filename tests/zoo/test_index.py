"""Names, the index, and paths into the zoo."""

from pathlib import Path

import pytest

from tests.zoo.common import make_entry
from tfsupermask import zoo
from tfsupermask._validation import InputError
from tfsupermask.zoo import index


def test_what_is_written_is_read(folder):
    assert zoo.names() == ("another", "small")
    first, second = zoo.entries()
    assert (first, second) == (zoo.entry("another"), zoo.entry("small"))
    assert second == make_entry(folder, "small")
    assert zoo.load("small").model.name == "conv2"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("zoo:small", "small.ticket"),
        ("runs/my_run", Path("runs/my_run")),
        (Path("zoo/small"), Path("zoo/small")),
        ("./zoo:small", Path("zoo:small")),
    ],
)
def test_paths_into_the_zoo(folder, path, expected):
    expected = folder / expected if isinstance(expected, str) else expected
    assert zoo.resolve(path) == expected


@pytest.mark.parametrize(
    "use", [zoo.entry, zoo.load, lambda name: zoo.resolve(f"zoo:{name}")]
)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smal", "such as small. Received: name='smal'"),
        ("anoter", "such as another. Received"),
        ("xyz", "such as another, small. Received"),
        ("", "such as another, small. Received: name=''"),
        ("../small", "a ticket of the zoo"),
    ],
)
def test_unknown_names_are_refused_with_close_ones(folder, use, name, message):
    with pytest.raises(InputError, match="must be a ticket of the zoo") as caught:
        use(name)
    assert message in str(caught.value)


@pytest.mark.parametrize("use", [zoo.load, lambda name: zoo.resolve(f"zoo:{name}")])
def test_another_file_is_refused(folder, use):
    use("small")
    ticket = folder / "small.ticket"
    ticket.write_bytes(ticket.read_bytes() + b" ")
    with pytest.raises(InputError, match="small must have the SHA-256 of the index"):
        use("small")
    use("another")


def test_the_index_keeps_what_it_holds_if_it_cannot_be_written(folder):
    before = (folder / "index.json").read_bytes()
    entry = make_entry(folder, "small", versions={"python": object()})
    with pytest.raises(TypeError):
        index.write_index([entry])
    assert (folder / "index.json").read_bytes() == before
