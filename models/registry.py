"""Registry: the models in a folder, each verified against its manifest; a broken one is listed with its reason."""

from __future__ import annotations

import os
from pathlib import Path

from data.interval import Interval
from models.in_use import FILE as IN_USE_FILE
from models.in_use import Choice, read_choices
from models.one_look import seen
from models.registry_entry import RegistryEntry, Status, fits, read_entry
from utils.errors import ModelCorrupt, ModelNotFound


class Registry:
    """Reads `path` on demand; files are hashed again only when their name, size or time changed. Runs nothing in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, tuple[object, RegistryEntry]] = {}
        self._choices: tuple[object, dict[Interval, Choice]] = (None, {})

    def all(self) -> tuple[RegistryEntry, ...]:
        """Every entry by name; an absent folder is an empty registry."""
        return seen(("registry", self.path), self._look)

    def _look(self) -> tuple[RegistryEntry, ...]:
        try:
            names = sorted(entry.name for entry in os.scandir(self.path) if not entry.name.startswith((".", "README")))
        except FileNotFoundError:
            names = []
        known = {name: self._entry(name) for name in names}
        self._known = known
        return tuple(entry for _, entry in known.values())

    def usable(self) -> tuple[RegistryEntry, ...]:
        return tuple(entry for entry in self.all() if entry.status is Status.OK)

    def get(self, model_id: str) -> RegistryEntry:
        """Raises ModelNotFound (naming what exists) or, for a broken one, ModelCorrupt with its reason."""
        entries = {entry.id: entry for entry in self.all() if entry.status is not Status.UNSUPPORTED}
        entry = entries.get(model_id)
        if entry is None:
            known = ", ".join(entries) or "none"
            raise ModelNotFound(f"there is no model {model_id[:70]!r}; known: {known}")
        if entry.status is not Status.OK:
            raise ModelCorrupt(f"model {model_id!r} cannot be used: {entry.reason}")
        return entry

    def default(self, interval: Interval) -> RegistryEntry | None:
        """The model chosen for that interval, or where none was (or it cannot be used) the newest usable one.

        An ensemble may have been chosen instead (models.champions). Only models that serve any market count; None if
        there is none.
        """
        fitting = [entry for entry in self.usable() if fits(entry, interval)]
        choice = self.choices().get(interval)
        chosen = next((entry for entry in fitting if choice is not None and entry.id == choice.model), None)
        return chosen or max(
            fitting, key=lambda entry: (entry.spec.created_ms if entry.spec else 0, entry.id), default=None
        )

    def choices(self) -> dict[Interval, Choice]:
        """Which models were chosen to serve; read again only when the file changed."""
        return seen(("choices", self.path), self._chosen)

    def _chosen(self) -> dict[Interval, Choice]:
        signature = file_signature(self.path / IN_USE_FILE)
        if signature != self._choices[0]:
            self._choices = (signature, read_choices(self.path))
        return self._choices[1]

    def _entry(self, name: str) -> tuple[object, RegistryEntry]:
        path = self.path / name
        signature = _signature(path)
        known = self._known.get(name)
        if known is not None and known[0] == signature:
            return known
        return signature, read_entry(path)


def _signature(path: Path) -> object:
    """Changes when any file of the entry does."""
    try:
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_mtime_ns
        return tuple(
            sorted((file.name, file.stat().st_mtime_ns, file.stat().st_size, file.inode()) for file in os.scandir(path))
        )
    except OSError:
        return object()


def file_signature(path: Path) -> object:
    """Changes when the file is replaced, even within one tick of the clock that dates files."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
