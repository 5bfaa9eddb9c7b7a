import contextlib
import signal
from signal import SIGINT, SIGTERM

import pytest

from tfsupermask.train.interruption import Interrupted, Interruption


@pytest.mark.parametrize(("number", "status"), [(SIGINT, 130), (SIGTERM, 143)])
def test_a_signal_raises_at_once_and_handlers_are_given_back(number, status):
    before = [signal.getsignal(each) for each in (SIGINT, SIGTERM)]
    with pytest.raises(Interrupted) as caught, Interruption():
        signal.raise_signal(number)
    assert caught.value.exit_status == status
    assert caught.value.signal == number
    assert [signal.getsignal(each) for each in (SIGINT, SIGTERM)] == before


def postponed(*signals, error=None):
    """Raises signals while they are postponed; returns what was pending."""
    pending = []
    with (
        contextlib.suppress(Interrupted),
        Interruption() as interruption,
        interruption.postponed(),
    ):
        for number in signals:
            signal.raise_signal(number)
            pending.append(interruption.pending)
        if error:
            raise error
    return pending


@pytest.mark.parametrize("signals", [(SIGTERM,), (SIGTERM, SIGINT)])
def test_a_postponed_signal_is_noted_and_a_second_not_postponed(signals):
    assert postponed(*signals) == [SIGTERM]


def test_a_postponed_signal_is_raised_at_the_end():
    interruption = Interruption()
    interruption.pending = SIGTERM
    with pytest.raises(Interrupted, match="SIGTERM"), interruption.postponed():
        pass


def test_an_error_hides_no_earlier_one():
    with pytest.raises(ZeroDivisionError):
        postponed(SIGTERM, error=ZeroDivisionError)


def test_it_listens_again_where_others_took_a_signal_for_themselves():
    with Interruption() as interruption:
        signal.signal(SIGTERM, signal.SIG_IGN)
        interruption.listen()
        with pytest.raises(Interrupted):
            signal.raise_signal(SIGTERM)
