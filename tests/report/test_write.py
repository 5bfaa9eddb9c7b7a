import pytest

from tests.programs import call, call_here
from tfsupermask import data
from tfsupermask._validation import InputError
from tfsupermask.report import page, write_report


@pytest.fixture
def small_digits(monkeypatch, digits):
    calls = []
    monkeypatch.setattr(
        data, "load", lambda *args, **options: calls.append(args) or digits
    )
    return calls


def test_a_file_is_written_with_its_folder(made, small_digits, tmp_path):
    output = tmp_path / "new" / "report.html"
    assert write_report(list(made.values()), output) == output
    assert "<h1>2 runs side by side</h1>" in output.read_text("utf-8")
    assert [file.name for file in output.parent.iterdir()] == ["report.html"]
    assert len(small_digits) == 1


def test_an_older_file_survives_a_failure(made, small_digits, tmp_path, monkeypatch):
    output = tmp_path / "report.html"
    output.write_text("older")
    with pytest.raises(InputError, match="folder of a run"):
        write_report([made["patches"], tmp_path], output)
    monkeypatch.setattr(page, "render", lambda runs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report([made["patches"]], output)
    assert output.read_text() == "older"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"at least one run folder.*paths=\[\]"):
        write_report([], tmp_path / "report.html")
    with pytest.raises(InputError, match="must be a file, not a folder"):
        write_report(["x"], tmp_path)
    with pytest.raises(InputError, match="output='gs://a/b"):
        write_report(["x"], "gs://a/b.html")


def test_a_name_that_is_not_unicode(folder, small_digits, tmp_path):
    path = folder.rename(folder.with_name("run \udcff"))
    text = write_report(path, tmp_path / "r.html").read_text("utf-8")
    assert "run ?</title>" in text


def test_the_program(made, folder, tmp_path):
    results = {
        folder / "report.html": call("-m", "binaries.report", folder, cwd=tmp_path),
        "report.html": call_here("binaries.report", *made.values(), cwd=tmp_path),
    }
    for path, (code, out, err) in results.items():
        assert (out, code) == (f"{path}\n", 0)
        # The embedded digits are larger than those that the runs were trained on.
        assert err.startswith("warning: The report goes without test images.")
        assert len(err.splitlines()) == 1
        text = (tmp_path / path).read_text("utf-8")
        assert "Left out. The images of digits that were found are not" in text
