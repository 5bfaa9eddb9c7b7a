import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tfsupermask._text import duration
from tfsupermask._validation import InputError
from tfsupermask.experiments import OutputFolder, PlannedRun, run_planned
from tfsupermask.experiments.running import processes, runner
from tfsupermask.runs import Config, metrics

from . import fake_worker as fake

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_training(monkeypatch):
    monkeypatch.setattr(processes, "WORKER", "tests.experiments.fake_worker")
    monkeypatch.chdir(ROOT)


def job(name, does=fake.DONE, **fields):
    return PlannedRun(name, Config(epochs=2, learning_rate=does, **fields))


def starts(folder, one):
    return (folder.run(one) / "started.txt").read_text().splitlines()


@pytest.fixture
def folder(tmp_path):
    return OutputFolder(tmp_path / "output")


def test_what_is_done_is_not_run_again(folder, capsys):
    jobs = [job("a"), job("b"), job("c")]
    run_planned(jobs[:2], folder)
    assert "2 runs, 0 done; 2 to do" in capsys.readouterr().out
    run_planned(jobs, folder)
    said = capsys.readouterr().out
    assert "3 runs, 2 done; 1 to do" in said
    assert "[3/3] c: test top-1 0.5000, top-5 0.9000" in said
    assert [len(starts(folder, one)) for one in jobs] == [1, 1, 1]
    assert all(folder.outcome(one).epoch == 2 for one in jobs)


@pytest.mark.parametrize(
    "metrics",
    [
        b"",
        b"epoch\n1\n",
        fake.HEADER.encode() + b"\n1",
        fake.HEADER.encode() + b"\n" + b"1" * 200_000,
    ],
)
@pytest.mark.parametrize("done", [False, True])
def test_what_left_damaged_files_is_run_again(folder, metrics, done):
    (one,) = jobs = [job("a")]
    run_planned(jobs if done else [], folder)
    folder.run(one).mkdir(exist_ok=True)
    (folder.run(one) / "metrics.csv").write_bytes(metrics)
    run_planned(jobs, folder)
    assert len(starts(folder, one)) == 1 + done
    assert folder.outcome(one).epoch == 2


def test_failures_are_recorded_passed_over_and_tried_again(folder, capsys):
    jobs = [job("a"), job("b", fake.FAILS), job("c", fake.DIES), job("d")]
    run_planned(jobs, folder)
    assert folder.why_failed(jobs[1]) == "error: This cannot work."
    assert "SIGKILL" in folder.why_failed(jobs[2])
    done = [folder.outcome(one) is not None for one in jobs]
    assert done == [True, False, False, True]
    assert "b: FAILED: error: This cannot work." in capsys.readouterr().out
    assert "Something was tried." in folder.log(jobs[1]).read_text()
    assert folder.failed(jobs) == ["b", "c"]
    run_planned(jobs[:2], folder)
    assert folder.why_failed(jobs[1]) is None
    folder.failure(jobs[1]).write_text("It was killed, and finished by hand.")
    assert folder.failed(jobs) == ["c"]
    assert folder.outcome(jobs[1]) is not None
    assert [len(starts(folder, one)) for one in jobs] == [1, 2, 1, 1]


def test_a_run_waits_for_those_that_it_needs_and_gets_their_folders(folder, capsys):
    first, failing = job("first"), job("failing", fake.FAILS)
    fields = {"method": "fixed", "mask_from": "first"}
    after = PlannedRun("after", Config(epochs=2, **fields), (("mask_from", first),))
    never = PlannedRun("never", Config(epochs=2, **fields), (("mask_from", failing),))
    run_planned([failing, never, after, first], folder, processes=1)
    assert folder.config(after).mask_from == str(folder.run(first))
    assert folder.outcome(after).epoch == 2
    assert folder.why_failed(never) == "It needs failing, which is not done."
    said = capsys.readouterr().out
    assert said.index("first: test top-1") < said.index("after: test top-1")
    assert not folder.run(never).exists()
    run_planned([failing, never], folder, processes=1)
    assert folder.why_failed(never) is None


def test_what_was_only_initialised_is_trained_when_asked_for(folder):
    run_planned([job("a", stop_after_epoch=0)], folder)
    assert folder.outcome(job("a", stop_after_epoch=0)).epoch == 0
    assert folder.outcome(job("a")) is None
    run_planned([job("a")], folder)
    assert folder.outcome(job("a")).epoch == 2
    (folder.run(job("a")) / "summary.json").write_text("{")
    assert folder.outcome(job("a")) is None


