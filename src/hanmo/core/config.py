"""Configuration of a command: defaults < file < flags, strict, and stored beside every result.

A command is described by a frozen dataclass `Config`; its fields are the flags, its docstring's
"Attributes:" section is their help. A field with metadata `positional=True` needs no flag. When
the command's module says `PLUGIN = {"objective": ("hanmo.objectives", "Objective")}`, the dataclass
of the chosen plug-in adds flags under the plug-in's name (`--lert.rate 0.15`, table `[lert]` of the
file), which arrive in `Config.options`.

    config = parse("pretrain", module, ["work/shards", "--objective", "lert", "--out", "work/lert"])
    write(Path("work/lert/config.toml"), resolved(config, module))
"""

import dataclasses
import json
import re
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hanmo.core import registry
from hanmo.core.artifact import MANIFEST, plain, read_manifest
from hanmo.core.conform import conform, element, without_none
from hanmo.core.errors import UserError, nearest
from hanmo.core.files import write_atomic

CONFIG_FILE = "config.toml"
_REQUIRED = object()


@dataclasses.dataclass(frozen=True, slots=True)
class Flag:
    """One setting: its name, type, default (or `_REQUIRED`) and help line."""

    name: str
    type: Any
    default: Any
    help: str
    positional: bool = False


def flags_of(config: type) -> list[Flag]:
    """Return the settings that a dataclass describes, `options` left out."""
    hints = typing.get_type_hints(config)
    helps = _attribute_help(config.__doc__ or "")
    flags = []
    for field in dataclasses.fields(config):
        if field.name == "options":
            continue
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        elif default is dataclasses.MISSING:
            default = _REQUIRED
        positional = bool(field.metadata.get("positional"))
        text = helps.get(field.name, "")
        flags.append(Flag(field.name, hints[field.name], default, text, positional))
    return flags


def parse(command: str, module: ModuleType, argv: Sequence[str]) -> Any:
    """Parse a command's flags (and its `--config` file) into its `Config`.

    Raises:
        UserError: unknown key (names the nearest), wrong type, missing setting, bad file.
        SystemExit: after printing help.
    """
    file = _peek(argv, "config")
    given = read(Path(file)) if file else {}
    flags = flags_of(module.Config)
    plugin = _plugin(module, argv, given, flags)
    prefix, plugin_flags = plugin if plugin else ("", [])
    if prefix and "options" in given:  # as a manifest holds them
        given[prefix] = given.pop("options")
    _check_keys(given, flags, prefix, plugin_flags, file or "")
    parser = _parser(command, module, flags, prefix, plugin_flags)
    stored = _conforming(_flatten(given, prefix), flags, prefix, plugin_flags, file or "")
    values = _values(parser, stored, argv, command)
    return _fill(command, module, values, flags, plugin)


def resolved(config: Any, module: ModuleType) -> dict[str, Any]:
    """Return a `Config` as the mapping that a file may hold: every value, `options` by name."""
    values = dict(plain(config))
    options = values.pop("options", None)
    for field, _ in getattr(module, "PLUGIN", {}).items():
        if options:
            values[_short(values[field])] = options
    return values


