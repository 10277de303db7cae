"""torchvision imports whether or not its compiled operators load, and nothing that exists is declared over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from baselines.torchvision_import import declare_missing_operators, extension_loads, import_torchvision, operator_known


def test_it_imports_and_builds() -> None:
    assert import_torchvision().models.squeezenet1_0 is not None
    assert import_torchvision() is sys.modules["torchvision"]


def test_operators_that_are_known_are_not_declared_again() -> None:
    import_torchvision()
    assert operator_known("nms")
    assert "nms" not in declare_missing_operators()  # a release whose extension loads may lack qnms
    assert declare_missing_operators() == []


def test_a_folder_without_an_extension_loads_none(tmp_path: Path) -> None:
    assert not extension_loads(tmp_path)
    (tmp_path / "_C.so").write_bytes(b"no library")
    assert not extension_loads(tmp_path)


def test_importing_the_list_of_baselines_imports_neither_torchvision_nor_torch() -> None:
    code = "import sys, baselines; assert not {'torch', 'torchvision'} & set(sys.modules), 'heavy import'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_schema_alone_has_no_implementation() -> None:
    import_torchvision()
    assert hasattr(torch.ops.torchvision, "qnms")
