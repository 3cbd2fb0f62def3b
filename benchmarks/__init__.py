"""Benchmarks: the only source of what is said here about speed. `python -m benchmarks [--short] [name …]`."""
