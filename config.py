"""Settings: one frozen value from defaults, `.env` and the environment, each field checked and explained.

`python config.py` prints the table (secrets masked); `python config.py --markdown` prints docs/configuration.md.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from dotenv import dotenv_values

from utils.errors import ConfigError
from utils.kinds import (
    Kind,
    asset_base,
    at_least,
    choice,
    dask_address,
    database,
    date_or_nothing,
    loopback_or_secure,
    names,
    number,
    place,
    place_or_nothing,
    redis_address,
    switch,
    whole,
    words,
)

_MASK = "••••••••"
_INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
_DEFAULT_SYMBOLS = (
    "BTCUSDT,ETHUSDT,BNBUSDT,SOLUSDT,XRPUSDT,ADAUSDT,DOGEUSDT,TRXUSDT,LINKUSDT,LTCUSDT,"
    "AVAXUSDT,DOTUSDT,BCHUSDT,NEARUSDT,UNIUSDT,ATOMUSDT,XLMUSDT,ETCUSDT,FILUSDT,APTUSDT"
)


def setting(default: str, kind: Kind, help_text: str, *, group: str, secret: bool = False) -> Any:
    metadata = {"text": default, "kind": kind, "help": help_text, "group": group, "secret": secret}
    return field(metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, by its environment name in lower case."""

    # caches and models
    enable_model_caching: bool = setting(
        "True", switch(), "Keep loaded model sessions in memory between forecasts.", group="Caches and models"
    )
    enable_data_caching: bool = setting(
        "True",
        switch(),
        "Keep candles, indicators and pages in memory; off asks again each time.",
        group="Caches and models",
    )
    cache_ttl_seconds: int = setting(
        "300", whole(1, 86_400), "How long cached data without an expiry of its own is good.", group="Caches and models"
    )
    max_cache_size: int = setting(
        "100",
        whole(1, 100_000),
        "Entries kept per cache; the data cache never keeps fewer than the tracked markets need.",
        group="Caches and models",
    )
    max_cache_mb: int = setting(
        "64", whole(1, 65_536), "Megabytes kept per data or page cache.", group="Caches and models"
    )
    model_load_timeout: int = setting(
        "30", whole(1, 600), "Seconds to wait for another thread's load of the same model.", group="Caches and models"
    )
    enable_model_preloading: bool = setting(
        "True", switch(), "Load every model in the background at start.", group="Caches and models"
    )
    batch_size: int = setting("32", whole(1, 4_096), "Windows per model call.", group="Caches and models")
    max_workers: int = setting("4", whole(1, 64), "Threads that make answers.", group="Caches and models")
    server: str = setting(
        "auto",
        choice("auto", "granian", "waitress"),
        "What answers HTTP: granian, several times faster, or waitress, pure Python; auto: granian but for Windows.",
        group="Caches and models",
    )
    max_training_jobs: int = setting(
        "1", whole(1, 16), "Trainings that run at the same time; further ones wait.", group="Caches and models"
    )
    dask_scheduler: str = setting(
        "",
        dask_address(),
        "Dask cluster for folds, markets and searches; nothing: the processors of this machine.",
        group="Caches and models",
    )
    models_path: Path = setting("saved_models", place(), "Folder of the trained models.", group="Caches and models")

    # performance
    enable_memory_monitoring: bool = setting(
        "True", switch(), "Watch memory in the background and trim the caches when it is short.", group="Performance"
    )
    max_memory_usage_percent: int = setting(
        "80", whole(1, 100), "System memory in use above which the caches are trimmed.", group="Performance"
    )
    max_rss_mb: int = setting(
        "0",
        whole(0, 1_048_576),
        "Memory of this process (MB of 10⁶ bytes) above which the caches are trimmed too; 0: no limit of its own.",
        group="Performance",
    )
    enable_compression_dictionaries: bool = setting(
        "True",
        switch(),
        "Send a browser that kept an earlier answer only what differs from it (Chromium; needs https or this machine).",
        group="Performance",
    )
    enable_performance_logging: bool = setting(
        "True", switch(), "Time every route and write the access log.", group="Performance"
    )
    log_level: str = setting(
        "INFO",
        choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        "Least severe message logged.",
        group="Performance",
    )

    # exchange
    exchange: str = setting(
        "auto",
        choice("auto", "binance", "testnet", "simulated"),
        "Where candles come from; auto: Binance if it answers in 2 s, else the simulated exchange.",
        group="Exchange",
    )
    binance_rest_url: str = setting(
        "", loopback_or_secure("http", "https"), "Another REST host, for a mirror or a test server.", group="Exchange"
    )
    binance_stream_url: str = setting(
        "", loopback_or_secure("ws", "wss"), "Another stream host, for a mirror or a test server.", group="Exchange"
    )
    binance_api_key: str = setting("", words(), "Optional: market data needs no key.", group="Exchange", secret=True)
    binance_api_secret: str = setting(
        "", words(), "Optional: market data needs no secret.", group="Exchange", secret=True
    )
    exchange_deadline_seconds: float = setting(
        "10", number(0.1, 120), "Total time one call to the exchange may take.", group="Exchange"
    )
    simulated_replay_path: Path | None = setting(
        "", place_or_nothing(), "Folder of Parquet klines that the simulated exchange replays.", group="Exchange"
    )
    simulated_start: str = setting(
        "",
        date_or_nothing(),
        "Date on which the simulated exchange's clock starts; nothing: its own choice.",
        group="Exchange",
    )
    simulated_speed: float = setting(
        "1", number(0.1, 100_000), "How many times faster than real time the simulated exchange runs.", group="Exchange"
    )
    simulated_seed: int = setting(
        "1", whole(0, 2**31), "Seed of the simulated exchange's invented market.", group="Exchange"
    )

    # market
    symbols: tuple[str, ...] = setting(
        _DEFAULT_SYMBOLS,
        names(
            "1 to 500 market names separated by commas, such as BTCUSDT,ETHUSDT",
            lambda name: len(name) <= 20 and name.isalnum() and name == name.upper(),
            most=500,
        ),
        "Markets that are followed.",
        group="Market",
    )
    intervals: tuple[str, ...] = setting(
        "1h,15m",
        names("one or more of " + ", ".join(_INTERVALS), lambda name: name in _INTERVALS, most=16),
        "Candle lengths that are followed; the first is the one shown first.",
        group="Market",
    )
    history_candles: int = setting(
        "1000", whole(100, 5_000), "Closed candles kept in memory per market and interval.", group="Market"
    )

    trading_fee_bps: float = setting(
        "10",
        number(0, 500),
        "Fee of one trade in basis points, against which a forecast's move is held.",
        group="Market",
    )
    spread_bps: float = setting(
        "2", number(0, 500), "Half the bid-ask spread crossed by one trade, in basis points.", group="Market"
    )

    # storage
    instance_path: Path = setting("instance", place(), "Folder of database, secret and logs.", group="Storage")
    database_url: str = setting(
        "",
        database(),
        "Database of candles and forecasts; nothing: SQLite in the instance folder.",
        group="Storage",
        secret=True,
    )

    redis_url: str = setting(
        "",
        redis_address(),
        "Cache shared by several processes; nothing: each process for itself.",
        group="Storage",
        secret=True,
    )

    # alerts and metrics
    alert_targets: tuple[str, ...] = setting(
        "",
        names(
            "nothing, or up to 20 Apprise addresses separated by commas, such as jsons://host/path or tgram://token/chat",
            lambda text: text.partition("://")[0].isalnum() and bool(text.partition("://")[2]),
            most=20,
            may_be_empty=True,
        ),
        "Where alerts are sent, beside the page that shows them.",
        group="Alerts and metrics",
        secret=True,
    )
    metrics_token: str = setting(
        "",
        at_least(16),
        "Asked of Prometheus at /metrics as a bearer token when set; needed there where a password is set.",
        group="Alerts and metrics",
        secret=True,
    )

    # web
    host: str = setting("127.0.0.1", words("a host name or address"), "Address to serve on.", group="Web")
    port: int = setting("5000", whole(1, 65_535), "Port to serve on.", group="Web")
    workers: int = setting(
        "1",
        whole(1, 16),
        "Processes that answer requests; one of them has the feed. More than one needs a Unix.",
        group="Web",
    )
    asset_base_url: str = setting(
        "",
        asset_base(),
        "Where styles and scripts lie, if not here: a CDN in front of this dashboard's /assets.",
        group="Web",
    )
    rate_limit_per_second: int = setting(
        "100",
        whole(0, 1_000_000),
        "Requests a second that one address may make to each route, ten times as many at once; 0: any number. Stored "
        "answers, and reading from this machine itself, are not counted.",
        group="Web",
    )
    rate_limit_dear_per_minute: int = setting(
        "60",
        whole(0, 1_000_000),
        "Requests a minute that one address may make to each dear route (trainings, checks, searches, models' exports, "
        "profiles); 0: any number.",
        group="Web",
    )
    trusted_hosts: tuple[str, ...] = setting(
        "127.0.0.1,localhost,[::1]",
        names("host names separated by commas", lambda name: not set(name) & set("/ @"), most=50),
        "Host names under which browsers may ask; any other is refused.",
        group="Web",
    )
    dashboard_password: str = setting(
        "",
        at_least(10),
        "Asked of every visitor when set; needed to serve on any address but this machine's own.",
        group="Web",
        secret=True,
    )
    secret_key: str = setting(
        "",
        at_least(32),
        "Signs sessions; nothing: made once per install and kept in the instance folder.",
        group="Web",
        secret=True,
    )

    @property
    def database_address(self) -> str:
        """The database URL with its default filled in."""
        return self.database_url or f"sqlite:///{self.instance_path / 'dashboard.db'}"


