import contextlib
import signal

import pytest

from tfsupermask.train.interruption import Interrupted, Interruption


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_raises_at_once(number, status):
    with pytest.raises(Interrupted) as caught, Interruption():
        signal.raise_signal(number)
    assert caught.value.exit_status == status
    assert caught.value.signal == number


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


def test_a_postponed_signal_is_noted():
    assert postponed(signal.SIGTERM) == [signal.SIGTERM]


def test_a_postponed_signal_is_raised_at_the_end():
    interruption = Interruption()
    interruption.pending = signal.SIGTERM
    with pytest.raises(Interrupted, match="SIGTERM"), interruption.postponed():
        pass


def test_a_second_signal_is_not_postponed():
    assert postponed(signal.SIGTERM, signal.SIGINT) == [signal.SIGTERM]


def test_an_error_hides_no_earlier_one():
    with pytest.raises(ZeroDivisionError):
        postponed(signal.SIGTERM, error=ZeroDivisionError)


def test_handlers_are_given_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with contextlib.suppress(Interrupted), Interruption():
        signal.raise_signal(signal.SIGTERM)
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert after == before
