"""YAML files that people write: with line numbers, of bounded size, without repeated keys."""

from pathlib import Path

import yaml

from irsde.files import InputError

MOST_NODES = 100_000  # of a YAML file, what anchors stand for counted each time


def read_yaml(path: Path) -> tuple[yaml.Node | None, object]:
    """Node tree (for line numbers) and content of a YAML file.

    Raises
    ------
    InputError
        If the file cannot be read, a key appears twice, or anchors make it too large; object tags
        are refused.
    """
    try:
        loader = yaml.SafeLoader(_regular_text(path))
        node = loader.get_single_node()
        _check_nodes(node)
        return node, None if node is None else loader.construct_document(node)
    except RecursionError:
        raise InputError(f"{path}: not valid YAML: brackets within brackets, too deep") from None
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        ArithmeticError,
    ) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _regular_text(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise ValueError("not a file")
    return path.read_text(encoding="utf-8")


def _check_nodes(root: yaml.Node | None) -> None:
    """Refuse repeated keys, anchors that hold themselves, and those that stand for too much."""
    sizes: dict[int, int] = {}
    waiting = [(root, False)] if root else []
    open_nodes: set[int] = set()
    while waiting:
        node, is_counted = waiting.pop()
        parts = _parts(node)
        if is_counted:
            open_nodes.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(part)] for part in parts)
            if sizes[id(node)] > MOST_NODES:
                raise ValueError(f"{_at(node)}: more than {MOST_NODES:,} values")
        elif id(node) in open_nodes:
            raise ValueError(f"{_at(node)}: holds itself")
        elif id(node) not in sizes:
            open_nodes.add(id(node))
            waiting += [(node, True), *((part, False) for part in parts)]


def _parts(node: yaml.Node) -> list[yaml.Node]:
    """Nodes inside a node, after refusing a repeated key and numbers to base 60."""
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not isinstance(node, yaml.MappingNode):
        if ":" in node.value and node.tag.endswith((":int", ":float")):
            raise ValueError(f"{_at(node)}: {node.value} is a number to base 60; write it plainly")
        return []
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                raise ValueError(f"{_at(key)}: the key {key.value!r} appears twice")
            seen.add((key.tag, key.value))
    return [part for pair in node.value for part in pair]


def _at(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def line_of(node: yaml.Node | None, place: tuple[int | str, ...]) -> int:
    """Line of the deepest part of `place` that is in the file, counted from 1."""
    line = 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            entry = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line + 1, entry[1]
        elif (
            isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value)
        ):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
