"""Wiring: how every part is built from the settings, started, and ended. What `app.py` puts into an application."""
