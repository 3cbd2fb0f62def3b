"""Flame graph: a profile's stacks as boxes, each as wide as its weight, below the one that called it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from routes import wording
from utils.errors import InvalidInput
from utils.profile import Profile

ROW_HEIGHT = 20
_THINNEST = 0.0015
"""Boxes narrower than this part of the whole are left out; zooming in shows them."""
_DEEPEST = 80
_ROOT = "all of it"
_OURS = ("routes/", "models/", "data/", "utils/", "app.py", "startup_optimizer.py")
_PYTHON = ("python/", "<")


@dataclass(slots=True)
class Node:
    """A call, and those made from it. `id` numbers the tree from the root on, children by weight."""

    name: str
    weight: float = 0.0
    id: int = 0
    children: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Box:
    """One box: `x` and `width` in percent of the graph, `y` in pixels; `look` is whose code it is."""

    id: int
    name: str
    look: str
    x: str
    y: int
    width: str
    title: str


@dataclass(frozen=True, slots=True)
class Flame:
    """`focus` is the id of the box that is as wide as the graph, 0 for all of it."""

    boxes: tuple[Box, ...]
    height: int
    focus: int


def flame(profile: Profile, focus: int) -> Flame:
    """The graph with the box `focus` as wide as it goes. InvalidInput where no box has that id."""
    root = tree(profile)
    path = _path_to(root, focus)
    if not path:
        last = max(node.id for node in _in_order(root))
        raise InvalidInput(f"at is {focus}; this profile's boxes are numbered from 0, which is all of it, to {last}")
    whole = path[-1].weight or 1.0
    above = [_box(profile, node, root.weight, 0.0, 1.0, depth) for depth, node in enumerate(path[:-1])]
    below = list(_boxes(profile, path[-1], root.weight, whole, 0.0, len(above)))
    boxes = (*above, *below)
    height = ROW_HEIGHT * (1 + max((box.y for box in boxes), default=0) // ROW_HEIGHT)
    return Flame(boxes, height, path[-1].id)


def tree(profile: Profile) -> Node:
    """All stacks in one tree, numbered."""
    root = Node(_ROOT)
    for stack, weight in profile.stacks.items():
        root.weight += weight
        node = root
        for name in stack:
            node = node.children.setdefault(name, Node(name))
            node.weight += weight
    for number, node in enumerate(_in_order(root)):
        node.id = number
    return root


def amount(profile: Profile, weight: float) -> str:
    """Bytes for memory, else a duration."""
    return wording.size(weight) if profile.kind == "memory" else wording.milliseconds(weight * 1000)


def look(name: str) -> str:
    """Whose code that is: ours, library, python, or the thread itself."""
    if name.startswith("thread ") or name == _ROOT:
        return "thread"
    file = name.rpartition(" ")[2]
    return "ours" if file.startswith(_OURS) else "python" if file.startswith(_PYTHON) else "library"


def _in_order(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(_sorted(node)))


def _sorted(node: Node) -> list[Node]:
    return sorted(node.children.values(), key=lambda child: (-child.weight, child.name))


def _path_to(node: Node, focus: int) -> list[Node]:
    """From the root to the node of that id, empty where there is none. Ids grow from the root on: one child has it."""
    path = [node]
    while node.id != focus:
        below = [child for child in node.children.values() if child.id <= focus]
        if not below or focus < 0:
            return []
        node = max(below, key=lambda child: child.id)
        path.append(node)
    return path


def _boxes(profile: Profile, node: Node, all_of_it: float, whole: float, x: float, depth: int) -> Iterator[Box]:
    yield _box(profile, node, all_of_it, x, node.weight / whole, depth)
    if depth >= _DEEPEST:
        return
    for child in _sorted(node):
        if child.weight / whole >= _THINNEST:
            yield from _boxes(profile, child, all_of_it, whole, x, depth + 1)
        x += child.weight / whole


def _box(profile: Profile, node: Node, all_of_it: float, x: float, width: float, depth: int) -> Box:
    share = wording.percent(node.weight / all_of_it if all_of_it else 0.0, 1)
    return Box(
        id=node.id,
        name=node.name,
        look=look(node.name),
        x=f"{x * 100:.3f}%",
        y=depth * ROW_HEIGHT,
        width=f"{width * 100:.3f}%",
        title=f"{node.name}: {amount(profile, node.weight)}, {share}",
    )
