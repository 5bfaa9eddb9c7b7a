"""Workers that meet by sockets; each is a thread here."""

import contextlib
import math
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.workers import free_addresses
from tfsupermask import runs, train
from tfsupermask._validation import InputError
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.train import job as job_module
from tfsupermask.train import lines
from tfsupermask.train.interruption import Interrupted, Interruption
from tfsupermask.train.tf_config import Worker
from tfsupermask.train.workers import Workers


def addressed(number):
    return [Worker("worker", i, a) for i, a in enumerate(free_addresses(number))]


def each(number, body, wait_seconds=20):
    """Calls `body(workers, position)` in a thread for each; returns what they do."""
    everyone = addressed(number)

    def work(position):
        with Workers(everyone, position, wait_seconds) as workers:
            workers.join()
            return body(workers, position)

    with ThreadPoolExecutor(number) as pool:
        return [pool.submit(work, position) for position in range(number)]


def test_alone_it_waits_for_nobody():
    with Workers() as workers:
        workers.join()
        assert (workers.chief, workers.number) == (True, 1)
        assert workers.gather({"a": 1}) == [{"a": 1}]


@pytest.mark.parametrize("late", [0, 1, 2])
def test_all_hear_what_all_say_in_order_whoever_is_late(late):
    def body(workers, position):
        said = []
        for turn in range(3):
            if position == late:
                time.sleep(0.3)
            said.append(workers.gather([position, turn, "größer"]))
        return said, workers.chief

    for position, done in enumerate(each(3, body)):
        said, chief = done.result()
        assert said == [[[p, t, "größer"] for p in range(3)] for t in range(3)]
        assert chief == (position == 0)


class Said(Workers):
    """Three workers that say what is given."""

    def __init__(self, *values):
        self.values = values

    def gather(self, value, limited=True):
        return list(self.values)


def test_one_process_agrees_with_itself():
    Workers().agree({"prune": 0.5})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1, "b": 3}], "0=2, worker_2=3"),
        ([{"a": 1}, {"a": 1, "b": 2}], "0=None, worker_1=2"),
    ],
)
def test_what_differs_or_one_lacks_is_named_with_both_values(said, message):
    with pytest.raises(InputError, match=rf"`b` differs.*worker_{message}"):
        Said(*said).agree({})


@pytest.mark.parametrize("dead", [0, 1, 2])
@pytest.mark.parametrize("said", [False, True])
def test_the_end_of_one_is_the_end_of_all_with_its_name(dead, said):
    class Killed(BaseException):
        pass

    def body(workers, position):
        if position == dead:
            if said:
                raise InputError("No space is left.")
            for line in workers._lines.values():
                line.close()
            raise Killed
        if position == 2:
            workers.gather(position)
        time.sleep(0.2)
        workers.gather(position)

    reason = r" \(No space is left\.\)" if said else ""
    for position, done in enumerate(each(3, body)):
        error = done.exception()
        if position != dead:
            with pytest.raises(
                ConnectionError, match=f"^worker {dead} .*ended{reason};"
            ):
                raise error


def test_who_keeps_others_waiting_is_named_to_all(monkeypatch, capsys):
    monkeypatch.setattr(lines, "TELL_SECONDS", 0.3)

    def body(workers, position):
        if position == 2:
            time.sleep(1.5)
        else:
            workers.gather(position)

    chief, other, _ = (done.exception() for done in each(3, body, wait_seconds=1))
    for error in chief, other:
        with pytest.raises(
            ConnectionError, match=r"gave up after 1 s.*for worker 2 \("
        ):
            raise error
    said = capsys.readouterr().err
    for waiting in "worker 0", "worker 1":
        assert f"{waiting} (" in said
    assert said.count("waits for worker 2 (") == 2
    assert "at most 1 s" in said


def test_the_wait_for_the_first_to_initialise_has_no_limit():
    def body(workers, position):
        if position == 0:
            time.sleep(1)
        return workers.gather(position, limited=False)

    assert [done.result() for done in each(2, body, 0.5)] == [[0, 1]] * 2


@pytest.mark.parametrize("position", [0, 1])
def test_who_never_comes_is_waited_for_within_the_limit(position, monkeypatch, capsys):
    monkeypatch.setattr(lines, "TELL_SECONDS", 0.1)
    everyone = addressed(2)
    start = time.monotonic()
    with (
        pytest.raises(
            ConnectionError, match=r"gave up after 1 s.*worker_?.*--wait_sec"
        ),
        Workers(everyone, position, 1) as workers,
    ):
        workers.join()
    assert 1 <= time.monotonic() - start < 3
    waits = f"{everyone[position]} waits for {everyone[1 - position]} since "
    assert waits in capsys.readouterr().err


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_at_once(position, number):
    timer = threading.Timer(0.5, os.kill, (os.getpid(), number))
    start = time.monotonic()
    timer.start()
    with (
        pytest.raises(Interrupted),
        Interruption(),
        Workers(addressed(2), position) as workers,
    ):
        workers.join()
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("host", "bound"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
        ("[::1]", "::1"),
        ("10.0.0.7", ""),
        ("node0", ""),
    ],
)
def test_a_local_address_is_for_this_machine_alone(host, bound, monkeypatch):
    calls = []
    monkeypatch.setattr(socket, "create_server", lambda at, **kwargs: calls.append(at))
    lines.listen(Worker("worker", 0, f"{host}:2301"))
    assert calls == [(bound, 2301)]


