import csv

import pytest

from tfsupermask.runs import metrics


@pytest.mark.parametrize("split", ["test", "validation"])
def test_csv_holds_the_numbers_unrounded(split, tmp_path):
    columns = metrics.columns(split)
    rows = [
        {name: (i + 1) / 3 for i, name in enumerate(columns)} | {"epoch": e}
        for e in (1, 2)
    ]
    metrics.write_csv(tmp_path / "metrics.csv", rows, split)
    with open(tmp_path / "metrics.csv") as file:
        read = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in read] == rows
    assert metrics.read_csv(tmp_path / "metrics.csv", split) == rows
    assert f"{split}_top5" in columns
