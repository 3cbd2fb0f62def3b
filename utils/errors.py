"""The one tree of errors. Each class says what its reader should do.

DashboardError
├── InvalidInput               the asker changes the request                       400
├── NotFound                   the asker picks something that exists               404
├── NotReady                   the asker waits; the text says for what             503
├── TooManyRequests            the asker waits `retry_after_s`                     429
├── ConfigError                the operator changes a setting; the start stops     500
├── StoreError                 the operator looks at the disk or the database      503
│   ├── StoreUnreachable       the operator starts its server; a start waits       503
│   └── FileError              a file of ours, not the database: it says which     503
├── AssetError                 the operator runs download_assets.py again          500
├── ExchangeError              something between us and the exchange               502
│   ├── RateLimited            everyone waits `retry_after_s`                      503
│   ├── Banned                 everyone waits until `until_ms`                     503
│   ├── ExchangeUnavailable    a read may be tried again later                     503
│   ├── RegionRestricted       another host or the simulated exchange is needed    502
│   ├── Rejected               our request was wrong: (code, msg) says how         502
│   └── BadData                the answer is not what the exchange documents       502
└── ModelError                 a model cannot be used; the others go on            503
    ├── ModelNotFound          the asker picks a model that exists                 404
    ├── ModelCorrupt           the operator restores or retrains the model         503
    ├── ModelLoadTimeout       the asker tries again; the operator looks at load   503
    └── SchemaMismatch         the model wants features that this version lacks    503
"""

from __future__ import annotations


class DashboardError(Exception):
    """Anything this software raises on purpose."""


class InvalidInput(DashboardError):
    """What was asked cannot be understood; the text says what was given and what fits."""


class NotFound(DashboardError):
    """What was asked for does not exist; the text says what does."""


class NotReady(DashboardError):
    """Nothing is known yet; the text says what is being waited for."""

    def __init__(self, message: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyRequests(DashboardError):
    """One address asks more often than it may."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConfigError(DashboardError):
    """A setting is wrong; the text names the field, the value and what fits."""


class StoreError(DashboardError):
    """The database cannot be read or written."""


class StoreUnreachable(StoreError):
    """The database's server is not there at the moment; the same question may be answered later."""


class FileError(StoreError):
    """A file beside the database cannot be written, read or removed; the text says which, and why."""


class AssetError(DashboardError):
    """A downloaded file is not the one that was pinned."""


class ExchangeError(DashboardError):
    """Anything between us and the exchange."""


class RateLimited(ExchangeError):
    """The exchange asks everyone here to wait `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Banned(ExchangeError):
    """The exchange refuses this address until `until_ms` (exchange time, UTC milliseconds)."""

    def __init__(self, message: str, *, until_ms: int) -> None:
        super().__init__(message)
        self.until_ms = until_ms


class ExchangeUnavailable(ExchangeError):
    """No usable answer: refused, unresolved, timed out, or a server-side failure. Reads may be tried again."""


class RegionRestricted(ExchangeError):
    """The exchange does not serve this region from this host (HTTP 451)."""


class Rejected(ExchangeError):
    """The exchange understood and refused the request, with its own `code` and `msg`."""

    def __init__(self, message: str, *, code: int, msg: str) -> None:
        super().__init__(message)
        self.code = code
        self.msg = msg


class BadData(ExchangeError):
    """The answer is not what the exchange documents; it was thrown away."""


class ModelError(DashboardError):
    """A model cannot be used; the others go on."""


class ModelNotFound(ModelError):
    """No model of that id; the text lists those that exist."""


class ModelCorrupt(ModelError):
    """A model's files are not those its manifest names."""


class ModelLoadTimeout(ModelError):
    """Another thread's load of the model did not end within MODEL_LOAD_TIMEOUT."""


class SchemaMismatch(ModelError):
    """The model was trained on features that this version does not compute."""


STATUS: dict[type[DashboardError], int] = {
    DashboardError: 500,
    InvalidInput: 400,
    NotFound: 404,
    NotReady: 503,
    TooManyRequests: 429,
    ConfigError: 500,
    StoreError: 503,
    StoreUnreachable: 503,
    FileError: 503,
    AssetError: 500,
    ExchangeError: 502,
    RateLimited: 503,
    Banned: 503,
    ExchangeUnavailable: 503,
    RegionRestricted: 502,
    Rejected: 502,
    BadData: 502,
    ModelError: 503,
    ModelNotFound: 404,
    ModelCorrupt: 503,
    ModelLoadTimeout: 503,
    SchemaMismatch: 503,
}
"""The HTTP status of each class; a test holds it complete."""
