"""The place of the model that comes with hanmo and is asked where no model is named.

`lert-tiny/` beside this file is a model folder like any other, in half precision, with its model
card; `examples/box.sh` makes it. A tree without it asks for a model's name, as always.

    folder()    # None, or …/hanmo/box/lert-tiny
"""

from importlib import resources
from pathlib import Path

NAME = "lert-tiny"


def folder() -> Path | None:
    """Return the folder of the model, or None where this tree has none."""
    path = Path(str(resources.files(__name__))) / NAME
    return path if path.is_dir() else None
