"""Flags: those that a dataclass describes, and how the words of a command line belong to them.

In: a frozen dataclass whose docstring has an "Attributes:" section. Out: a `Flag` for each field,
with its type, default and help. A field with metadata `positional=True` is a word without a flag;
one with `unless=("x", "y")` may be left out where `--x` or `--y` is, one with `output=True` is
made by the command (`hanmo.core.local_copies`). A field whose name would be a keyword of Python
ends in "_", its flag does not: `from_`, --from.

    [flag.name for flag in flags_of(Config)]                # ["shards", "steps"]
    parted({"--steps": None}, ["--steps", "5", "shards"])   # ["shards"], ["--steps", "5"]
"""

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from hanmo.core.conform import element, without_none

REQUIRED = object()


@dataclasses.dataclass(frozen=True, slots=True)
class Flag:
    """One setting: its name, type, default (or `REQUIRED`) and help line.

    A required one may be left out where one of the flags `unless` is given; it is None then.
    """

    name: str
    type: Any
    default: Any
    help: str
    positional: bool = False
    unless: tuple[str, ...] = ()


def flags_of(config: type) -> list[Flag]:
    """Return the settings that a dataclass describes, `options` left out."""
    hints = typing.get_type_hints(config)
    helps: dict[str, str] = {}
    for one in reversed(config.__mro__):  # a dataclass may add fields to another's
        helps |= _attribute_help(one.__doc__ or "")
    flags = []
    for field in dataclasses.fields(config):
        if field.name == "options":
            continue
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        elif default is dataclasses.MISSING:
            default = REQUIRED
        positional = bool(field.metadata.get("positional"))
        text = helps.get(field.name, "")
        unless = tuple(field.metadata.get("unless", ()))
        name = shown(field.name)
        flags.append(Flag(name, hints[field.name], default, text, positional, unless))
    return flags


def words_after(flag: Flag) -> Any:
    """Return how many words follow a flag, as argparse says it; 0 for a switch."""
    if flag.type is bool and flag.default is False:
        return 0
    return None if element(flag.type) is None else "+"


def shown(name: str) -> str:
    """Return what users call a field: `from_` → `from`."""
    return name.removesuffix("_")


def hyphens(name: str) -> str:
    """Write a field's name as a flag has it: `batch_size` → `batch-size`."""
    return name.replace("_", "-")


def peek(argv: Sequence[str], name: str) -> str | None:
    """Return the value that follows a flag, before any parser is there."""
    flag = f"--{name}"
    for index, word in enumerate(argv):
        if word == flag and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith(flag + "="):
            return word.partition("=")[2]
    return None


def parted(
    takes: Mapping[str, Any], argv: Sequence[str], *, unknown: Any = 0
) -> tuple[list[str], list[str]]:
    """Part positional words from flags and their values.

    Args:
        takes: flag → how many words it takes, as argparse says it.
        argv: all words; after "--", which ends the flags, all are positional.
        unknown: how many an unknown flag takes, unless it holds its value ("--beam=8").
    """
    positionals: list[str] = []
    flags: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            return [*positionals, *words], [*flags, "--"]
        known = word if word in takes else word.rpartition(".")[0]  # --lert.ramps.pos 0.1
        if known not in takes and not word.startswith("--"):
            positionals.append(word)
            continue
        flags.append(word)
        nargs = takes.get(known, 0 if "=" in word else unknown)
        while words and nargs != 0 and not words[0].startswith("--"):
            flags.append(words.pop(0))
            if nargs is None:
                break
    return positionals, flags


def takes_of(flags: Sequence[Flag]) -> dict[str, Any]:
    """Return how many words each flag takes, for `parted`; every command's own flags too."""
    takes: dict[str, Any] = {"--help": 0, "-h": 0, "--config": None, "--json": 0}
    named = [one for one in flags if not one.positional]
    return takes | {f"--{hyphens(one.name)}": words_after(one) for one in named}


def positional_readings(flags: Sequence[Flag], argv: Sequence[str]) -> list[list[str]]:
    """Read the words without a flag where it is not known yet which plug-in has further flags.

    Args:
        flags: the command's own.
        argv: all words.

    Returns:
        The words if the plug-in's flags are switches, and if they take a value each.
    """
    return [parted(takes_of(flags), argv, unknown=nargs)[0] for nargs in (0, None)]


def without_cleared(
    given: dict[str, Any], argv: Sequence[str], flags: list[Flag], prefix: str, plugin: list[Flag]
) -> list[str]:
    """Take settings out of a file for which the command line says "none"; returns its other words.

    So a recipe's shape, matches or seed can be left to their defaults. Where "none" may be a value
    itself, as of `--partner`, it is one.
    """
    tables = [(given, "", flags), (given.get(prefix, {}) if prefix else given, prefix, plugin)]
    places = {
        f"--{hyphens(f'{before}.{flag.name}' if before else flag.name)}": (table, flag)
        for table, before, those in tables
        for flag in those
        if _clearable(flag)
    }
    groups: list[tuple[str, list[str]]] = []  # flag, or "", and its words
    words = list(argv)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name not in places:
            groups.append(("", [word]))
            continue
        table, flag = places[name]
        until = next((i for i, one in enumerate(words) if one.startswith("--")), len(words))
        n = 0 if equals else until if words_after(flag) == "+" else min(1, until)
        if ([value] if equals else words[:n]) == ["none"]:
            table.pop(flag.name, None)
            groups = [one for one in groups if one[0] != name]  # the last one wins
        else:
            n = 0 if words_after(flag) == 0 else n
            groups.append((name, [word, *words[:n]]))
        del words[:n]
    return [word for _, own in groups for word in own]


def _clearable(flag: Flag) -> bool:
    """Whether "none" cannot be a value of a flag that may be left out, or its default is none."""
    if flag.default is REQUIRED or flag.positional:
        return False
    kind = element(flag.type) or without_none(flag.type)
    return flag.default in (None, [], ()) or kind in (int, float, bool)


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
