"""A store that processes share: an fsspec protocol over a folder, known by an entry point.

`shelf://PLACE/name` is the file name below $SHELF/PLACE. Like an object store it has no folders and
shows a file when all of it is written; like that of S3 it remembers what it listed until it is told
to forget. Of the file $SHELF_FAILS the second reading fails.
"""

import os
import runpy
import textwrap
from pathlib import Path

import fsspec
import pytest

SHELF = '''
"""A file system of fsspec in a folder."""
import os
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem


class Shelf(LocalFileSystem):
    protocol = "shelf"

    @classmethod
    def _strip_protocol(cls, path):
        path = os.fspath(path)
        if path.startswith("shelf://"):
            path = os.environ["SHELF"] + "/" + path.removeprefix("shelf://")
        return path.rstrip("/")

    def ls(self, path, detail=False, **options):
        path = self._strip_protocol(path)
        if path not in self.dircache:
            found = super().ls(path, detail=True, **options)
            if not found:
                return []
            self.dircache[path] = found
        entries = self.dircache[path]
        return list(entries) if detail else sorted(entry["name"] for entry in entries)

    def invalidate_cache(self, path=None):
        self.dircache.clear()

    def get_file(self, path, target, **options):
        name = self._strip_protocol(path).rpartition("/")[2]
        # The command reads each file once for its digest; fail after that.
        seen = os.environ["SHELF"] + "/../seen-" + name
        if name == os.environ.get("SHELF_FAILS") and os.path.exists(seen):
            raise OSError(5, "the line is down")
        Path(seen).touch()
        return super().get_file(path, target, **options)
'''


def install(folder: Path) -> dict[str, str]:
    """Write the module and its entry point; returns the environment of processes that use it."""
    site, shelf = folder / "site", folder / "shelf"
    facts = site / "shelf_store-1.0.dist-info"
    facts.mkdir(parents=True)
    shelf.mkdir()
    (site / "shelf_store.py").write_text(textwrap.dedent(SHELF))
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-store\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[fsspec.specs]\nshelf = shelf_store:Shelf\n")
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "SHELF": str(shelf),
        "HANMO_REMOTE": str(folder / "here"),
    }


def use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process, and those that it starts, know the store."""
    for name, value in install(folder).items():
        monkeypatch.setenv(name, value)
    made = runpy.run_path(str(folder / "site/shelf_store.py"))["Shelf"]
    fsspec.register_implementation("shelf", made, clobber=True)
