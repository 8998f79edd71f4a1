"""Configuration of a command: defaults < file < flags, strict, and stored beside every result.

A command is described by a frozen dataclass `Config`; its fields are the flags (`core/flags.py`).
When the command's module says `PLUGIN = {"objective": ("hanmo.objectives", "Objective")}`, the
dataclass of the chosen plug-in adds flags under the plug-in's name (`--lert.rate 0.15`, table
`[lert]` of the file), which arrive in `Config.options`. With `PREFIX = ""` beside it they stand
among the command's own flags and keys instead (`--beam 8`). A plug-in that is None adds none; with
`FOLLOWS = {"objective": ("format", {"bert": "mlm"})}` the default follows from another setting. A
function `complete` names words that may be left out (`core/left_out.py`).

    config = parse("pretrain", module, ["work/shards", "--objective", "lert", "--out", "work/lert"])
    write(Path("work/lert/config.toml"), resolved(config, module))
"""

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin

from hanmo.core import registry, remote
from hanmo.core.artifact import MANIFEST, is_ours, read_manifest
from hanmo.core.conform import conform, element, without_none
from hanmo.core.errors import UserError, nearest
from hanmo.core.files import write_atomic
from hanmo.core.flags import (
    REQUIRED,
    Flag,
    flags_of,
    hyphens,
    parted,
    peek,
    positional_readings,
    shown,
    without_cleared,
    words_after,
)
from hanmo.core.identity import plain
from hanmo.core.left_out import completed
from hanmo.core.parser_errors import in_our_words
from hanmo.core.urls import as_path

CONFIG_FILE = "config.toml"


def parse(command: str, module: ModuleType, argv: Sequence[str]) -> Any:
    """Parse a command's flags (and its `--config` file) into its `Config`.

    Raises:
        UserError: unknown key (names the nearest), wrong type, missing setting, bad file.
        SystemExit: after printing help.
    """
    file = peek(argv, "config")
    given = read(as_path(file)) if file else {}
    flags = flags_of(module.Config)
    argv = _cleared(given, module, argv, flags) if file else argv
    argv = completed(module, argv, given, flags)
    plugin = _plugin(module, argv, given, flags)
    prefix, plugin_flags = plugin if plugin else ("", [])
    if isinstance(given.get("options"), Mapping) and (plugin or not given["options"]):
        options = given.pop("options")  # as a manifest holds them
        given |= {prefix: options} if prefix else options
    _check_keys(given, flags, prefix, plugin_flags, file or "")
    if file:
        argv = without_cleared(given, argv, [], prefix, plugin_flags)
    parser = _parser(command, module, flags, prefix, plugin_flags)
    stored = _conforming(_flatten(given, prefix), flags, prefix, plugin_flags, file or "")
    values = _values(parser, stored, argv, command, module)
    return _fill(command, module, values, flags, plugin)


def resolved(config: Any, module: ModuleType) -> dict[str, Any]:
    """Return a `Config` as the mapping that a file may hold: every value, `options` by name."""
    values = {shown(name): value for name, value in plain(config).items()}
    options = values.pop("options", None)
    for field in getattr(module, "PLUGIN", {}):
        if options:
            prefix = prefix_of(module, values[field] or following(module, field, values))
            values |= {prefix: options} if prefix else options
    return values


def following(module: ModuleType, field: str, values: Mapping[str, Any]) -> Any:
    """Return the plug-in that follows from another setting where `field` is not given, or None."""
    other, names = getattr(module, "FOLLOWS", {}).get(field, ("", {}))
    return names.get(values.get(other))


def prefix_of(module: ModuleType, plugin: str) -> str:
    """Return what stands before the flags of a command's plug-in: its name or, if so said, ""."""
    return str(getattr(module, "PREFIX", short(plugin)))


