import gzip
import math
import re

import keras
import numpy as np
import pytest

from tfsupermask import layers
from tfsupermask.export import export_model, fold, size_table
from tfsupermask.export.sizes import (
    compressed_bytes,
    dense_bytes,
    file_bytes,
    mask_bytes,
    ticket_bytes,
)

from .conftest import MAKE, conv2, separable


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_dense_bytes_are_those_of_the_folded_weights(make):
    model = make()
    folded = fold(model)
    expected = sum(4 * weight.numpy().size for weight in folded.weights)
    assert dense_bytes(model) == dense_bytes(folded) == expected


@pytest.mark.parametrize(
    ("sparsity", "bits"), [(0.0, 0.0), (0.25, 0.811278), (0.5, 1.0), (0.75, 0.811278)]
)
def test_mask_bytes_are_the_entropy_summed_over_the_weights(sparsity, bits):
    dense = layers.SupermaskDense(80, sparsity=sparsity)
    model = keras.Sequential([keras.Input((100,)), dense])
    assert mask_bytes(model) == math.ceil(8000 * bits / 8)
    pair = layers.SupermaskSeparableConv2D(80, 4, sparsity=(0.5, sparsity))
    model = keras.Sequential([keras.Input((8, 8, 10)), pair])
    assert mask_bytes(model) == math.ceil((160 + 800 * bits) / 8)


def test_compressed_is_what_gzip_makes(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=270_000).astype("float32")
    values[rng.random(values.shape) < 0.7] = 0
    (tmp_path / "deep").mkdir()
    (tmp_path / "one").write_bytes(values.tobytes())
    (tmp_path / "deep" / "two").write_bytes(bytes(1000))
    one = len(gzip.compress(values.tobytes(), 9))
    two = len(gzip.compress(bytes(1000), 9))
    assert file_bytes(tmp_path) == values.nbytes + 1000
    assert compressed_bytes(tmp_path / "one") == pytest.approx(one, abs=20)
    assert compressed_bytes(tmp_path) == pytest.approx(one + two, abs=40)


def rows_of(table):
    """Returns name → (bytes, percentage)."""
    found = re.findall(r"^(\S.*?) +([\d,]+) +([\d.]+) %$", table, re.MULTILINE)
    return {name: (int(size.replace(",", "")), float(of)) for name, size, of in found}


def test_table_says_what_a_file_weighs(tmp_path):
    model = conv2()
    path = export_model(model, tmp_path / "model.keras")
    table = size_table(model, path)
    rows = rows_of(table)
    dense = dense_bytes(model)
    assert rows == {
        name: (size, round(100 * size / dense, 1))
        for name, size in {
            "all weights, float32": dense,
            "model.keras": path.stat().st_size,
            "model.keras, compressed": compressed_bytes(path),
            "ticket, float32": ticket_bytes(model),
            "masks alone, at the least": mask_bytes(model),
        }.items()
    }
    assert "are zeros in this format" in table
    sizes = [size for size, _ in rows.values()]
    assert sizes[1] > sizes[0] > sizes[2] > sizes[3] > sizes[4]
    assert len({len(line) for line in table.splitlines()[:-1]}) == 1


def test_table_of_a_ticket_and_of_what_has_none(tmp_path):
    model = conv2()
    table = size_table(model, export_model(model, tmp_path / "model.ticket"))
    assert "zeros" not in table
    assert rows_of(table)["model.ticket"][0] == ticket_bytes(model)
    assert ticket_bytes(model) < 1.02 * mask_bytes(model) + 4000  # near the limit
    unknown = [*separable().layers, keras.layers.Lambda(lambda x: x, name="unknown")]
    unknown = keras.Sequential(unknown)
    unknown.build((None, 8, 8, 3))
    unknown.save(tmp_path / "model.keras")
    assert "ticket, " not in size_table(unknown, tmp_path / "model.keras")