def load_settings(
    environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env"), **overrides: str
) -> Settings:
    """Defaults, overridden by `env_file`, by `environ` (the process's own when None), by `overrides` (for tests).

    Raises ConfigError naming every field that does not fit, its value and what fits.
    """
    texts: dict[str, str] = {f.name: f.metadata["text"] for f in fields(Settings)}
    sources: list[Mapping[str, str | None]] = [dotenv_values(env_file) if env_file else {}]
    sources.append(os.environ if environ is None else environ)
    sources.append({name.upper(): text for name, text in overrides.items()})
    for source in sources:
        texts |= {name: cast(str, source[name.upper()]) for name in texts if source.get(name.upper()) is not None}
    unknown = {name for name in overrides if name not in texts}
    if unknown:
        raise ConfigError(f"no such setting: {', '.join(sorted(unknown))}")
    return _parse_all(texts)


def _parse_all(texts: Mapping[str, str]) -> Settings:
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for f in fields(Settings):
        try:
            values[f.name] = f.metadata["kind"].parse(texts[f.name].strip())
        except ValueError:
            shown = _MASK if f.metadata["secret"] else repr(texts[f.name])
            wrong.append(f"{f.name.upper()} is {shown}; it takes {f.metadata['kind'].fits}")
    if wrong:
        raise ConfigError("wrong settings:\n  " + "\n  ".join(wrong))
    return Settings(**values)


