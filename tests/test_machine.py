import os
import platform

import pytest

from tfsupermask import _machine

INTEL = "processor\t: 0\nmodel name\t: Some CPU: 2.1 GHz \n\nmodel name\t: Another\n"


@pytest.mark.parametrize(
    ("cpuinfo", "told", "expected"),
    [
        (INTEL, "x86_64", "Some CPU: 2.1 GHz"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", "aarch64", "aarch64"),
        ("", "", "some_architecture"),
        (None, "arm", "arm"),
    ],
)
def test_processor_is_named_as_far_as_it_tells(
    monkeypatch, tmp_path, cpuinfo, told, expected
):
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    monkeypatch.setattr(_machine, "_CPUINFO", path)
    monkeypatch.setattr(platform, "processor", lambda: told)
    monkeypatch.setattr(platform, "machine", lambda: "some_architecture")
    assert _machine.processor() == expected


def test_only_cores_that_may_be_used_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 2, 7})
    assert _machine.num_cores() == 3
