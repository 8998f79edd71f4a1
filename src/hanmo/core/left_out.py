"""Words that users of a command may leave out, such as the model that comes with hanmo.

A command's function `complete(words)` gets the words without a flag and returns those that stand
before them. Which words these are depends on the flags of the plug-in that one of them names.

    completed(predict, ["--beam", "8", "fill-mask", "我[MASK]"], {}, flags)  # [MODEL, "--beam", …]
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from hanmo.core import registry
from hanmo.core.flags import Flag, flags_of, parted, positional_readings, takes_of


def completed(
    module: ModuleType, argv: Sequence[str], given: Mapping[str, Any], flags: Sequence[Flag]
) -> Sequence[str]:
    """Put before the words of a command line those that were left out.

    Args:
        module: the command.
        argv: all words.
        given: settings of a file: where it has one of those without a flag, nothing is left out.
        flags: the command's own.
    """
    complete = getattr(module, "complete", None)
    if complete is None or any(flag.name in given for flag in flags if flag.positional):
        return argv
    for package, attribute in getattr(module, "PLUGIN", {}).values():
        shipped = registry.names(package)
        for words in positional_readings(flags, argv):
            named = [word for word in words[:2] if word.replace("-", "_") in shipped]
            if named:
                options = flags_of(registry.member(package, named[-1], attribute))
                return [*complete(parted(takes_of([*flags, *options]), argv)[0]), *argv]
    return argv
