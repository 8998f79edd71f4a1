"""hanmo (翰墨): from raw Chinese text to a pre-trained encoder and its score.

The stages, each a folder on disk: `corpus` → `annotate` → `data` → `objectives` + `train` →
`tasks` → `report`. Importing this package does nothing; `python -m hanmo --help` lists the
commands.
"""

__version__ = "0.1.0"
