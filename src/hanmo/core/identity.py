"""Whether two runs are the same one: which settings matter, and how those of two runs differ.

differences(made, wanted, Tolerance.of(config))     # ["max_chars was 500, now 300"]
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanmo.core.urls import shown

# Settings that change how a stage runs but not what it makes.
_HOW = frozenset({"workers", "executor", "executor_options", "overwrite", "resume"})
NOT_CONTENT = _HOW | {"out", "config"}


@dataclasses.dataclass(frozen=True, slots=True)
class Tolerance:
    """How the settings of two runs may differ though they count as the same.

    Attributes:
        names: settings that do not matter: where an input lies, for what it holds is in `inputs`.
        defaults: what a setting is that an older hanmo did not have.
    """

    names: frozenset[str]
    defaults: Mapping[str, Any]

    @classmethod
    def of(cls, config: Any) -> "Tolerance":
        """Say how runs with such settings may differ."""
        names = NOT_CONTENT | how_settings(config) | _path_settings(config)
        return cls(names, {} if isinstance(config, Mapping) else default_settings(config))

    def allows(self, key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether a setting of two runs counts as the same."""
        return key in self.names or old.get(key, self.defaults.get(key)) == new.get(key)


def how_settings(config: Any) -> frozenset[str]:
    """Names of the fields that a dataclass marks as not changing what is made."""
    if isinstance(config, Mapping):
        return frozenset()
    marked = [f.name for f in dataclasses.fields(config) if not f.metadata.get("content", True)]
    return frozenset(marked)


def default_settings(config: Any) -> dict[str, Any]:
    """Return the defaults of a dataclass's fields, as files hold them."""
    found = {}
    for field in dataclasses.fields(config):
        if field.default_factory is not dataclasses.MISSING:
            found[field.name] = plain(field.default_factory())
        elif field.default is not dataclasses.MISSING:
            found[field.name] = plain(field.default)
    return found


def plain(value: Any) -> Any:
    """Turn dataclasses, paths and tuples into what JSON and TOML can hold; `None` stays."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return shown(value) if isinstance(value, Path) else value


def differences(made: Mapping[str, Any], wanted: Mapping[str, Any], free: Tolerance) -> list[str]:
    """Say in words how what was made differs from what is wanted: kind, settings, inputs."""
    changed = []
    if made.get("version") != wanted.get("version"):
        changed.append(f"format version {made.get('version')}, not {wanted.get('version')}")
    if made["kind"] != wanted["kind"]:
        return [f"kind {made['kind']!r}, not {wanted['kind']!r}"]  # nothing else compares
    for part in ("config", "inputs"):
        old, new = made[part], wanted[part]
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) == new.get(key) or (part == "config" and free.allows(key, old, new)):
                continue
            if part == "inputs":
                what = "holds something else than then" if key in new else "is no longer there"
                changed.append(f"the input {key} {what if key in old else 'is new'}")
            else:
                changed += _changed(key, old.get(key), new.get(key))
    return changed


def _changed(key: str, old: Any, new: Any) -> list[str]:
    """Say what a setting was and is; of tables, each entry that differs."""
    if isinstance(old or new, Mapping) and isinstance(new or old, Mapping):
        old, new = old or {}, new or {}
        return [
            text
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
            for text in _changed(f"{key}.{name}", old.get(name), new.get(name))
        ]
    return [f"{key} was {old!r}, now {new!r}"]


def _path_settings(config: Any) -> frozenset[str]:
    """Names of the settings that are paths or lists of paths."""
    if isinstance(config, Mapping):
        values = dict(config)
    else:
        values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return frozenset(
        name
        for name, value in values.items()
        if isinstance(value, Path)
        or (isinstance(value, list | tuple) and value and all(isinstance(v, Path) for v in value))
    )
