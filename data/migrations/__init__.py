"""Migrations: one revision for each change of a table that released databases have."""
