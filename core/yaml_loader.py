"""YAML of strangers: PyYAML's safe loader with bounds, and with errors of one kind.

Only what JSON has, too, is constructed: mappings, lists, texts, finite numbers, booleans and null. A date
is a text.
"""

from __future__ import annotations

import math
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode

from core.errors import one_line, short

MAX_DEPTH = 100
MAX_NODES = 50_000  # every alias counted as what it stands for
_LONGEST_NUMBER = 100  # characters; the sexagesimal numbers of YAML 1.1 take quadratic time
_MAX_WHOLE = 2**63  # what NumPy and databases hold
_PREFIX = "tag:yaml.org,2002:"
_KINDS = ("null", "bool", "int", "float", "str", "seq", "map")


class _BoundedLoader(yaml.SafeLoader):
    """Loader of one document."""

    yaml_constructors = {  # noqa: RUF012  PyYAML's own form
        **{_PREFIX + kind: yaml.SafeLoader.yaml_constructors[_PREFIX + kind] for kind in _KINDS},
        None: yaml.SafeLoader.yaml_constructors[None],
    }
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [entry for entry in entries if entry[0] != f"{_PREFIX}timestamp"]
        for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._count = 0
        self._sizes: dict[int, int] = {}  # by the id of a finished node

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Compose a node within the bounds."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        alias = self.check_event(yaml.AliasEvent)
        self._count += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConstructorError(None, None, f"nested more than {MAX_DEPTH} levels deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if alias and id(node) not in self._sizes:
            raise ConstructorError(None, None, "an alias inside of what it stands for", mark)
        size = self._sizes[id(node)] if alias else 1 + sum(self._sizes[id(n)] for n in _children(node))
        self._sizes[id(node)] = size
        if max(size, self._count) > MAX_NODES:
            raise ConstructorError(
                None,
                None,
                f"more than {MAX_NODES:,} values, aliases counted as what they stand for",
                mark,
            )
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """Construct a value; PyYAML raises errors of any kind for a text with a wrong tag."""
        kind = node.tag.removeprefix(_PREFIX)
        try:
            value = self._checked(super().construct_object(node, deep), node)
        except (yaml.YAMLError, RecursionError, MemoryError):
            raise
        except Exception:
            shown = short(node.value) if isinstance(node, ScalarNode) else "this"
            raise ConstructorError(None, None, f"{shown} is no {kind}", node.start_mark) from None
        return value

    def construct_scalar(self, node: Node) -> Any:
        """Return the text of a scalar; one of a number has a largest length."""
        if node.tag in (f"{_PREFIX}int", f"{_PREFIX}float") and len(node.value) > _LONGEST_NUMBER:
            raise ConstructorError(
                None, None, f"a number of {len(node.value):,} characters", node.start_mark
            )
        return super().construct_scalar(node)  # type: ignore[arg-type]

    def _checked(self, value: Any, node: Node) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise ConstructorError(
                None, None, f"{short(node.value)} is no finite number", node.start_mark
            )
        if isinstance(value, int) and abs(value) >= _MAX_WHOLE:
            raise ConstructorError(
                None, None, f"{short(node.value)} is a whole number of more than 64 bits", node.start_mark
            )
        return value


def load(text: str) -> Any:
    """Return the value of a YAML document.

    Raises:
        ValueError: malformed, or beyond a bound; says where.
    """
    try:
        loader = _BoundedLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise ValueError(place + one_line(error.problem or error.context or "malformed")) from None
    except (yaml.YAMLError, RecursionError, MemoryError) as error:
        raise ValueError(one_line(error)) from None


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [child for pair in node.value for child in pair]
    return [] if isinstance(node, ScalarNode) else node.value
