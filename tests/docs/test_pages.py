"""What the pages say is there: links, commands, flags, and error messages."""

import ast
import dataclasses
import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from keras.src.saving import serialization_lib

from tfsupermask.runs import Config

ROOT = Path(__file__).parents[2]
TOP = [ROOT / name for name in ("README.md", "WORKSPACE.md", "CHANGELOG.md")]
PAGES = [*TOP, *sorted((ROOT / "docs").glob("*.md")), *(ROOT / "docs/api").glob("*.md")]
OF_COMMANDS = [page for page in PAGES if page.stem != "CHANGELOG"]  # has old flags

VALIDATE = """
import json, sys
from absl import flags
from binaries import train
refused = []
for argv in json.load(sys.stdin):
    flags.FLAGS.unparse_flags()
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    try:
        flags.FLAGS(["train", *argv])
        train.config_from_flags()
    except Exception as error:
        refused.append(f"{argv}: {error}")
print(json.dumps(refused))
"""


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def without_code(text):
    return re.sub(r"^```.*?^```|^ {4}.*?$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page):
    """The names that GitHub and Sphinx give to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text()), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in kept}


def broken(page):
    """Yields the links of a page that lead nowhere, those to other sites aside."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        if not to.exists() or (anchor and anchor not in anchors(to)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    assert not list(broken(page))


def test_broken_links_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A – B: `c`\n[a](#a--b-c) [b](#b) [c](page.md#d) ![d](e.png)\n")
    assert list(broken(page)) == ["#b", "page.md#d", "e.png"]


def commands(page):
    """Yields module and arguments of each command with `python -m` of this project."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    for module, rest in re.findall(
        r"python\s+-m\s+((?:binaries|benchmarks|trials)\.\w+)([^`;)\n]*)", text
    ):
        words = shlex.split(rest.split("  #")[0].split("&&")[0], posix=False)
        yield module, [word.strip("'\"") for word in words]


def flags_of(module):
    """The words that a program's source has in quotes: the flags are among them."""
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
    source += (ROOT / "benchmarks/_measure.py").read_text()
    names = set(re.findall(r"\"(?:--)?(\w+)\"", source)) | {"help", "version"}
    if module == "binaries.train":
        names |= {field.name for field in dataclasses.fields(Config)}
    return names


@pytest.mark.parametrize("page", OF_COMMANDS, ids=name_of)
def test_programs_and_their_flags_exist(page):
    for module, arguments in commands(page):
        for argument in arguments:
            if argument.startswith("--"):
                name = argument[2:].partition("=")[0]
                known = flags_of(module)
                assert {name, name.removeprefix("no")} & known, (module, argument)


def test_commands_that_train_are_valid():
    found = [
        [word for word in arguments if word.startswith("--") and "…" not in word]
        for page in OF_COMMANDS
        for module, arguments in commands(page)
        if module == "binaries.train" and "--help" not in arguments
    ]
    assert len(found) > 30
    first = [[word.split("|")[0] for word in argv] for argv in found]
    done = subprocess.run(
        [sys.executable, "-c", VALIDATE],
        input=json.dumps([*first, ["--prune=2"]]),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *refused, last = json.loads(done.stdout)
    assert "prune=2" in last
    assert not refused


def test_the_page_of_flags_has_all_of_them():
    named = set(re.findall(r"--(\w+)", (ROOT / "docs/flags.md").read_text()))
    assert named == {"help", *(field.name for field in dataclasses.fields(Config))}


def texts():
    """All text in the source of the programs, and in Keras's that reads models."""
    files = [*(ROOT / "tfsupermask").rglob("*.py"), *(ROOT / "binaries").glob("*.py")]
    sources = [path.read_text() for path in files]
    for source in (*sources, inspect.getsource(serialization_lib)):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_error_messages_are_those_of_the_programs():
    page = (ROOT / "docs/troubleshooting.md").read_text()
    rows = re.findall(r"^\| (`.*?) \| ", page, re.MULTILINE)
    assert len(rows) > 10
    said = "\n".join(texts())
    for row in rows:
        for sentence in re.findall(r"`(.*?)`", row):
            assert sentence in said, sentence