def test_processes_share_the_cores(folder):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core cannot be shared")
    jobs = [job(name) for name in "abcd"]
    run_planned(jobs, folder, processes=2)
    used = {starts(folder, one)[0] for one in jobs}
    assert used <= {str(cores[0::2]), str(cores[1::2])}


@pytest.mark.parametrize(("processes", "message"), [(1000, "must be at most"), (0, "")])
def test_refuses_numbers_of_processes(folder, processes, message):
    with pytest.raises(InputError, match=f"`processes` {message}"):
        run_planned([job("a")], folder, processes=processes)


def test_a_run_has_no_other_workers(folder, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')
    run_planned([job("a")], folder)
    assert folder.outcome(job("a"))


def test_an_index_of_something_else_is_not_replaced(folder):
    folder.root.mkdir()
    folder.index.write_text("precious")
    with pytest.raises(InputError, match=r"`output` must be new.*output='.*output'"):
        run_planned([job("a")], folder)
    assert list(folder.root.iterdir()) == [folder.index]
    folder.tables.mkdir()
    run_planned([job("a")], folder)
    assert folder.outcome(job("a"))


def test_gpus_are_shared_in_turn(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    cores = os.sched_getaffinity(0)
    places = processes.share_machine(min(3, len(cores)))
    assert [place.gpu for place in places] == ["4", "7", "4"][: len(places)]
    assert set().union(*(place.cores for place in places)) == cores
    assert len(processes.share_machine()) == min(2, len(cores))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(1000))))
    assert len(processes.share_machine()) == len(cores)


PROGRAM = """
    import sys
    from pathlib import Path
    from tests.experiments.test_runner import fake, job
    from tfsupermask.experiments import OutputFolder, run_planned
    from tfsupermask.experiments.running import processes

    processes.WORKER = "tests.experiments.fake_worker"
    jobs = [job("a"), job("b", fake.WAITS), job("c")]
    try:
        run_planned(jobs, OutputFolder(Path(sys.argv[1])))
    except KeyboardInterrupt as interrupt:
        sys.exit(interrupt.exit_status)
"""


def test_the_reason_of_several_lines_is_the_last_line_of_the_log():
    code = """
        import types
        from tfsupermask.experiments.running import worker

        def run(config):
            raise OSError("no memory\\n\\t left [Op:conv]\\n")

        worker.train = types.SimpleNamespace(run=run)
        worker.main("{}")
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = process.stderr.read().splitlines()
    process.stdin.close()
    assert process.wait() == 1
    assert said[-1] == "error: no memory left [Op:conv]"


def test_runs_in_progress_are_saved_when_it_all_ends(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    # TensorFlow is then not loaded to count GPUs.
    options = {"cwd": ROOT, "env": {**os.environ, "CUDA_VISIBLE_DEVICES": "0"}}
    started = {
        number: subprocess.Popen([*command, tmp_path / str(number)], **options)
        for number in (signal.SIGTERM, signal.SIGKILL)
    }
    for number, program in started.items():
        folder = OutputFolder(tmp_path / str(number))
        wait_for(folder.run(job("b")) / "waiting.txt", program)
        program.send_signal(number)
        assert program.wait(30) == (143 if number == signal.SIGTERM else -9)
        wait_for(folder.run(job("b")) / "saved.txt")
        assert folder.outcome(job("a")) is not None
        assert not folder.run(job("c")).exists()
        assert folder.why_failed(job("b")) is None


def wait_for(path, process=None):
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not come"
        assert process is None or process.poll() is None
        time.sleep(0.05)


def test_the_time_left_is_that_of_the_runs_left(folder, capsys, monkeypatch):
    """Ten runs of the same length; the third had done one of two epochs before."""
    jobs = [job(str(number)) for number in range(10)]
    folder.run(jobs[2]).mkdir(parents=True)
    folder.failures.mkdir()
    row = dict.fromkeys(metrics.columns("test"), 1.0)
    metrics.write_csv(folder.run(jobs[2]) / "metrics.csv", [row], "test")
    whole = jobs[0].estimated_seconds
    total = 10 * whole - jobs[2].training_seconds(1)
    now = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])
    with runner._Progress(jobs, jobs, folder) as progress:
        now[0] = 100.0  # as estimated, times 100 / whole
        progress.show(jobs[:1])
        progress.failed(jobs[0], "It failed.", 100.0)
    left = 100.0 * (total - whole) / whole
    said = capsys.readouterr().out
    assert f"about {duration(total)} one after another" in said
    assert f"{duration(left)} left" in said
