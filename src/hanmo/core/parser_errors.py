"""What jsonargparse and argparse say of a wrong command line, in our words."""

import re
from types import ModuleType
from typing import Any

from hanmo.core import registry
from hanmo.core.errors import nearest
from hanmo.core.flags import hyphens


def in_our_words(error: Exception, parser: Any, command: str, module: ModuleType) -> str:
    """Say in a line what a parser refuses.

    Args:
        error: what it raised.
        parser: knows the flags.
        command: for the advice.
        module: of the command; its plug-ins that are not chosen have flags that are not known.
    """
    text = " ".join(str(error).split())
    flags = [name for action in parser._actions for name in action.option_strings]
    unknown = re.search(r"unrecognized arguments: (.*)", text, re.IGNORECASE)
    if unknown:
        word = next((w for w in unknown[1].split() if w.startswith("--")), unknown[1].split()[0])
        hint = nearest(word.partition("=")[0], flags).partition(" (known")[0]
        plugins = getattr(module, "PLUGIN", {}).items()
        own, dot, _ = word[2:].partition(".")
        for field, (package, _) in plugins if dot else ():
            if own in registry.names(package) and not any(f.startswith(f"--{own}.") for f in flags):
                hint = f"; it is an option of --{field} {own}, which is not given"
        text = f"unknown argument {word}{hint}"
    text = re.sub(
        r'Parser key "([^"]*)"( element \d+)?:', lambda m: f"--{hyphens(m[1])}{m[2] or ''}:", text
    )
    text = text.replace("a typing.Literal", "one of ").replace("<class '", "").replace("'>", "")
    text = text.replace("a int.", "a whole number.").replace("a float.", "a number.")
    return f"{command}: {text}; see: hanmo {command} --help"
