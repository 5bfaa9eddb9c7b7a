import fcntl
import re
import shutil

import pytest

from tests.page import Page
from tfsupermask import _files
from tfsupermask.data import DataNotFoundError
from tfsupermask.experiments import OutputFolder, Scope, find
from tfsupermask.experiments.telling import figures
from tfsupermask.experiments.telling.page import write_all

LABELS = [("figure", "5.3"), ("table", "8.4"), ("table", "5.3")]
EXPERIMENTS = [find(*label) for label in LABELS]
HOSTILE = "<script>alert(1)</script> & \n<b>"


def page(path):
    """A written page, which loads and runs nothing."""
    read = Page(path.read_text())
    read.check_harmless("image/svg+xml")
    return read


def contents(root):
    """Bytes of each file that is written, by path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.relative_to(root).parts[0] not in ("runs", "failed", ".lock")
    }


SCOPE = Scope(epochs=2)


@pytest.fixture(scope="module")
def written(make_fake, tmp_path_factory):
    """A folder of output, with everything done but the last seed, which failed."""
    fake = make_fake(tmp_path_factory.mktemp("written"))
    for experiment in EXPERIMENTS:
        fake.finish(experiment, Scope(seeds=2, epochs=2), lambda c: 0.5 + 0.01 * c.seed)
        fake.fail(experiment, SCOPE, 2, HOSTILE)
    index = write_all(EXPERIMENTS, SCOPE, fake.folder)
    assert index == fake.folder.root / "index.html"
    return fake.folder.root


@pytest.fixture
def copied(written, make_fake, tmp_path):
    """The same folder, to go on with."""
    return make_fake(shutil.copytree(written, tmp_path / "output"))


def test_files(written):
    names = {f"tables/{e.slug}.{kind}" for e in EXPERIMENTS for kind in ("csv", "html")}
    names |= {
        "figures/figure_5.3.png",
        "figures/figure_5.3.svg",
        "index.html",
    }
    files = contents(written)
    assert set(files) == names
    assert files["figures/figure_5.3.png"].startswith(b"\x89PNG")
    assert files["figures/figure_5.3.svg"].startswith(b"<?xml")


def test_the_same_runs_give_the_same_bytes(written, copied):
    write_all(EXPERIMENTS, SCOPE, copied.folder)
    assert contents(copied.folder.root) == contents(written)


def test_another_run_gives_another_number_once_it_can_be_written(
    written, copied, monkeypatch
):
    def replace(*paths):
        raise OSError(28, "No space left on device")

    before = contents(written)
    copied.finish(EXPERIMENTS[1], SCOPE, lambda c: 0.9)
    with monkeypatch.context() as patch:
        patch.setattr(_files.os, "replace", replace)
        with pytest.raises(OSError, match="No space"):
            write_all(EXPERIMENTS, SCOPE, copied.folder)
    assert contents(copied.folder.root) == before
    write_all(EXPERIMENTS, SCOPE, copied.folder)
    after = contents(copied.folder.root)
    tables = {f"tables/table_8.4.{kind}" for kind in ("csv", "html")}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"index.html"} | tables


def test_pages_load_and_run_nothing_and_reasons_are_text(written):
    for path in written.rglob("*.html"):
        assert "<script>alert(1)</script> & <b>" in page(path).text


def test_the_index_has_everything(written):
    index = page(written / "index.html")
    slugs = {experiment.slug for experiment in EXPERIMENTS}
    assert {tag["id"] for _, tag in index.tags if "id" in tag} == slugs
    assert {tag["href"][1:] for tag in index.all("a")} == slugs
    assert len(index.all("img")) == 1
    text = index.text
    for part in (
        "Failed runs: ",
        "50.5 ± 0.7 (2 seeds)",
        "2 epochs instead of 100",
        "PatchesInit and Xavier normal: +0.0 points",
        "Abacus 9, 4 cores",
        "fraction removed, the mean absolute difference",
    ):
        assert part in text, part
    # Failures come before the first experiment.
    assert text.index("Failed runs: ") < text.index("Figure 5.3: Training")


def test_nothing_done_is_written_too(fake, short):
    write_all(EXPERIMENTS, short, fake.folder)
    text = page(fake.folder.root / "index.html").text
    assert "Failed runs" not in text
    assert re.search(r"0 of \d+ runs done\.", text)
    assert "–" in text


def test_a_missing_dataset_is_said(fake, monkeypatch):
    def load(name, data_dir):
        raise DataNotFoundError(f"{name} is not in {data_dir}.")

    monkeypatch.setattr(figures.data, "load", load)
    write_all([find("figure", "4.2")], Scope(data_dir="<i>&"), fake.folder)
    root = fake.folder.root
    said = "No figure: tiny_imagenet is not in <i>&."
    assert said in page(root / "index.html").text
    assert list(contents(root)) == ["index.html"]


def test_patches_have_a_figure_and_no_table(fake):
    scope = Scope(seeds=1, datasets=("digits",))
    write_all([find("figure", "4.2")], scope, fake.folder)
    written = contents(fake.folder.root)
    figure = {"figures/figure_4.2.png", "figures/figure_4.2.svg"}
    assert set(written) == figure | {"index.html"}


def test_only_one_process_writes_at_a_time(tmp_path, monkeypatch):
    def write(*_):
        with open(tmp_path / ".lock", "a") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        written.append(1)

    written = []
    monkeypatch.setattr("tfsupermask.experiments.telling.page._write_text", write)
    write_all([find("table", "8.3")], Scope(), OutputFolder(tmp_path))
    assert len(written) == 3
