"""Type checkers see the package as a user's program does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfsupermask

pytest.importorskip("mypy")

# mypy must accept each line, or refuse it with the words behind its "#".
PROGRAM = """\
import tfsupermask
from tfsupermask import data, models
from tfsupermask.init import PatchesInit
from tfsupermask.runs import Config
from tfsupermask.sparsity import Sparsity  # has no attribute "Sparsity"

train = data.load("digits").train
model = models.build("conv2", (32, 32, 3), 10)
masked = tfsupermask.convert(model, {"conv*": 0.5, "*": 0.9}, method="signed")
report = PatchesInit(num_patches=500).apply(masked, train.images, train.labels)
report.layers
report.nonsense  # "PatchesInitReport" has no attribute "nonsense"
for weight in tfsupermask.layers.masked_weights(masked):
    weight.num_kept + "1"  # Unsupported operand types for + ("int" and "str")
tfsupermask.save_ticket(masked, "model.ticket").name
tfsupermask.fold(masked)
tfsupermask.train.run(Config(epochs=1))
tfsupermask.train.run("digits")  # incompatible type "str"; expected "Config"
tfsupermask.nonsense  # Module has no attribute "nonsense"
tfsupermask.convert(model, "half")  # Argument 2 to "convert" has incompatible
tfsupermask.convert(model, seeds=1)  # Unexpected keyword argument "seeds"
tfsupermask.__version__ + 1  # Unsupported operand types for + ("str" and "int")
"""


def test_mypy_accepts_right_lines_and_refuses_wrong_ones(tmp_path):
    root = Path(tfsupermask.__file__).parents[1]
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", "program.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(root)},
        capture_output=True,
        text=True,
    )
    said = dict(re.findall(r"^program.py:(\d+): error: (.*)", done.stdout, re.M))
    for number, line in enumerate(PROGRAM.splitlines(), 1):
        _, comment, refusal = line.partition("  # ")
        found = said.get(str(number), "")
        assert refusal in found if comment else not found, (line, done.stdout)
