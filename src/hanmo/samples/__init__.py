"""The sample that comes with hanmo: a little raw text and a small labelled set, both made for it.

`text/`: 24 documents of original Chinese prose (aNN.txt in one voice, bNN.txt in another), one
paragraph a line. `reviews/`: short reviews with labels, TSV with the header `label`, `text_a`.
Enough to walk the whole road in minutes, far too little for a useful model.

    text_files()[0].name    # "a01.txt"
"""

from importlib import resources
from pathlib import Path


def folder() -> Path:
    """Return the folder of the samples."""
    return Path(str(resources.files(__name__)))


def text_files() -> list[Path]:
    """Return the raw text files, sorted by name."""
    return sorted((folder() / "text").glob("*.txt"))
