"""The table of tasks: one entry a dataset. To add a dataset of a known kind, add an entry.

File names and columns are those of the published releases; settings are the published ones, with
their source. The entries lie in the files of this folder, by what they ask. `find_task` also takes
the path of a user's own task file (`task_file.py`).

    find_task("chnsenticorp").settings.max_length   # 256
"""

from collections.abc import Mapping
from pathlib import Path

from hanmo.core.errors import UserError, nearest
from hanmo.tasks.suite import pairs, reading, single, tagging
from hanmo.tasks.task import Task
from hanmo.tasks.task_file import read_task

_ENTRIES = (*reading.ENTRIES, *pairs.ENTRIES, *single.ENTRIES, *tagging.ENTRIES)
TASKS: Mapping[str, Task] = {task.name: task for task in _ENTRIES}


def find_task(name: str) -> Task:
    """Return the entry of that name, or read the task file that `name` is the path of.

    Raises:
        UserError: no such entry (names the nearest) or file, or a bad task file.
    """
    if name.endswith(".toml"):
        return read_task(Path(name))
    if name not in TASKS:
        raise UserError(
            f"task: no {name!r}{nearest(name, TASKS)}; a path to a task.toml describes your own"
        )
    return TASKS[name]
