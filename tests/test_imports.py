import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Which parts of the package each part may import, itself apart; ground up.
GROUND = {
    "_arrays",
    "_balance",
    "_core",
    "_files",
    "_images",
    "_machine",
    "_on_use",
    "_reading",
    "_text",
    "_validation",
    "_version",
}
ALLOWED = {
    "__main__": set(),
    "_balance": set(),
    "_images": set(),
    "_validation": set(),
    "_machine": set(),
    "_on_use": set(),
    "_text": set(),
    "_version": set(),
    "_with_keras": set(),
}
ALLOWED |= {part: {"_validation"} for part in ("_arrays", "_files", "_reading")}
ALLOWED["ops"] = GROUND
ALLOWED["layers"] = GROUND | {"ops"}
ALLOWED["models"] = GROUND | {"ops", "layers"}
ALLOWED["patches"] = GROUND
ALLOWED["init"] = GROUND | {"ops", "layers", "patches"}
ALLOWED["data"] = GROUND
ALLOWED["sparsity"] = GROUND | {"ops", "layers"}
ALLOWED["tickets"] = GROUND | {"ops", "layers"}
ALLOWED["conversion"] = GROUND | {"ops", "layers", "init", "sparsity"}
ALLOWED["export"] = GROUND | {"layers", "conversion", "tickets"}
ALLOWED["runs"] = GROUND | {"layers", "models", "patches", "init", "data", "sparsity"}
ALLOWED["zoo"] = GROUND | {"runs", "tickets"}
ALLOWED["train"] = GROUND | set(ALLOWED)
ALLOWED["report"] = GROUND | set(ALLOWED)
ALLOWED["experiments"] = GROUND | set(ALLOWED)

FRAMEWORKS = {"tensorflow", "keras", "tensorflow_datasets"}


def imported_names(path, root=ROOT):
    """Dotted names of all that a file imports, at whatever depth, relative ones too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(root).parent.parts
            base = list(package[: len(package) - node.level + 1] if node.level else ())
            base += node.module.split(".") if node.module else []
            names.update(".".join([*base, alias.name]) for alias in node.names)
    return names


def parts_imported(path):
    """Names right below `tfsupermask` that a file imports."""
    split = [name.split(".") for name in imported_names(path)]
    return {
        names[1] if len(names) > 1 else ""
        for names in split
        if names[0] == "tfsupermask"
    }


def files_of(part):
    package = ROOT / "tfsupermask" / part
    return (
        sorted(package.rglob("*.py")) if package.is_dir() else [Path(f"{package}.py")]
    )


def existing_parts():
    package = ROOT / "tfsupermask"
    return sorted(
        path.stem
        for path in package.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__")
        or (path / "__init__.py").exists()
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b as c, d", {"a.b", "d"}),
        ("from a import b, c", {"a.b", "a.c"}),
        ("from a.b import c", {"a.b.c"}),
        ("from . import c", {"p.q.c"}),
        ("from .c import d", {"p.q.c.d"}),
        ("from ..c import d", {"p.c.d"}),
        ("def f():\n    if True:\n        import a", {"a"}),
    ],
)
def test_every_kind_of_import_is_seen(source, expected, tmp_path):
    path = tmp_path / "p" / "q" / "module.py"
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert imported_names(path, tmp_path) == expected


def test_every_part_has_its_place():
    assert set(existing_parts()) <= set(ALLOWED)


@pytest.mark.parametrize("part", existing_parts())
def test_imports_go_one_way(part):
    for path in files_of(part):
        forbidden = parts_imported(path) - ALLOWED[part] - {part}
        assert not forbidden, f"{path.relative_to(ROOT)} imports {sorted(forbidden)}"


@pytest.mark.parametrize("part", ["_validation", "patches"])
def test_knows_no_framework(part):
    for path in files_of(part):
        known = {name.split(".")[0] for name in imported_names(path)}
        assert not known & FRAMEWORKS, path.relative_to(ROOT)


def test_library_does_not_import_programs_or_tests():
    starts_programs = ROOT / "tfsupermask" / "__main__.py"
    for path in (ROOT / "tfsupermask").rglob("*.py"):
        known = {name.split(".")[0] for name in imported_names(path)}
        if path == starts_programs:
            known.remove("binaries")
        assert not known & {"binaries", "tests", "benchmarks", "trials"}, (
            path.relative_to(ROOT)
        )


def test_programs_import_nothing_else_of_the_project():
    programs = sorted((ROOT / "binaries").rglob("*.py"))
    assert programs
    for path in programs:
        known = {name.split(".")[0] for name in imported_names(path)}
        assert not known & {"tests", "benchmarks", "trials", "csrc"}, path.name


def test_only_the_bindings_know_python():
    sources = [*(ROOT / "csrc").rglob("*.cc"), *(ROOT / "csrc").rglob("*.h")]
    knowing = {
        path.name
        for path in sources
        if any(word in path.read_text() for word in ("pybind11", "Python.h"))
    }
    assert knowing == {"bindings.cc", "python_arguments.h"}