def test_an_address_in_use_is_named():
    everyone = addressed(2)
    sentence = r"worker 1 .* port \d+ \(.*in use\).*twice"
    with (
        lines.listen(everyone[1]),
        pytest.raises(InputError, match=sentence),
        Workers(everyone, 1) as workers,
    ):
        workers.join()


@pytest.mark.parametrize(
    ("hello", "sentence"),
    [
        ({"position": 1}, "worker 1 .*must be started once"),
        ({"position": 1, "cluster": ["worker 0 (a:1)"]}, "same `cluster`.*a:1"),
        ({"position": 7}, None),
        ({}, None),
        ({"position": 1, "cluster": None}, "same `cluster`"),
        (b"GET / HTTP/1.1\r\n\r\n", None),
        (b"\xff\n", None),
        (b"[]\n", None),
        (b"", None),
    ],
)
def test_strangers_and_doubles_are_turned_away_and_the_run_goes_on(hello, sentence):
    everyone = addressed(3)
    names = list(map(str, everyone))

    def work(position):
        with Workers(everyone, position, 20) as workers:
            workers.join()
            return workers.gather(position)

    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(work, position) for position in (0, 1)]
        time.sleep(0.5)
        with socket.create_connection(everyone[0].host_and_port) as stranger:
            stranger.settimeout(10)
            assert b"tfsupermask" in stranger.recv(100)
            if isinstance(hello, dict):
                line = lines.Line(stranger)
                line.send(**({"cluster": names} | hello if hello else hello))
                if sentence:
                    lines.ready([line], 10)
                    with pytest.raises(ConnectionError, match=sentence):
                        raise ConnectionError(line.read()["error"])
            else:
                stranger.sendall(hello)
        done = [*first, pool.submit(work, 2)]
        assert [each.result() for each in done] == [[0, 1, 2]] * 3


def test_another_program_on_the_port_of_the_first_hears_nothing():
    everyone, heard = addressed(2), []
    with lines.listen(everyone[0]) as listener:

        def serve():
            with contextlib.suppress(OSError):
                connection = listener.accept()[0]
                connection.sendall(b"\0\0\6\4\0\0\0\0\0")  # as an HTTP/2 server does
                connection.shutdown(socket.SHUT_WR)
                heard.append(connection.recv(100))

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            pytest.raises(ConnectionError, match="gave up"),
            Workers(everyone, 1, 1) as workers,
        ):
            workers.join()
        thread.join()
    assert heard == [b""]


def test_whoever_dies_while_tensorflow_waits_ends_the_others():
    everyone = addressed(2)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.dup2(write, 2)
            with Workers(everyone, 1) as workers:
                workers.join()
                with workers.watched():
                    time.sleep(60)
        finally:
            os._exit(0)
    os.close(write)
    workers = Workers(everyone, 0)
    workers.join()
    time.sleep(0.3)
    for line in workers._lines.values():
        line.close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with open(read) as said:
        assert said.read().startswith(f"error: {everyone[0]} ended; start all")


POINTS = ("load_images", "agree", "claimed", "initialise", "restore_latest", "restore")


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("point", ["make_strategy", *POINTS])
def test_whoever_is_late_wherever_all_start_alike(late, point, tmp_path, monkeypatch):
    """Two jobs in threads; one stops at a point until the other waits for it."""
    everyone, here = addressed(2), threading.local()
    meetings = [0, 0]  # to which each has come

    def late_one(function):
        def call(*args, **kwargs):
            if here.position == late:
                while meetings[1 - late] <= meetings[late]:
                    time.sleep(0.01)
            return function(*args, **kwargs)

        return call

    class Counting(Workers):
        watched = staticmethod(contextlib.nullcontext)  # it would end both

        def gather(self, *args, **kwargs):
            meetings[here.position] += 1
            return super().gather(*args, **kwargs)

    owners = {"agree": Workers, "initialise": train.Job, "restore_latest": checkpoints}
    owner = owners.get(point, job_module)
    monkeypatch.setattr(owner, point, late_one(getattr(owner, point)))
    monkeypatch.setattr(
        job_module, "_workers", lambda config: Counting(everyone, here.position, 600)
    )
    config = runs.Config(
        workdir=str(tmp_path / "run"), init="kaiming_normal", batch_size=32, epochs=2
    )

    def work(position):
        here.position = position
        try:
            with train.Job.open(config) as job:
                return job.chief, job.saved.epoch
        finally:
            meetings[position] = math.inf

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(work, range(2)))
    assert done == [(True, 0), (False, 0)]
