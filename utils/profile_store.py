"""ProfileStore: recorded profiles as files in one folder, bounded in number and bytes, and their owner's alone."""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from utils.errors import FileError, NotFound
from utils.profile import Profile, from_bytes, title_in, to_bytes

MOST_PROFILES = 20
MOST_BYTES = 20 * 1024 * 1024
_SUFFIX = ".json.gz"
_HEAD_BYTES = 1024
_ID = re.compile(r"\d{13}-(process|request|memory)")


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """One file; `id` is its name: when it was recorded, and what of."""

    id: str
    at_ms: int
    kind: str
    size_bytes: int
    title: str


class ProfileStore:
    """Safe for threads. The folder is made when the first profile is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def keep(self, profile: Profile) -> str:
        """Writes it, whole or not at all, and drops the oldest where there are too many; its id. FileError."""
        content = to_bytes(profile)
        if len(content) > MOST_BYTES:
            raise FileError(f"the profile has {len(content):,} bytes, and {MOST_BYTES:,} may be kept; record less")
        with self._lock:
            at_ms = profile.at_ms
            while self._path(name := f"{at_ms:013d}-{profile.kind}").exists():
                at_ms += 1
            try:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._write(self._path(name), content)
                self._drop_oldest()
            except OSError as error:
                raise _unusable("written", error) from error
        return name

    def stored(self) -> tuple[StoredProfile, ...]:
        """Newest first."""
        if not self._folder.is_dir():
            return ()
        found = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            name = path.name.removesuffix(_SUFFIX)
            if _ID.fullmatch(name):
                at_ms, _, kind = name.partition("-")
                with suppress(FileNotFoundError), path.open("rb") as file:  # another process may delete it just now
                    title = title_in(file.read(_HEAD_BYTES))
                    found.append(StoredProfile(name, int(at_ms), kind, path.stat().st_size, title))
        return tuple(sorted(found, key=lambda one: one.id, reverse=True))

    def load(self, name: str) -> Profile:
        """NotFound, or FileError where it cannot be read or is damaged."""
        try:
            return from_bytes(self._known(name).read_bytes())
        except FileNotFoundError:
            raise NotFound(f"there is no profile {name!r}; it may have been deleted, or made room for others") from None
        except OSError as error:
            raise _unusable("read", error) from error

    def delete(self, name: str) -> None:
        """NotFound where there is none, FileError where the disk does not let it go."""
        try:
            self._known(name).unlink()
        except FileNotFoundError:
            raise NotFound(f"there is no profile {name!r} any more") from None
        except OSError as error:
            raise _unusable("deleted", error) from error

    def _known(self, name: str) -> Path:
        if not _ID.fullmatch(name):
            raise NotFound(f"{name[:40]!r} is no profile; their names look like 1767225600000-process")
        return self._path(name)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    def _write(self, path: Path, content: bytes) -> None:
        draft = path.with_suffix(".new")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
            draft.replace(path)
        finally:
            with suppress(OSError):  # a full disk must not fill further with what did not fit
                draft.unlink(missing_ok=True)

    def _drop_oldest(self) -> None:
        size_bytes = 0
        for place, one in enumerate(self.stored()):
            size_bytes += one.size_bytes
            if place >= MOST_PROFILES or (place and size_bytes > MOST_BYTES):
                self._path(one.id).unlink(missing_ok=True)


def _unusable(what: str, error: OSError) -> FileError:
    return FileError(f"the profile could not be {what} ({error.strerror}); look at the disk")
