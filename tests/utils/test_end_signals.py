"""The end of a process that is asked to end, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

PROGRAM = """
import sys, threading
from utils.end_signals import EndSignals

def never_closes():
    threading.Event().wait()

EndSignals(within_s={within_s}).listen()
try:
    print("running", flush=True)
    threading.Event().wait()
finally:
    print("closing", flush=True)
    {closing}
    print("closed", flush=True)
"""


@contextmanager
def running(closing: str, within_s: float) -> Iterator[subprocess.Popen[str]]:
    program = [sys.executable, "-c", PROGRAM.format(closing=closing, within_s=within_s)]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert next_line(process) == "running"
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_what_never_closes_is_named_and_the_process_ends_all_the_same() -> None:
    with running("never_closes()", within_s=0.2) as process:
        process.send_signal(signal.SIGTERM)
        said, complaint = process.communicate(timeout=90)
        assert said == "closing\n"
        assert "never_closes" in complaint
        assert process.returncode == 1


def test_a_second_signal_does_not_break_off_the_closing_that_the_first_began() -> None:
    with running("sys.stdin.readline()", within_s=90) as process:
        process.send_signal(signal.SIGINT)
        assert next_line(process) == "closing"
        process.send_signal(signal.SIGTERM)
        said, complaint = process.communicate("go on\n", timeout=90)
        assert (said, complaint, process.returncode) == ("closed\n", "", 0)


@pytest.mark.parametrize(("ends", "code"), [("return 3", 3), ("sys.exit(2)", 2), ("sys.exit()", 0)])
def test_a_thread_that_never_ends_keeps_no_process_that_closed_all_it_opened(ends: str, code: int) -> None:
    program = f"""
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from utils.end_signals import leave_after

def main():
    begun = threading.Event()
    ThreadPoolExecutor(1).submit(lambda: (begun.set(), threading.Event().wait()))
    begun.wait()
    print("all of it is written")
    {ends}

leave_after(main)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=90)
    assert (run.returncode, run.stdout, run.stderr) == (code, "all of it is written\n", "")
