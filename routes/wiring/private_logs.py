"""Private logs: where this process writes them, and what no line of them may hold."""

from __future__ import annotations

from pathlib import Path

from config import Settings
from routes.wiring.parts import Worker
from utils.alert_delivery import secrets_in


def log_folder(settings: Settings, worker: Worker | None) -> Path:
    """Each worker writes and rotates files of its own."""
    return settings.instance_path / "logs" / (f"worker-{worker.number}" if worker else "")


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every secret among the settings, those inside alert addresses too; empty ones are left out."""
    found = (
        settings.binance_api_key,
        settings.binance_api_secret,
        settings.dashboard_password,
        settings.secret_key,
        settings.redis_url,
        settings.metrics_token,
        *(part for url in settings.alert_targets for part in secrets_in(url)),
    )
    return tuple(filter(None, found))