def read(path: Path) -> dict[str, Any]:
    """Read a configuration: TOML, JSON by suffix, or the one that a finished folder was made with.

    Raises:
        UserError: no such file, or not TOML / JSON.
    """
    if remote.is_folder(path):
        names = (CONFIG_FILE, MANIFEST)
        files = [path / name for name in names if remote.is_file(path / name)]
        if not files:
            raise UserError(f"--config {path}: no {CONFIG_FILE} or {MANIFEST} in this folder")
        path = files[0]
    if path.name == MANIFEST:
        return dict(read_manifest(path.parent).config)
    try:
        text = remote.read_bytes(path).decode("utf-8")
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
    """Say in words which settings differ: `["seed was 1, now 2", "mlm.rate was 0.1, now 0.2"]`."""
    old, new = _by_dots(_without_none(plain(old))), _by_dots(_without_none(plain(new)))
    return [
        f"{key} was {old.get(key)!r}, now {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _by_dots(values: Mapping[str, Any]) -> dict[str, Any]:
    """Name the entries of tables with dots: `{"lert": {"rate": 1}}` → `{"lert.rate": 1}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{name}": item for name, item in _by_dots(value).items()}
        else:
            found[key] = value
    return found


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def short(plugin: str) -> str:
    """Name a plug-in as its flags do: `my.objectives.shuffle` and `my/shuffle.py` → `shuffle`."""
    stem = Path(plugin).stem if plugin.endswith(".py") else plugin.rpartition(".")[2]
    return stem.replace("-", "_")


def _plugin(
    module: ModuleType, argv: Sequence[str], given: Mapping[str, Any], flags: list[Flag]
) -> tuple[str, list[Flag]] | None:
    for field, (package, attribute) in getattr(module, "PLUGIN", {}).items():
        flag = next(flag for flag in flags if flag.name == field)
        seen = {one.name: peek(argv, one.name) or given.get(one.name) for one in flags}
        follows = following(module, field, seen)
        if follows is not None:
            flag = dataclasses.replace(flag, default=follows)
        name, loaded = _chosen(package, argv, given, flag, flags)
        if loaded is None:
            return None
        if not hasattr(loaded, attribute):
            raise UserError(f"{name}: the module has no {attribute!r}; see CONTRIBUTING.md")
        prefix, options = prefix_of(module, name), flags_of(getattr(loaded, attribute))
        taken = {"config", "json", "help"} | {flag.name for flag in flags}
        for option in options:
            if not prefix and option.name in taken:
                raise UserError(f"{name}: option {option.name!r} is the command's; rename it")
        return prefix, options
    return None


def _chosen(
    package: str, argv: Sequence[str], given: Mapping[str, Any], flag: Flag, flags: list[Flag]
) -> tuple[str, ModuleType | None]:
    """Load the plug-in that a flag, or a positional word, names; None where none is named."""
    if not flag.positional:
        names = [peek(argv, flag.name)]
    else:
        place = [one.name for one in flags if one.positional].index(flag.name)
        readings = positional_readings(flags, argv)
        names = [words[place] for words in readings if len(words) > place]
    names = [name for name in names if name] or [given.get(flag.name) or flag.default]
    if names[0] is REQUIRED or names[0] is None:
        return "", None
    failure: UserError | None = None
    for name in map(str, names):
        try:
            return name, registry.load(package, name)
        except UserError as error:
            failure = failure or error
    raise failure or UserError(f"{flag.name}: none given")


def _check_keys(
    given: Mapping[str, Any], flags: list[Flag], prefix: str, plugin: list[Flag], file: str
) -> None:
    names = {flag.name for flag in plugin}
    known = {flag.name for flag in flags} | ({prefix} if prefix else names)
    for key in given:
        if key not in known:
            raise UserError(
                f"--config {file}: unknown key {key!r}{nearest(key, known)}{_of_kind(file)}"
            )
    table = given.get(prefix, {}) if prefix else {}
    if not isinstance(table, Mapping):
        raise UserError(f"--config {file}: {prefix!r} must be a table of its options")
    for key in table:
        if key not in names:
            raise UserError(f"--config {file}: unknown key '{prefix}.{key}'{nearest(key, names)}")


def _of_kind(file: str) -> str:
    """Say what a folder is whose settings do not fit."""
    folder = Path(file).parent if Path(file).name == MANIFEST else Path(file)
    if not is_ours(folder):
        return ""
    kind = read_manifest(folder).kind
    return f"; these are the settings of a folder of kind {kind!r}, which another command makes"


def _cleared(
    given: dict[str, Any], module: ModuleType, argv: Sequence[str], flags: list[Flag]
) -> list[str]:
    """Take out what "none" takes back, and the table of a plug-in that goes with it."""
    before = {field: given.get(field) for field in getattr(module, "PLUGIN", {})}
    kept = without_cleared(given, argv, flags, "", [])
    for field, name in before.items():
        if name and field not in given:
            given.pop(prefix_of(module, name), None)
            given.pop("options", None)  # as a manifest holds them
    return kept


def _flatten(given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat = {key: value for key, value in given.items() if key != prefix}
    return flat | {f"{prefix}.{key}": value for key, value in given.get(prefix, {}).items()}


def _key(prefix: str, option: Flag) -> str:
    return f"{prefix}.{option.name}" if prefix else option.name


def _conforming(
    flat: Mapping[str, Any], flags: list[Flag], prefix: str, plugin: list[Flag], file: str
) -> dict[str, Any]:
    annotations = {flag.name: flag.type for flag in flags}
    annotations |= {_key(prefix, flag): flag.type for flag in plugin}
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
        help="settings in TOML or JSON, or a finished folder to repeat; flags win, and none after "
        "a flag takes back what the file says",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    shipped = {
        name: ", ".join(registry.names(package)).replace("_", "-")
        for name, (package, _) in getattr(module, "PLUGIN", {}).items()
    }
    for flag in flags:
        names = f" Shipped: {shipped[flag.name]}." if flag.name in shipped else ""
        named = dataclasses.replace(flag, help=flag.help + names)
        _add(parser, named, flag.name, positional=flag.positional)
    for flag in plugin:
        _add(parser, flag, _key(prefix, flag))
    return parser


def _add(parser: Any, flag: Flag, name: str, *, positional: bool = False) -> None:
    text = flag.help
    if flag.default is REQUIRED:
        text += f" (required without --{hyphens(flag.unless[0])})" if flag.unless else " (required)"
    elif flag.default is not None and not positional:
        text += f" (default: {plain(flag.default)})"
    options: dict[str, Any] = {"help": text.replace("%", "%%"), "metavar": name.upper()}
    item = element(flag.type)
    if words_after(flag) == 0:
        options = {"help": options["help"], "action": "store_true"}
    elif item is not None:
        options |= {"type": as_path if item is Path else item, "nargs": "*" if positional else "+"}
    else:
        kind = without_none(flag.type)
        options |= {"type": as_path if kind is Path else kind}  # else "null" and "#x" mean None
        if positional:
            options["nargs"] = "?"
    if flag.default is not REQUIRED and item is None and flag.type is not bool:
        options["default"] = flag.default
    if flag.type is bool and flag.default is True:
        options["default"] = True
    if positional:
        parser.add_argument(name, **options)
        return
    parser.add_argument(f"--{hyphens(name)}", **options)


def _values(
    parser: Any, given: Mapping[str, Any], argv: Sequence[str], command: str, module: ModuleType
) -> dict[str, Any]:
    import argparse

    try:
        if given:
            parser.set_defaults(given)
        namespace = parser.parse_args(_positionals_first(parser, argv))
    except (argparse.ArgumentError, TypeError, ValueError, KeyError) as error:
        raise UserError(in_our_words(error, parser, command, module)) from None
    return dict(namespace.as_dict())


def _positionals_first(parser: Any, argv: Sequence[str]) -> list[str]:
    """Put positional words before the flags: argparse takes optional ones from one run only."""
    takes = {name: action.nargs for action in parser._actions for name in action.option_strings}
    positionals, flags = parted(takes, argv)
    if "--" in flags:
        return [*flags, *positionals]
    return [*positionals, *flags]


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
        if value is REQUIRED and any(values.get(name) is not None for name in flag.unless):
            value = None
        if value is REQUIRED:
            missing.append(flag.name.upper() if flag.positional else f"--{hyphens(flag.name)}")
        chosen[flag.name] = value
    if missing:
        raise UserError(f"{command}: {', '.join(missing)} missing; see: hanmo {command} --help")
    if plugin:
        table = values.get(plugin[0], {}) if plugin[0] else values
        chosen["options"] = {flag.name: _typed(flag, table.get(flag.name)) for flag in plugin[1]}
    fields = {shown(field.name): field.name for field in dataclasses.fields(module.Config)}
    return module.Config(**{fields[name]: value for name, value in chosen.items()})


def _typed(flag: Flag, value: Any) -> Any:
    if value is None or (flag.positional and value == []):
        return flag.default
    if element(flag.type) is not None:
        # A file holds strings where flags hold paths.
        items = [value] if isinstance(value, str) else list(value)
        if element(flag.type) is Path:
            items = [as_path(item) for item in items]
        is_tuple = get_origin(without_none(flag.type)) is tuple
        return tuple(items) if is_tuple else items
    is_path = flag.type in (Path, Path | None)
    return as_path(value) if isinstance(value, str) and is_path else value
