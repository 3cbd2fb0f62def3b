"""Errors of the simulated exchange: the exact codes, messages and statuses that Binance answers with."""

from __future__ import annotations


class ApiError(Exception):
    """A refusal as the exchange words it."""

    def __init__(self, status: int, code: int, msg: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(msg)
        self.status = status
        self.code = code
        self.msg = msg
        self.headers = headers or {}


INTEGER = "^[0-9]{1,20}$"
SYMBOL = "^[A-Z0-9-_.]{1,20}$"
SYMBOLS = r'^\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\]$'


def illegal_characters(name: str, legal: str) -> ApiError:
    return ApiError(400, -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def duplicate_parameter() -> ApiError:
    return ApiError(400, -1101, "Duplicate values for a parameter detected.")


def missing(name: str) -> ApiError:
    return ApiError(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def unread(read: int, sent: int) -> ApiError:
    return ApiError(400, -1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.")


def empty(name: str) -> ApiError:
    return ApiError(400, -1105, f"Parameter '{name}' was empty.")


def invalid_interval() -> ApiError:
    return ApiError(400, -1120, "Invalid interval.")


def invalid_symbol() -> ApiError:
    return ApiError(400, -1121, "Invalid symbol.")


def invalid_symbol_status() -> ApiError:
    return ApiError(400, -1122, "Invalid symbolStatus.")


def invalid_combination() -> ApiError:
    return ApiError(400, -1128, "Combination of optional parameters invalid.")


def invalid_data(name: str) -> ApiError:
    return ApiError(400, -1130, f"Data sent for parameter '{name}' is not valid.")


def repeated_symbol() -> ApiError:
    return ApiError(400, -1151, "Symbol is present multiple times in the list.")


def status_mismatch() -> ApiError:
    return ApiError(400, -1220, "The symbol's status does not match the requested symbolStatus.")


def too_much_weight(limit: int, retry_after_s: int) -> ApiError:
    msg = (
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    return ApiError(429, -1003, msg, {"Retry-After": str(retry_after_s)})


def too_many_requests(limit: int, retry_after_s: int) -> ApiError:
    msg = (
        f"Too many requests; current limit is {limit} requests per 5 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    return ApiError(429, -1003, msg, {"Retry-After": str(retry_after_s)})


def banned(until_ms: int, retry_after_s: int) -> ApiError:
    msg = (
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return ApiError(418, -1003, msg, {"Retry-After": str(retry_after_s)})
