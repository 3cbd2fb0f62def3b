"""The rules of the house, read from the source: each check answers with one sentence per breach."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

STAIR = ("utils", "config", "data", "models", "trading", "startup_optimizer", "routes", "app")
SINGLE_FILES = ("app.py", "config.py", "startup_optimizer.py", "download_assets.py")
PACKAGES = ("utils", "data", "models", "trading", "routes")

NEVER_NAMES = {
    "utils": {"flask", "tensorflow", "keras"},
    "data": {"config", "flask", "tensorflow", "keras"},
    "models": {"flask", "binance", "requests", "aiohttp"},
    "startup_optimizer": {"flask"},
    "routes": {"binance", "tensorflow", "keras"},
}
MAY_NAME = {("utils/response_cache.py", "flask")}

HEAVY = {"tensorflow", "keras", "sklearn", "scipy", "pandas", "polars", "pyarrow", "ta"}
BINANCE_DOOR = "data/binance_library.py"
SQL_DOORS = {
    "data/alert_store.py",
    "data/candle_holes.py",
    "data/candle_rows.py",
    "data/candle_store.py",
    "data/candle_tables.py",
    "data/database.py",
    "data/engines.py",
    "data/many_rows.py",
    "data/migrations/versions/r0002_venues.py",
    "data/performance_store.py",
    "data/query_counts.py",
    "data/schema_version.py",
    "data/sqlite_file.py",
    "models/jobs.py",
    "models/ledger_calibrations.py",
    "models/ledger_many.py",
    "models/ledger_mixes.py",
    "models/ledger_models.py",
    "models/ledger_reading.py",
    "models/ledger_scoring.py",
    "models/ledger_tables.py",
    "models/ledger_writing.py",
    "models/result_store.py",
    "models/schedules.py",
}
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal"}
UNSAFE_CALLS = {"eval", "exec", "joblib.load", "yaml.load", "yaml.unsafe_load", "torch.load"}
WALL_CLOCK = {
    "time.time",
    "time.time_ns",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.date.today",
}

_INLINE = (
    (re.compile(r"<script(?![^>]*\bsrc\s*=)(?![^>]*type=\"application/json\")[^>]*>", re.I), "an inline script"),
    (re.compile(r"<style\b", re.I), "an inline style sheet"),
    (re.compile(r"<[^>]*\sstyle\s*=", re.I), "a style attribute"),
    (re.compile(r"<[^>]*\son[a-z]+\s*=", re.I), "an event attribute"),
    (re.compile(r"javascript:", re.I), "a javascript: address"),
    (re.compile(r"<[^>{}]*\s[\w-]+=\{\{"), "an unquoted attribute value"),
    (re.compile(r"\|\s*safe\b"), "a value that escapes escaping (|safe)"),
)


def source_files(root: Path) -> dict[str, ast.Module]:
    """The program's own files by their path from the root; tests and benchmarks are not the program."""
    paths = [root / name for name in SINGLE_FILES]
    paths += [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    return {path.relative_to(root).as_posix(): ast.parse(path.read_text("utf-8")) for path in paths if path.exists()}


def upward_imports(files: dict[str, ast.Module]) -> list[str]:
    """Under `if __name__ == "__main__"` a file is the program and may reach up: nobody below it can import that."""
    breaches = []
    for path, tree in files.items():
        floor = _floor(path)
        imported = [node for node in tree.body if not _is_program(node)]
        for name, line in _imports(imported, path, deep=True):
            there = _floor_of_module(name)
            if floor is not None and there is not None and there > floor:
                breaches.append(f"{path}:{line} on the step {STAIR[floor]} imports {name} from above")
    return breaches


def forbidden_names(files: dict[str, ast.Module]) -> list[str]:
    breaches = []
    for path, tree in files.items():
        never = NEVER_NAMES.get(path.split("/")[0].removesuffix(".py"), set())
        for name, line in _imports(tree.body, path, deep=True):
            top = name.split(".")[0]
            if top in never and (path, top) not in MAY_NAME:
                breaches.append(f"{path}:{line} imports {name}, which this place never names")
    return breaches


def _closed_door(top: str, path: str) -> str:
    """Where a library belongs that may not be imported in `path`; empty where it may."""
    if top == "binance" and path != BINANCE_DOOR:
        return f"the exchange client belongs into {BINANCE_DOOR}"
    if top == "onnxruntime" and path != "utils/onnx_library.py":
        return "ONNX Runtime belongs into utils/onnx_library.py"
    if top in ("sqlalchemy", "sqlite3") and path not in SQL_DOORS:
        return f"SQL belongs into {', '.join(sorted(SQL_DOORS))}"
    return ""


def doors(files: dict[str, ast.Module]) -> list[str]:
    """python-binance, ONNX Runtime, SQL, the environment and the wall clock each have their doors."""
    breaches = []
    for path, tree in files.items():
        for name, line in _imports(tree.body, path, deep=True):
            if door := _closed_door(name.split(".")[0], path):
                breaches.append(f"{path}:{line} imports {name}; {door}")
        for name, line in _dotted_names(tree):
            if name in ("os.environ", "os.getenv", "os.environb") and path != "config.py":
                breaches.append(f"{path}:{line} reads {name}; the environment belongs into config.py")
            if name in WALL_CLOCK and path != "utils/clock.py":
                breaches.append(f"{path}:{line} reads {name}; the wall clock belongs into utils/clock.py")
    return breaches


def unsafe_code(files: dict[str, ast.Module]) -> list[str]:
    """Nothing that turns bytes of a file into running code, and no debug server."""
    breaches = []
    for path, tree in files.items():
        breaches += [
            f"{path}:{line} imports {name}, which runs what it reads"
            for name, line in _imports(tree.body, path, deep=True)
            if name.split(".")[0] in UNSAFE_MODULES
        ]
        breaches += [f"{path}:{node.lineno} {problem}" for node, problem in _unsafe_calls(tree)]
    return breaches


def heavy_in_serving(files: dict[str, ast.Module], start: str = "app.py") -> list[str]:
    """Follows the imports made when a module is loaded, from the application on."""
    breaches, waiting, seen = [], [start], set()
    while waiting:
        path = waiting.pop()
        if path in seen or path not in files:
            continue
        seen.add(path)
        for name, line in _imports(files[path].body, path, deep=False):
            if name.split(".")[0] in HEAVY:
                breaches.append(f"{path}:{line} imports {name} while the serving process loads it")
            waiting += _own_files(name, files)
    return breaches


def inline_in_templates(root: Path) -> list[str]:
    """What the content security policy would refuse, or what lets a name break out of its attribute."""
    breaches = []
    for path in sorted((root / "templates").rglob("*.html")):
        text = re.sub(r"\{#.*?#\}|<!--.*?-->", "", path.read_text("utf-8"), flags=re.S)
        breaches += [
            f"templates/{path.relative_to(root / 'templates').as_posix()} holds {what}: {match.group(0)[:60]}"
            for pattern, what in _INLINE
            for match in pattern.finditer(text)
        ]
    return breaches


def _imports(body: list[ast.stmt], path: str, *, deep: bool) -> Iterator[tuple[str, int]]:
    """(module, line) of each import; `deep` also inside functions and `if TYPE_CHECKING`."""
    for node in _statements(body, deep=deep):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, path)
            yield base, node.lineno
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names if base in PACKAGES)


