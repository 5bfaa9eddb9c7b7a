import os

import pytest

from tfsupermask._reading import check_names, parse_json, read_file, read_json
from tfsupermask._validation import InputError


def test_reads_up_to_the_limit(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(InputError, match=r"at most 4 bytes.*size=5"):
        read_file(path, 4)


def test_opens_regular_files_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(InputError, match="regular file"):
            read_file(path, 5)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "nothing", 5)


def test_a_file_that_says_it_is_empty_is_bounded_too():
    with pytest.raises(InputError, match="at most 5 bytes"):
        read_file("/proc/self/status", 5)


def test_reads_json(tmp_path):
    (tmp_path / "a.json").write_text('{"é": [1, null]}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"é": [1, None]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "'s' must be well-formed"),
        (b"\xff", "'s' must be well-formed"),
        (b"[" * 100_000, "'s' must be well-formed"),
        (b'{"a": ' + b"9" * 5000 + b"}", "'s' must be well-formed"),
        (b"[]", "must hold a JSON object.*'list'"),
        (b"3", "must hold a JSON object.*'int'"),
    ],
)
def test_refuses_other_json(text, message):
    with pytest.raises(InputError, match=message):
        parse_json(text, "s")


def test_names_of_all_languages_pass():
    names = ("", "cat", "été", "花", "a b", "x\N{ZERO WIDTH JOINER}y", "n" * 1024)
    assert check_names("names", names) == names


@pytest.mark.parametrize(
    "name", ["\x1b[2J", "a\nb", "\x7f", "\x9b", "\u2028", "\udcff", "n" * 1025, 3, None]
)
def test_refuses_names_that_command_terminals(name):
    with pytest.raises(InputError, match="`names` must be texts"):
        check_names("names", ["a", name])


@pytest.mark.parametrize("names", ["abc", 3, None, {"a": 1}])
def test_refuses_what_is_no_list(names):
    with pytest.raises(InputError, match="must be a list"):
        check_names("names", names)
