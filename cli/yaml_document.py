"""YAML as plain data, without its surprises.

Only `true`, `false`, `null`, decimal numbers and text are told apart (YAML 1.1 would read `no` as false, `17:30` as
1050 and `2027-01-01` as a date). A name written twice, an anchor or a tag is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from governance.errors import InvalidRequest

BYTES_MAX = 8 * 1024 * 1024


class _PlainLoader(yaml.SafeLoader):
    """A loader of its own resolvers; see the module."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refused(event.start_mark, "anchors and aliases are not understood")
        if getattr(event, "tag", None):
            raise _refused(event.start_mark, "tags are not understood")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused(key.start_mark, "a name must be text")
            if key.value in seen:
                raise _refused(key.start_mark, "this name stands twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_PlainLoader.yaml_implicit_resolvers = {}
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"\A(?:true|false)\Z"), list("tf"))
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"\A(?:null|~|)\Z"), ["n", "~", ""])
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"\A-?(?:0|[1-9][0-9]*)\Z"), list("-0123456789"))
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"\A-?(?:0|[1-9][0-9]*)\.[0-9]+\Z"), list("-0123456789")
)


def load(path: Path) -> Any:
    """The document in a YAML (or JSON) file.

    Raises:
        InvalidRequest: not readable, too large, or not well formed; the sentence names line and column.
    """
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > BYTES_MAX:
        raise InvalidRequest(f"{path} is larger than {BYTES_MAX} bytes.")
    try:
        return yaml.load(data, _PlainLoader)  # noqa: S506  a SafeLoader with fewer resolvers
    except yaml.MarkedYAMLError as error:
        raise _refused(error.problem_mark, error.problem or "not well formed") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InvalidRequest(f"{path} is not well-formed YAML.") from None


def _refused(mark: Any, why: str) -> InvalidRequest:
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return InvalidRequest(f"{place}{why[:200]}.")
