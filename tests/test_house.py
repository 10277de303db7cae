"""The house itself: imports point one way, files stay small, public functions are typed and documented."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path for room in ("search_spaces", "baselines", "nas") for path in (ROOT / room).rglob("*.py"))
FLOORS = {
    "search_spaces": 0, "baselines": 1, "nas.records": 2, "nas.files": 2, "nas.versions": 2, "nas.statistics": 3, "nas.data": 4,
    "nas.edits": 5, "nas.evaluation": 6, "nas.generator": 7, "nas.inquisitor": 7, "nas.engine": 8, "nas.report": 9, "nas.jobs": 10,
    "nas.cli_options": 11, "nas.cli_jobs": 12, "nas.cli_tools": 12, "nas.cli": 13, "nas.__main__": 14, "nas": 10,
}  # fmt: skip


def room(module):
    parts = module.split(".")
    return parts[0] if parts[0] != "nas" or len(parts) == 1 else ".".join(parts[:2])


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "nas":
                yield from (f"nas.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_imports_point_one_way():
    upward = []
    for path in FILES:
        here = room(module_of(path))
        for name in imported(path):
            there = room(name)
            if there not in FLOORS or there == here:
                continue
            if FLOORS[there] > FLOORS[here] or (
                FLOORS[there] == FLOORS[here] and there != here and here not in ("nas", "nas.cli")
            ):
                upward.append(f"{module_of(path)} imports {name}")
    assert upward == []


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_files_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def public_functions(tree):
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if isinstance(node, ast.FunctionDef):
                yield node
            else:
                yield from (m for m in node.body if isinstance(m, ast.FunctionDef) and not m.name.startswith("_"))


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_public_functions_are_typed(path):
    untyped = [
        function.name
        for function in public_functions(ast.parse(path.read_text(encoding="utf-8")))
        if function.returns is None
        or any(a.annotation is None for a in (*function.args.args, *function.args.kwonlyargs) if a.arg not in ("self", "cls"))
    ]
    assert untyped == []


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_modules_and_their_public_names_are_documented(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not tree.body:
        return
    assert ast.get_docstring(tree), "the module has no docstring"
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert bare == []
