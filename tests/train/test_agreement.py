import pytest

from tfsupermask._validation import InputError
from tfsupermask.train.agreement import agree, agree_to_stop
from tfsupermask.train.workers import Workers


class Said(Workers):
    """Three workers that say what is given."""

    def __init__(self, *values):
        self.values = values

    def gather(self, value, limited=True):
        return list(self.values)


def test_one_process_agrees_with_itself():
    agree(Workers(), {"prune": 0.5})
    assert agree_to_stop(Workers(), 0) == 0
    assert agree_to_stop(Workers(), 15) == 15


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1, "b": 3}], "0=2, worker_2=3"),
        ([{"a": 1}, {"a": 1, "b": 2}], "0=None, worker_1=2"),
    ],
)
def test_what_differs_or_one_lacks_is_named_with_both_values(said, message):
    with pytest.raises(InputError, match=rf"`b` differs.*worker_{message}"):
        agree(Said(*said), {})


def test_all_stop_when_one_is_asked_to():
    assert agree_to_stop(Said(0, 15, 0), 0) == 15
    assert agree_to_stop(Said(0, 0, 0), 0) == 0
