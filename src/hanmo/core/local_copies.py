"""Settings that are URLs, for commands that work on local files: inputs are copied beforehand.

What a command makes has the metadata `output=True`: it is not to be copied here, and cannot be
written there, unless the command does that itself.

    out: Path = field(metadata={"output": True})
    config = with_local_copies(config, reads=("corpus", "out"))     # these it handles itself
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hanmo.core import remote
from hanmo.core.errors import UserError
from hanmo.core.flags import hyphens, shown
from hanmo.core.urls import is_remote, url_of


def with_local_copies(config: Any, reads: Sequence[str] = ()) -> Any:
    """Return the settings with local paths for URLs, all of what is there copied.

    Args:
        config: a command's settings.
        reads: names of the settings that the command reads and writes by URL itself.

    Raises:
        UserError: a URL where a local folder is made; nothing at one; a store that fails.
    """
    if not dataclasses.is_dataclass(config):  # a command of somebody else's
        return config
    names = [field.name for field in dataclasses.fields(config)]
    made_here = {f.name for f in dataclasses.fields(config) if f.metadata.get("output")}
    values = {name: getattr(config, name) for name in names if name not in reads}
    for name in sorted(made_here):
        path = values.get(name)
        if isinstance(path, Path) and is_remote(path):
            raise UserError(
                f"--{hyphens(shown(name))} {url_of(path)}: expected a local folder or file; only "
                "prepare, annotate and encode (to shards) write to URLs"
            )
    for name in made_here & set(reads):
        path = getattr(config, name)
        if path is not None and is_remote(path) and str(url_of(path)).count("/") < 3:
            raise UserError(f"--{hyphens(name)} {url_of(path)}: expected a folder below that one")
    copied = {name: _copied(value) for name, value in values.items()}
    changed = {name: value for name, value in copied.items() if value is not values[name]}
    made: Any = config
    return dataclasses.replace(made, **changed)


def _copied(value: Any) -> Any:
    if isinstance(value, Path):
        return Path(os.fspath(remote.fetched_tree(value))) if is_remote(value) else value
    if isinstance(value, Mapping):
        made: Any = {key: _copied(item) for key, item in value.items()}
        return made if any(made[key] is not value[key] for key in made) else value
    if isinstance(value, list | tuple):
        items = [_copied(item) for item in value]
        same = all(one is other for one, other in zip(items, value, strict=True))
        return value if same else type(value)(items)
    return value
