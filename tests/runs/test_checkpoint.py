import numpy as np
import pytest

from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.runs.checkpoint import Checkpoint


def make(epoch):
    rng = np.random.default_rng(epoch)
    values = {
        "model/conv1/score": rng.normal(size=(3, 4)).astype("float32"),
        "optimizer/0": np.array(epoch, "int64"),
    }
    return Checkpoint(epoch, values, {"rows": [{"epoch": epoch, "loss": 0.1}]})


def assert_equal(one, other):
    assert (one.epoch, one.state) == (other.epoch, other.state)
    assert set(one.values) == set(other.values)
    for name, value in one.values.items():
        np.testing.assert_array_equal(value, other.values[name], strict=True)


def test_restores_the_newest_and_keeps_two(tmp_path):
    for epoch in (0, 1, 2, 10):
        checkpoints.save(tmp_path, make(epoch))
    assert_equal(checkpoints.restore_latest(tmp_path), make(10))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["epoch_00002.npz", "epoch_00010.npz"]


def test_only_checkpoints_count_and_by_number(tmp_path):
    for epoch in (99_999, 100_000):
        checkpoints.save(tmp_path, make(epoch))
    for name in ("epoch_x.npz", "epoch_1\n.npz", "epoch_00001.npz.partial"):
        (tmp_path / name).touch()
    assert_equal(checkpoints.restore_latest(tmp_path), make(100_000))
    checkpoints.save(tmp_path, make(100_001))
    names = {path.name for path in tmp_path.iterdir()}
    assert {"epoch_100000.npz", "epoch_100001.npz", "epoch_x.npz"} <= names
    assert "epoch_99999.npz" not in names


@pytest.mark.filterwarnings("ignore:Checkpoint")
def test_a_damaged_later_one_does_not_cost_an_earlier_one(tmp_path):
    for epoch in (1, 2):
        checkpoints.save(tmp_path, make(epoch))
    (tmp_path / "epoch_00009.npz").touch()
    checkpoints.save(tmp_path, make(3))
    (tmp_path / "epoch_00003.npz").write_bytes(b"cut")
    assert_equal(checkpoints.restore_latest(tmp_path), make(2))


def test_reads_what_earlier_versions_wrote(tmp_path):
    """They had no SHA-256, the CRC-32 of each array alone."""
    state = np.frombuffer(b'{"rows": []}', np.uint8)
    values = make(1).values
    np.savez(tmp_path / "epoch_00001.npz", **values, **{"state.json": state})
    assert_equal(
        checkpoints.restore_latest(tmp_path), Checkpoint(1, values, {"rows": []})
    )


def test_any_bit_and_any_cut_costs_one_epoch_at_most(tmp_path):
    checkpoints.save(tmp_path, make(1))
    path = checkpoints.save(tmp_path, make(2))
    whole = path.read_bytes()
    in_the_score = whole.index(make(2).values["model/conv1/score"].tobytes()) + 5
    places = np.random.default_rng(0).integers(8 * len(whole), size=300)
    damaged = [whole[:length] for length in range(0, len(whole), 9)]
    # What is cut right before the SHA-256 looks like an archive that has none.
    damaged += [whole[:length] for length in range(len(whole) - 80, len(whole))]
    for place in (8 * in_the_score, *places):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="epoch_00002.npz' is damaged"):
            assert_equal(checkpoints.restore_latest(tmp_path), make(1))


def test_refuses_pickled_objects_and_finds_nothing_else(tmp_path):
    np.savez(tmp_path / "epoch_00001.npz", state=np.array([{"a": 1}], object))
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoints.restore_latest(tmp_path) is None
    assert checkpoints.restore_latest(tmp_path / "missing") is None
