import re
import shutil
from html.parser import HTMLParser

import pytest

from tfsupermask import _files
from tfsupermask.data import DataNotFoundError
from tfsupermask.experiments import Scope, find
from tfsupermask.experiments.telling import figures
from tfsupermask.experiments.telling.page import write_all

LABELS = [("figure", "5.3"), ("table", "8.4"), ("table", "5.3")]
EXPERIMENTS = [find(*label) for label in LABELS]
HOSTILE = "<script>alert(1)</script> | `x` *y* [z](javascript:w) & \n<b>"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A well-formed page: its tags with attributes, and its text."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(path.read_text())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def contents(root):
    """Bytes of each file that is written, by path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] not in ("runs", "failed")
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
    """The same scope, to go on with."""
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


def test_another_run_gives_another_number(written, copied):
    before = contents(written)
    copied.finish(EXPERIMENTS[1], SCOPE, lambda c: 0.9)
    write_all(EXPERIMENTS, SCOPE, copied.folder)
    after = contents(copied.folder.root)
    tables = {f"tables/table_8.4.{kind}" for kind in ("csv", "html")}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"index.html"} | tables


def test_pages_load_and_run_nothing(written):
    for path in written.rglob("*.html"):
        page = Page(path)
        assert not page.all("script")
        assert not page.all("link")
        urls = [tag.get("src", tag.get("href", "")) for _, tag in page.tags]
        assert all(re.match(r"$|#|data:image/svg\+xml;base64,", url) for url in urls)
        assert not any(name.startswith("on") for _, tag in page.tags for name in tag)
        assert "default-src 'none'" in path.read_text()


def test_hostile_reasons_are_text(written):
    page = Page(written / "index.html")
    assert "<script>alert(1)</script> | `x`" in page.text


def test_the_index_has_everything(written):
    page = Page(written / "index.html")
    ids = {tag["id"] for _, tag in page.tags if "id" in tag}
    assert {tag["href"] for tag in page.all("a")} == {f"#{e.slug}" for e in EXPERIMENTS}
    assert ids == {e.slug for e in EXPERIMENTS}
    assert len(page.all("img")) == 1
    text = " ".join(page.text.split())
    for part in (
        *("Failed runs: ", "50.5 ± 0.7 (2 seeds)", "2 epochs instead of 100"),
        *("PatchesInit and Random: +0.0 points", "Abacus 9, 4 cores"),
        "fraction removed, the mean absolute difference",
    ):
        assert part in text, part
    # Failures come before the first experiment.
    assert text.index("Failed runs: ") < text.index("Figure 5.3: Training")


def test_nothing_done_is_written_too(fake, short):
    write_all(EXPERIMENTS, short, fake.folder)
    text = Page(fake.folder.root / "index.html").text
    assert "Failed runs" not in text
    assert re.search(r"0 of \d+ runs done\.", text)
    assert "–" in text


def test_a_missing_dataset_is_told(fake, monkeypatch):
    def load(name, data_dir):
        raise DataNotFoundError(f"{name} is not here & there.")

    monkeypatch.setattr(figures.data, "load", load)
    write_all([find("figure", "4.2")], Scope(), fake.folder)
    root = fake.folder.root
    assert (
        "No figure: tiny_imagenet is not here & there."
        in Page(root / "index.html").text
    )
    assert list(contents(root)) == ["index.html"]


def test_patches_have_a_figure_and_no_table(fake):
    scope = Scope(seeds=1, datasets=("digits",))
    write_all([find("figure", "4.2")], scope, fake.folder)
    written = contents(fake.folder.root)
    figure = {"figures/figure_4.2.png", "figures/figure_4.2.svg"}
    assert set(written) == figure | {"index.html"}


def test_an_old_file_outlives_a_failed_write(written, copied, monkeypatch):
    copied.finish(EXPERIMENTS[1], SCOPE, lambda c: 0.9)

    def replace(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "replace", replace)
    with pytest.raises(OSError, match="No space"):
        write_all(EXPERIMENTS, SCOPE, copied.folder)
    assert contents(copied.folder.root) == contents(written)