def install_secret(settings: Settings) -> str:
    """The key that signs sessions: the setting, or one made once per install and readable by its owner alone."""
    if settings.secret_key:
        return settings.secret_key
    path = settings.instance_path / "secret_key"
    settings.instance_path.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write_secret(path)
    return _stored_secret(path)


def _write_secret(path: Path) -> None:
    # Linked into place whole, so that of two starting processes neither reads half a secret.
    draft = path.with_name(f"secret_key.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


def _stored_secret(path: Path) -> str:
    path.chmod(0o600)
    text = path.read_text().strip()
    if len(text) < 32:
        raise ConfigError(f"{path} is damaged (it holds {len(text)} characters, not 64); delete it to make a new one")
    return text


def _shown(f: Field[Any], value: object) -> str:
    if f.metadata["secret"] and value:
        return _MASK
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)


def table(settings: Settings) -> str:
    """Every setting with its value and help, secrets masked."""
    rows = [(f.name.upper(), _shown(f, getattr(settings, f.name)), f.metadata["help"]) for f in fields(Settings)]
    width = max(len(name) for name, _, _ in rows)
    return "\n".join(f"{name:<{width}}  {value or '(nothing)':<24}  {text}" for name, value, text in rows)


def markdown() -> str:
    """docs/configuration.md, generated so that it cannot be wrong."""
    lines = [
        "# Configuration",
        "",
        "Defaults, overridden by `.env` in the folder from which it is started, overridden by the environment.",
        "`python config.py` shows what is in force.",
        "This page is generated: `python config.py --markdown > docs/configuration.md`.",
    ]
    group = ""
    for f in fields(Settings):
        if f.metadata["group"] != group:
            group = f.metadata["group"]
            lines += [
                "",
                f"## {group}",
                "",
                "| setting | default | takes | what it does |",
                "| --- | --- | --- | --- |",
            ]
        default = f"`{f.metadata['text']}`" if f.metadata["text"] else "(nothing)"
        kind: Kind = f.metadata["kind"]
        lines.append(f"| `{f.name.upper()}` | {default} | {kind.fits} | {f.metadata['help']} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    if arguments == ["--markdown"]:
        sys.stdout.write(markdown())
        return 0
    try:
        sys.stdout.write(table(load_settings()) + "\n")
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
