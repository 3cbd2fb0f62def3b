"""Deploy checks: whether there is room to write, and a free port, asked before anything is served."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from utils.errors import ConfigError
from utils.listener import listen

LEAST_BYTES = 50_000_000
"""Of free disk: below it a database cannot be trusted to write its next page."""
ENOUGH_BYTES = 1_000_000_000
"""A few hundred markets with their candles, forecasts, logs and models fit into it."""


def free_bytes(folder: Path) -> int:
    """What its disk has left for this user, once the folder is there and a file could be written into it.

    Raises ConfigError where that cannot be.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise ConfigError(unusable(folder, error)) from None


def unusable(folder: Path, error: OSError) -> str:
    """In words, with what to do."""
    told = f"the folder {folder} cannot be written to ({error.strerror})"
    return f"{told}; set INSTANCE_PATH to one that this user may write"


def port_problem(host: str, port: int) -> str:
    """Why nobody could listen there now; empty if it is free. Port 0 is any free one."""
    try:
        listen(host, port).close()
    except ConfigError as error:
        return str(error)
    return ""
