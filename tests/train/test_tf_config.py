import json

import pytest

from tfsupermask._validation import InputError
from tfsupermask.train import tf_config

TWO = {"worker": ["a:2301", "b:2301"]}
FIRST = {"type": "worker", "index": 0}


def read(monkeypatch, content):
    text = content if isinstance(content, str) else json.dumps(content)
    monkeypatch.setenv("TF_CONFIG", text)
    workers, position = tf_config.read()
    return [str(worker) for worker in workers], position


@pytest.mark.parametrize(
    ("cluster", "task", "workers", "position"),
    [
        (TWO, FIRST, ["worker 0 (a:2301)", "worker 1 (b:2301)"], 0),
        (TWO, {**FIRST, "index": 1}, ["worker 0 (a:2301)", "worker 1 (b:2301)"], 1),
        (TWO, {**FIRST, "index": "1"}, ["worker 0 (a:2301)", "worker 1 (b:2301)"], 1),
        (
            {"worker": ["b:1"], "chief": ["a:1"], "ps": "?"},
            FIRST,
            ["chief 0 (a:1)", "worker 0 (b:1)"],
            1,
        ),
        (
            {"worker": ["b:1"], "chief": ["a:1"]},
            {"type": "chief", "index": 0},
            ["chief 0 (a:1)", "worker 0 (b:1)"],
            0,
        ),
    ],
)
def test_all_workers_in_order_the_one_that_writes_first(
    monkeypatch, cluster, task, workers, position
):
    found = read(monkeypatch, {"cluster": cluster, "task": task})
    assert found == (workers, position)


@pytest.mark.parametrize(
    ("address", "parts"), [("a.b:1", ("a.b", 1)), ("[::1]:65535", ("::1", 65_535))]
)
def test_host_and_port(address, parts):
    assert tf_config.Worker("worker", 0, address).host_and_port == parts


def of(cluster=TWO, **task):
    return {"cluster": cluster, "task": {**FIRST, **task}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no JSON", "TF_CONFIG.*JSON.*line 1 column 1"),
        ("[]", "TF_CONFIG.*object.*list"),
        ("[" * 100_000, "TF_CONFIG.*JSON"),
        ("{}", "must hold `cluster`.*`task`.*--strategy=single.*TF_CONFIG='{}'"),
        ({"cluster": TWO}, "must hold `cluster`.*`task`"),
        ({"task": FIRST}, "must hold `cluster`.*`task`"),
        ({"cluster": [], "task": FIRST}, "must hold `cluster`"),
        ({"cluster": TWO, "task": 0}, "must hold `cluster`"),
        (of(index=2), r"`index`.*in \[0, 2\).*index=2"),
        (of(index=-1), "index=-1"),
        (of(index="-1"), "index='-1'"),
        (of(index=True), "index=True"),
        (of(index=0.0), "index=0.0"),
        (of(index=None), "index=None"),
        (of(index=[]), r"index=\[\]"),
        (of(type=None), "`type`.*type=None"),
        (of(type="chief"), r"`type`.*type='chief', cluster=\['worker'\]"),
        (of(type=[]), r"`type`.*type=\[\]"),
        (of({"workers": ["a:1"]}), "`type`.*type='worker', cluster=\\[\\]"),
        (of({"worker": []}), "`type`.*cluster="),
        (of({"worker": "a:1"}), "host:port.*worker='a:1'"),
        (of({"worker": {"0": "a:1"}}), "host:port"),
        (of({"worker": ["a"]}), r"host:port.*worker=\['a'\]"),
        (of({"worker": [":1"]}), "host:port"),
        (of({"worker": ["a:0"]}), "host:port"),
        (of({"worker": ["a:65536"]}), r"\[1, 65535\]"),
        (of({"worker": ["a:-1"]}), "host:port"),
        (of({"worker": ["a:²"]}), "host:port"),
        (of({"worker": ["a:b"]}), "host:port"),
        (of({"worker": [7]}), "host:port"),
        (of({"worker": ["a:1"], "chief": ["a:1"]}), "its own.*2 share.*address='a:1'"),
        (of({"chief": ["a:1", "b:1"]}), "one chief"),
    ],
)
def test_each_wrong_one_gets_a_sentence_that_names_what_is_wrong(
    monkeypatch, content, message
):
    with pytest.raises(InputError, match=message):
        read(monkeypatch, content)