def _statements(body: list[ast.stmt], *, deep: bool) -> Iterator[ast.AST]:
    if deep:
        for statement in body:
            yield from ast.walk(statement)
        return
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop(0)
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or _is_type_checking(node)
            or _is_program(node)
        ):
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _is_program(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _absolute(node: ast.ImportFrom, path: str) -> str:
    if not node.level:
        return node.module or ""
    parents = path.split("/")[: -node.level]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _floor(path: str) -> int | None:
    return _floor_of_module(path.removesuffix(".py").replace("/", "."))


def _floor_of_module(name: str) -> int | None:
    top = name.split(".")[0]
    return STAIR.index(top) if top in STAIR else None


def _own_files(name: str, files: dict[str, ast.Module]) -> list[str]:
    base = name.replace(".", "/")
    parents = [f"{'/'.join(base.split('/')[:depth])}/__init__.py" for depth in range(1, base.count("/") + 2)]
    return [path for path in (f"{base}.py", *parents) if path in files]


def _dotted_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node), node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "time"):
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _unsafe_calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in UNSAFE_CALLS:
            yield node, f"calls {name}, which runs what it is given"
        for keyword in node.keywords:
            if keyword.arg in ("allow_pickle", "debug") and _is_true(keyword.value):
                yield node, f"passes {keyword.arg}=True to {name}"
            if keyword.arg == "shell" and _is_true(keyword.value):
                yield node, f"starts a shell through {name}"


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
