"""Settings: sources in order, checks that say what fits, secrets masked, no dead field, documentation that is true."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

import config
from config import Settings, install_secret, load_settings, markdown, table
from utils.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]

DOCUMENTED = {
    "enable_model_caching": True,
    "enable_data_caching": True,
    "cache_ttl_seconds": 300,
    "max_cache_size": 100,
    "model_load_timeout": 30,
    "enable_model_preloading": True,
    "batch_size": 32,
    "max_workers": 4,
    "enable_memory_monitoring": True,
    "max_memory_usage_percent": 80,
    "enable_performance_logging": True,
    "log_level": "INFO",
}


def defaults() -> Settings:
    return load_settings({}, None)


def test_documented_names_have_their_documented_defaults() -> None:
    settings = defaults()
    assert {name: getattr(settings, name) for name in DOCUMENTED} == DOCUMENTED


def test_env_file_overrides_defaults_and_environment_overrides_both(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("BATCH_SIZE=8\nPORT=6000\n")
    settings = load_settings({"PORT": "7000"}, env_file)
    assert (settings.batch_size, settings.port) == (8, 7000)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        defaults().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "text", "fits"),
    [
        ("exchange", "kraken", "one of auto, binance, testnet, simulated"),
        ("port", "99999", "a whole number from 1 to 65535"),
        ("batch_size", "many", "a whole number from 1 to 4096"),
        ("simulated_speed", "nan", "a number from 0.1 to 100000"),
        ("enable_data_caching", "perhaps", "True or False"),
        ("symbols", "", "1 to 500 market names"),
        ("symbols", "BTC/USDT", "1 to 500 market names"),
        ("intervals", "1h,7m", "one or more of 1s"),
        ("binance_rest_url", "http://example.org", "http:// to 127.0.0.1 or localhost"),
        ("binance_rest_url", "https://user:pass@example.org", "https://host"),
        ("binance_stream_url", "https://example.org", "wss://host"),
        ("database_url", "mysql://x", "postgresql://"),
        ("dashboard_password", "short", "at least 10 characters"),
        ("simulated_start", "yesterday", "2024-05-01"),
        ("log_level", "LOUD", "one of DEBUG"),
    ],
)
def test_a_wrong_value_names_the_field_the_value_and_what_fits(name: str, text: str, fits: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(fits)) as caught:
        load_settings({}, None, **{name: text})
    assert name.upper() in str(caught.value)


def test_all_wrong_values_are_told_at_once_and_secrets_are_not_told() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({"PORT": "x", "BATCH_SIZE": "y", "DASHBOARD_PASSWORD": "hunter2"}, None)
    message = str(caught.value)
    assert "PORT is 'x'" in message
    assert "BATCH_SIZE is 'y'" in message
    assert "hunter2" not in message


def test_loopback_may_be_plain_and_elsewhere_must_be_encrypted() -> None:
    settings = load_settings(
        {}, None, binance_rest_url="http://127.0.0.1:8080/api/", binance_stream_url="wss://a.example"
    )
    assert settings.binance_rest_url == "http://127.0.0.1:8080/api"
    assert settings.binance_stream_url == "wss://a.example"


def test_the_table_names_every_setting_and_masks_secrets() -> None:
    settings = load_settings({}, None, binance_api_secret="canary-secret", dashboard_password="canary-password")
    text = table(settings)
    assert all(f.name.upper() in text for f in fields(Settings))
    assert "canary" not in text


def test_a_wrong_setting_stops_the_command_with_its_name() -> None:
    run = subprocess.run(
        [sys.executable, "config.py"], cwd=ROOT, env={"PORT": "zero"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "PORT is 'zero'" in run.stderr


def test_the_documentation_is_generated_from_the_fields() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == markdown()


def test_every_setting_is_read_somewhere() -> None:
    sources = [ROOT / "app.py", ROOT / "startup_optimizer.py", *sorted((ROOT / "routes").rglob("*.py"))]
    code = "\n".join(path.read_text() for path in sources) + Path(config.__file__).read_text()
    dead = [f.name for f in fields(Settings) if not re.search(rf"(settings|self)\.{f.name}\b", code)]
    assert not dead, f"settings that nothing reads: {dead}"


def test_the_install_secret_is_made_once_private_and_differs_between_installs(tmp_path: Path) -> None:
    here = load_settings({}, None, instance_path=str(tmp_path / "a"))
    there = load_settings({}, None, instance_path=str(tmp_path / "b"))
    first = install_secret(here)
    assert install_secret(here) == first
    assert install_secret(there) != first
    assert stat.S_IMODE((tmp_path / "a" / "secret_key").stat().st_mode) == 0o600
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["secret_key"]


def test_a_damaged_secret_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("short")
    with pytest.raises(ConfigError, match="delete it to make a new one"):
        install_secret(load_settings({}, None, instance_path=str(tmp_path)))
