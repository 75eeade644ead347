"""YAML as recipes are written in, where a slip of the pen is an error."""

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML in which a key that comes twice is an error, not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen and isinstance(key_node, yaml.ScalarNode) and key_node.value != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} comes twice", key_node.start_mark
                )
            if isinstance(key_node, yaml.ScalarNode):
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def load(content: bytes | str) -> Any:
    """Plain data of a YAML document. Raises yaml.YAMLError, also for a key that comes twice."""
    return yaml.load(content, Loader=_Loader)
