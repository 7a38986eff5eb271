"""Tables as JSON and as TOML text; only what settings hold."""

from collections.abc import Mapping

import msgspec


def to_json(table: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(table)


def to_toml(table: Mapping[str, object]) -> bytes:
    """Values first, then tables, then lists of tables."""
    plain = {key: value for key, value in table.items() if not _is_table(value) and not _is_tables(value)}
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += [f"[{key}]", to_toml(value).decode()]
        elif isinstance(value, list) and _is_tables(value):
            lines += [line for one in value for line in (f"[[{key}]]", _inline(one))]
    return "\n".join(lines).encode()


def _inline(table: Mapping[str, object]) -> str:
    """One table of a list; a table within it in braces."""
    return "\n".join(
        f"{key} = {{ {', '.join(f'{name} = {_value(one)}' for name, one in value.items())} }}"
        if isinstance(value, Mapping)
        else f"{key} = {_value(value)}"
        for key, value in table.items()
    )


def _value(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))
