import csv
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.programs import call

ROOT = Path(__file__).parents[2]
SMALL = ("--seeds=1", "--epochs=1", "--datasets=digits", "--limit_images=200")


def reproduce(*arguments, cwd):
    return call("-m", "binaries.reproduce", *arguments, cwd=cwd)


def test_everything_is_listed_and_planned_without_running_anything(tmp_path):
    code, out, err = reproduce("--list", "--seeds=1", cwd=tmp_path)
    assert (code, err) == (0, "")
    lines = {line[:18].strip(): line[18:].split()[0] for line in out.splitlines()[1:-1]}
    assert lines["Table 8.3"] == "10"
    assert lines["Figure 5.2"] == "30"
    assert lines["all"] == "592"
    code, out, err = reproduce("--all", "--dry_run", cwd=tmp_path)
    assert (code, err) == (0, "")
    *lines, total = out.splitlines()
    names = [line.split()[0] for line in lines]
    assert total.startswith(f"{len(set(names))} distinct runs, ")
    assert len(names) == len(set(names)) == 1776
    assert not list(tmp_path.iterdir())


def test_what_needs_more_images_is_left_out_of_all(tmp_path):
    digits = ("--datasets=digits", "--seeds=1")
    code, out, err = reproduce("--list", *digits, cwd=tmp_path)
    assert (code, err) == (0, "")
    assert re.search(r"^Study choice +– +– +Conv4", out, re.MULTILINE)
    (every,) = re.findall(r"^all +(\d+)", out, re.MULTILINE)
    code, out, err = reproduce("--all", "--dry_run", *digits, cwd=tmp_path)
    assert code == 0
    assert out.splitlines()[-1].startswith(f"{every} distinct runs, ")
    assert "Study choice is left out: A run must not need more" in err
    assert "Figure" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--table=8.3,9.3"], "`table` must be one of 5.2"),
        (["--table=8.3", "--shard=4/4"], "`index` must be less than `count`."),
        (["--table=8.3", "--output=gs://a/b"], "`output` must be a path on this"),
        ([], "--list shows all"),
    ],
)
def test_bad_flags_end_with_one_sentence(tmp_path, arguments, said):
    code, _, err = reproduce(*arguments, cwd=tmp_path)
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_a_small_study_from_runs_to_pages(tmp_path):
    flags = ("--figure=5.3,5.3", *SMALL, "--output=study")
    code, out, err = reproduce(*flags, "--shard=1/2", cwd=tmp_path)
    assert code == 0, err
    assert "1 run, 0 done; 1 to do" in out
    study = tmp_path / "study"
    done = {path: path.stat().st_mtime for path in study.glob("runs/*/*")}
    code, out, err = reproduce(*flags, cwd=tmp_path)
    assert code == 0, err
    assert "2 runs, 1 done; 1 to do" in out
    assert {path: path.stat().st_mtime for path in done} == done
    assert out.splitlines()[-1] == "study/index.html"
    accuracy = {
        path.parent.name.split("-")[3]: json.loads(path.read_text())["test_top1"]
        for path in study.glob("runs/*/summary.json")
    }
    with open(study / "tables" / "figure_5.3.csv", newline="") as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    for name, init in (("Xavier normal", "glorot_normal"), ("PatchesInit", "patches")):
        assert float(rows[name]["mean"]) == pytest.approx(
            100 * accuracy[init], abs=1e-3
        )
    page = (study / "index.html").read_text()
    assert page.count('id="figure_5.3"') == 1
    assert "200 training images only" in page
    assert "digits" in page


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        ({"SLURM_ARRAY_TASK_ID": "29", "SLURM_ARRAY_TASK_COUNT": "30"}, "29/30"),
        ({"JOB_COMPLETION_INDEX": "4"}, "4/30"),
    ],
)
def test_the_documents_lines_name_the_shard(environment, shard):
    """Slurm and Kubernetes number their jobs from 0, as shards are."""
    (variable, *_) = environment
    text = (ROOT / "docs" / "reproduce.md").read_text()
    (argument,) = re.findall(rf"--shard=\S*{variable}\S*", text)
    echo = ["bash", "-c", f'echo "{argument}"']
    done = subprocess.run(echo, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == f"--shard={shard}"