def read(path: Path) -> dict[str, Any]:
    """Read a configuration: TOML, JSON by suffix, or the one that a finished folder was made with.

    Raises:
        UserError: no such file, or not TOML / JSON.
    """
    if path.is_dir():
        files = [path / name for name in (CONFIG_FILE, MANIFEST) if (path / name).is_file()]
        if not files:
            raise UserError(f"--config {path}: no {CONFIG_FILE} or {MANIFEST} in this folder")
        path = files[0]
    if path.name == MANIFEST:
        return dict(read_manifest(path.parent).config)
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise UserError(f"--config {path}: no such file") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--config {path}: {error}; expected TOML (or JSON in .json)") from None
    if not isinstance(values, dict):
        raise UserError(f"--config {path}: a JSON {type(values).__name__}; expected an object")
    return values


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write a configuration as TOML; settings that are None stay out (they mean the default)."""
    import tomli_w

    write_atomic(path, tomli_w.dumps(_without_none(plain(values))))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say in words which settings differ: `["seed was 1, now 2"]`."""
    old, new = _without_none(plain(old)), _without_none(plain(new))
    return [
        f"{key} was {old.get(key)!r}, now {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def _attribute_help(docstring: str) -> dict[str, str]:
    section = docstring.partition("Attributes:\n")[2]
    helps: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        match = re.match(r"^ {4,8}(\w+): (.*)", line)
        if match:
            name, helps[match[1]] = match[1], match[2]
        elif name and line.startswith(" " * 8) and line.strip():
            helps[name] += " " + line.strip()
        elif not line.strip():
            name = ""
    return helps


def _peek(argv: Sequence[str], name: str) -> str | None:
    flag = f"--{name}"
    for index, word in enumerate(argv):
        if word == flag and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith(flag + "="):
            return word.partition("=")[2]
    return None


def _short(plugin: str) -> str:
    """`lert` → `lert`; `my.objectives.shuffle` and `my/shuffle.py` → `shuffle`."""
    stem = Path(plugin).stem if plugin.endswith(".py") else plugin.rpartition(".")[2]
    return stem.replace("-", "_")


def _plugin(
    module: ModuleType, argv: Sequence[str], given: Mapping[str, Any], flags: list[Flag]
) -> tuple[str, list[Flag]] | None:
    for field, (package, attribute) in getattr(module, "PLUGIN", {}).items():
        default = next(flag.default for flag in flags if flag.name == field)
        name = _peek(argv, field) or given.get(field) or default
        loaded = registry.load(package, str(name))
        if not hasattr(loaded, attribute):
            raise UserError(f"{name}: the module has no {attribute!r}; see CONTRIBUTING.md")
        return _short(str(name)), flags_of(getattr(loaded, attribute))
    return None


def _check_keys(
    given: Mapping[str, Any], flags: list[Flag], prefix: str, plugin: list[Flag], file: str
) -> None:
    known = {flag.name for flag in flags} | ({prefix} if prefix else set())
    for key in given:
        if key not in known:
            raise UserError(f"--config {file}: unknown key {key!r}{nearest(key, known)}")
    table = given.get(prefix, {}) if prefix else {}
    if not isinstance(table, Mapping):
        raise UserError(f"--config {file}: {prefix!r} must be a table of its options")
    names = {flag.name for flag in plugin}
    for key in table:
        if key not in names:
            raise UserError(f"--config {file}: unknown key '{prefix}.{key}'{nearest(key, names)}")


def _flatten(given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat = {key: value for key, value in given.items() if key != prefix}
    return flat | {f"{prefix}.{key}": value for key, value in given.get(prefix, {}).items()}


def _conforming(
    flat: Mapping[str, Any], flags: list[Flag], prefix: str, plugin: list[Flag], file: str
) -> dict[str, Any]:
    annotations = {flag.name: flag.type for flag in flags}
    annotations |= {f"{prefix}.{flag.name}": flag.type for flag in plugin}
    values = {}
    for key, value in flat.items():
        try:
            values[key] = conform(value, annotations[key])
        except TypeError as error:
            raise UserError(f"--config {file}: {key}: got {value!r}; {error}") from None
    return values


def _parser(
    command: str, module: ModuleType, flags: list[Flag], prefix: str, plugin: list[Flag]
) -> Any:
    from argparse import RawDescriptionHelpFormatter

    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog=f"hanmo {command}",
        formatter_class=RawDescriptionHelpFormatter,
        description=(module.__doc__ or "").strip(),
        allow_abbrev=False,
        exit_on_error=False,
        default_env=False,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="settings in TOML or JSON, or a finished folder to repeat; flags win",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    for flag in flags:
        _add(parser, flag, flag.name, positional=flag.positional)
    for flag in plugin:
        _add(parser, flag, f"{prefix}.{flag.name}")
    return parser


def _add(parser: Any, flag: Flag, name: str, *, positional: bool = False) -> None:
    text = flag.help
    if flag.default is not _REQUIRED and not positional:
        text += f" (default: {plain(flag.default)})"
    options: dict[str, Any] = {"help": text.replace("%", "%%"), "metavar": name.upper()}
    item = element(flag.type)
    if flag.type is bool and flag.default is False:
        options = {"help": options["help"], "action": "store_true"}
    elif item is not None:
        options |= {"type": item, "nargs": "*" if positional else "+"}
    else:
        options |= {"type": without_none(flag.type)}  # else "null" and "#x" mean None
        if positional:
            options["nargs"] = "?"
    if flag.default is not _REQUIRED and item is None and flag.type is not bool:
        options["default"] = flag.default
    if flag.type is bool and flag.default is True:
        options["default"] = True
    if positional:
        parser.add_argument(name, **options)
        return
    parser.add_argument(f"--{_hyphens(name)}", **options)


def _values(
    parser: Any, given: Mapping[str, Any], argv: Sequence[str], command: str
) -> dict[str, Any]:
    import argparse

    try:
        if given:
            parser.set_defaults(given)
        namespace = parser.parse_args(_positionals_first(parser, argv))
    except (argparse.ArgumentError, TypeError, ValueError, KeyError) as error:
        raise UserError(_readable(error, parser, command)) from None
    return dict(namespace.as_dict())


def _positionals_first(parser: Any, argv: Sequence[str]) -> list[str]:
    """Put positional words before the flags: argparse takes optional ones from one run only."""
    takes = {name: action.nargs for action in parser._actions for name in action.option_strings}
    positionals: list[str] = []
    flags: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            return [*flags, "--", *positionals, *words]
        known = word if word in takes else word.rpartition(".")[0]  # --lert.ramps.pos 0.1
        if known not in takes:
            (flags if word.startswith("--") else positionals).append(word)
            continue
        flags.append(word)
        nargs = takes[known]
        while words and nargs != 0 and not words[0].startswith("--"):
            flags.append(words.pop(0))
            if nargs is None:
                break
    return [*positionals, *flags]


def _readable(error: Exception, parser: Any, command: str) -> str:
    text = " ".join(str(error).split())
    flags = [name for action in parser._actions for name in action.option_strings]
    unknown = re.search(r"unrecognized arguments: (.*)", text, re.IGNORECASE)
    if unknown:
        word = next((w for w in unknown[1].split() if w.startswith("--")), unknown[1].split()[0])
        hint = nearest(word.partition("=")[0], flags).partition(" (known")[0]
        text = f"unknown argument {word}{hint}"
    text = re.sub(
        r'Parser key "([^"]*)"( element \d+)?:', lambda m: f"--{_hyphens(m[1])}{m[2] or ''}:", text
    )
    text = text.replace("a typing.Literal", "one of ").replace("<class '", "").replace("'>", "")
    text = text.replace("a int.", "a whole number.").replace("a float.", "a number.")
    return f"{command}: {text}; see: hanmo {command} --help"


def _fill(
    command: str,
    module: ModuleType,
    values: Mapping[str, Any],
    flags: list[Flag],
    plugin: tuple[str, list[Flag]] | None,
) -> Any:
    chosen = {}
    missing = []
    for flag in flags:
        value = _typed(flag, values.get(flag.name))
        if value is _REQUIRED:
            missing.append(flag.name.upper() if flag.positional else f"--{_hyphens(flag.name)}")
        chosen[flag.name] = value
    if missing:
        raise UserError(f"{command}: {', '.join(missing)} missing; see: hanmo {command} --help")
    if plugin:
        table = values.get(plugin[0], {})
        chosen["options"] = {flag.name: _typed(flag, table.get(flag.name)) for flag in plugin[1]}
    return module.Config(**chosen)


def _hyphens(name: str) -> str:
    return name.replace("_", "-")


def _typed(flag: Flag, value: Any) -> Any:
    if value is None or (flag.positional and value == []):
        return flag.default
    if element(flag.type) is not None:
        # A file holds strings where flags hold paths.
        items = [value] if isinstance(value, str) else list(value)
        if element(flag.type) is Path:
            items = [Path(item) for item in items]
        return tuple(items) if isinstance(flag.default, tuple) else items
    return Path(value) if isinstance(value, str) and flag.type in (Path, Path | None) else value
