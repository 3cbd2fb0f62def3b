"""Real Redis and PostgreSQL servers of the machine, started for a test on a free port with an empty folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import pytest
import sqlalchemy as sa

_END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class RedisServer:
    """A redis-server that keeps nothing on disk; started, killed, stopped and continued as often as a test likes."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [*command, "--dir", str(self._folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                return
        pytest.fail(f"redis-server ended: {''.join(said)}")

    def kill(self) -> None:
        """SIGKILL, as an out-of-memory killer would."""
        self._send(signal.SIGKILL)
        self._wait()

    def freeze(self) -> None:
        """Connections stay open, nothing is answered."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.terminate()
        self._wait()

    def _send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _wait(self) -> None:
        if self._process is None:
            return
        self._process.wait(90)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Running; a skip where there is none on this machine (a failure where REQUIRE_REDIS=1)."""
    program = shutil.which("redis-server")
    if program is None:
        _missing("redis-server is not installed (Debian: apt install redis-server)", "REQUIRE_REDIS")
    server = RedisServer(program, folder)
    server.start()
    try:
        yield server
    finally:
        server.close()


class PostgresServer:
    """A PostgreSQL cluster of its own, reached by TCP on this machine alone, without a password."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self.port = free_port()
        self._databases = 0
        self._shared = ""

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://dashboard@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        """The cluster's files; durability is left out, for speed: what is tested is not a power cut."""
        self._run("initdb", "-D", self._data, "-U", "dashboard", "-A", "trust", "-E", "UTF8", "--no-sync")
        lines = (
            f"port = {self.port}",
            "listen_addresses = '127.0.0.1'",
            f"unix_socket_directories = '{self._folder}'",
            "fsync = off",
            "shared_buffers = 16MB",
            "max_connections = 60",
        )
        with (self._folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write("\n".join(lines) + "\n")

    def start(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "30", "-l", str(self._folder / "log"), "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def new_database(self) -> str:
        """The address of an empty database."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._execute("postgres", f"CREATE DATABASE {name}")
        return f"postgresql://dashboard@127.0.0.1:{self.port}/{name}"

    def empty_database(self) -> str:
        """The address of the one database that tests share one after the other: without any table, and without anyone
        connected to it. Emptying takes a quarter of the time that a new one takes."""
        if not self._shared:
            self._shared = self.new_database()
        self._execute(
            self._shared.rpartition("/")[2], _END_SESSIONS, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public"
        )
        return self._shared

    def _execute(self, database: str, *statements: str) -> None:
        engine = sa.create_engine(self.url.replace("/postgres", f"/{database}"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        """As the user `postgres` where we are root: the server refuses to run as root."""
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(
            command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=400, check=False
        )
        if done.returncode:
            pytest.fail(f"{program} failed: {done.stdout}")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Running; a skip where there is none on this machine (a failure where REQUIRE_POSTGRES=1)."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found or (os.geteuid() == 0 and shutil.which("runuser") is None):
        _missing("PostgreSQL is not installed (Debian: apt install postgresql)", "REQUIRE_POSTGRES")
    with TemporaryDirectory(prefix="postgres-") as folder:  # not below pytest's, where only we may go
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        server = PostgresServer(found[-1], Path(folder))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")


def _missing(message: str, variable: str) -> NoReturn:
    if os.environ.get(variable) == "1":
        pytest.fail(message)
    pytest.skip(message)
