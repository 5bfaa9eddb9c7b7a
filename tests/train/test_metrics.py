import csv

from tfsupermask.train import metrics


def test_csv_holds_the_numbers_unrounded(tmp_path):
    rows = [
        {name: (i + 1) / 3 for i, name in enumerate(metrics.COLUMNS)} | {"epoch": e}
        for e in (1, 2)
    ]
    metrics.write_csv(tmp_path / "metrics.csv", rows)
    with open(tmp_path / "metrics.csv") as file:
        read = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in read] == rows
