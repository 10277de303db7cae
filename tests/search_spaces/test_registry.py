"""Plug-ins of installed packages, and look-ups from several threads."""

import importlib
import sys
import threading
import time

import pytest

from search_spaces.errors import InputError
from search_spaces.registry import Registry

MODULE = """
from registry_of_this_test import plugins

@plugins.register("own-name")
class Plugin:
    pass
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """An empty registry, beside an installed package without entry points as yet."""
    registry = Registry("plug-in", "pepx_nas.of_this_test")
    monkeypatch.setitem(sys.modules, "registry_of_this_test", type(sys)("registry_of_this_test"))
    sys.modules["registry_of_this_test"].plugins = registry
    monkeypatch.delitem(sys.modules, "ward_plugins", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ward_plugins.py").write_text(MODULE)
    return registry


def install(tmp_path, entry):
    folder = tmp_path / "ward_tools-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: ward-tools\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[pepx_nas.of_this_test]\n{entry}\n")
    importlib.invalidate_caches()


@pytest.mark.parametrize(
    "entry",
    ["own-name = ward_plugins", "ward = ward_plugins", "ward = ward_plugins:Plugin", "own-name = ward_plugins:Plugin"],
)
def test_what_an_entry_point_names_is_there_once_under_the_name_that_it_registers(plugins, tmp_path, entry):
    install(tmp_path, entry)
    assert [(name, found.__name__) for name, found in plugins.items()] == [("own-name", "Plugin")]


def test_what_registers_nothing_goes_by_its_entry_points_name(plugins, tmp_path):
    (tmp_path / "ward_plugins.py").write_text("def factory(): ...")
    install(tmp_path, "ward = ward_plugins:factory")
    assert plugins.names() == ["ward"]


def test_a_package_that_cannot_be_imported_is_named_each_time(plugins, tmp_path):
    install(tmp_path, "ward = ward_plugins_gone")
    for _ in range(2):
        with pytest.raises(InputError, match=r"package 'ward-tools' offers pepx_nas.of_this_test 'ward'.*ModuleNotFoundError"):
            plugins.names()


def test_a_thread_that_looks_something_up_waits_for_another_that_loads():
    begun, found = threading.Event(), []

    def load():
        begun.set()
        time.sleep(0.2)
        registry.register("late")(object())

    registry = Registry("plug-in", "pepx_nas.of_this_test", load)
    threads = [threading.Thread(target=lambda: found.append(registry.names())) for _ in range(2)]
    threads[0].start()
    begun.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert found == [["late"], ["late"]]
