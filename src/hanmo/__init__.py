"""hanmo (翰墨): from raw Chinese text to a pre-trained encoder and its score.

The stages, each a folder on disk: `corpus` → `annotate` → `data` → `objectives` + `train` →
`tasks` → `report`. Importing this package does nothing; `python -m hanmo --help` lists the
commands. `hanmo.load` opens a published model or a folder; it is imported when it is asked for.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name != "load":
        raise AttributeError(f"module 'hanmo' has no attribute {name!r}")
    import importlib  # not `import hanmo.loading`: what lies below this package may import it

    return importlib.import_module("hanmo.loading").load
