"""One registry for every kind of plug-in: a decorator over a dictionary, filled by our files and by entry points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from threading import RLock
from types import ModuleType
from typing import Any, Generic, TypeVar

from search_spaces.errors import InputError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names mapped to plug-ins of one kind.

    Args:
        kind: what the entries are called in messages, for example ``"search space"``.
        entry_point_group: installed packages that declare this group are loaded on the first look-up.
        load_own: imports our own plug-in files; called once, before the first look-up, so that listing them stays lazy.
    """

    def __init__(self, kind: str, entry_point_group: str, load_own: Callable[[], object] | None = None) -> None:
        self.kind = kind
        self._group = entry_point_group
        self._load_own = load_own
        self._loaded = False
        self._loading = RLock()  # other threads wait until all is there; our own files may look one another up meanwhile
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds an entry; a name that is taken raises ``InputError``."""

        def add(entry: T) -> T:
            if name in self._entries and self._entries[name] is not entry:
                raise InputError(f"{self.kind} {name!r} is registered already; choose another name")
            self._entries[name] = entry
            return entry

        return add

    def names(self) -> list[str]:
        """All names in order of registration, ours first."""
        self._load()
        return list(self._entries)

    def get(self, name: str) -> T:
        """The entry called ``name``; an unknown name raises ``InputError`` with the list of known ones."""
        self._load()
        if name not in self._entries:
            raise InputError(f"unknown {self.kind} {name!r}; known: {', '.join(self._entries) or 'none'}")
        return self._entries[name]

    def items(self) -> Iterator[tuple[str, T]]:
        """Pairs of name and entry."""
        self._load()
        return iter(list(self._entries.items()))

    def _load(self) -> None:
        with self._loading:
            if self._loaded:
                return
            self._loaded = True  # before loading, for the look-ups of files that are being imported
            try:
                if self._load_own is not None:
                    self._load_own()
                for point in entry_points(group=self._group):
                    self._add(point.name, _import(point))
            except BaseException:
                self._loaded = False  # the next look-up says it again, rather than going on with what was loaded so far
                raise

    def _add(self, name: str, loaded: Any) -> None:
        """Add what an entry point names, unless importing it has registered it: a module, or an entry under its own name."""
        known = name in self._entries or any(entry is loaded for entry in self._entries.values())
        if not known and not isinstance(loaded, ModuleType):
            self._entries[name] = loaded


def _import(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:  # anyone's code
        package = point.dist.name if point.dist is not None else point.value
        raise InputError(
            f"the installed package {package!r} offers {point.group} {point.name!r} as {point.value}, whose import raised "
            f"{type(error).__name__} ({error}); mend that package, or uninstall it"
        ) from error
