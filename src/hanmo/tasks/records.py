"""What is known of the files in a task's folder: `downloads.json`, and their digests.

In: a folder. Out: of each file there, by its name without compression, where it came from and its
SHA-256. What is not in the record was put there by somebody else.

    Records(Path("data/ocnli")).read()["dev.json"]["sha256"]
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.files import COMPRESSIONS, open_bytes, write_json
from hanmo.tasks.archives import is_damage

FILE = "downloads.json"
REJECTED = ".rejected"  # a file with another checksum than the known one


@dataclasses.dataclass(frozen=True, slots=True)
class Records:
    """The record of a folder.

    Attributes:
        folder: of a task.
    """

    folder: Path

    def read(self) -> Mapping[str, Mapping[str, Any]]:
        """Return name → what is known of the file; nothing where there is no record.

        Raises:
            UserError: the record is not JSON.
        """
        path = self.folder / FILE
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not JSON: {error}; remove it") from None
        return raw if isinstance(raw, dict) else {}

    def add(self, files: Mapping[Path, bool], source: str, digest: str) -> None:
        """Note where files came from.

        Args:
            files: path → whether its checksum, or that of the download, is the known one.
            source: an address, or the name of a file at hand; empty: it lay there and was accepted.
            digest: of the download that held them.
        """
        if not files:
            return
        new = {
            plain(path): {
                "from": source,
                "download_sha256": digest,
                "sha256": content_digest(path),
                "verified": verified,
            }
            for path, verified in files.items()
        }
        old = {
            name: one
            for name, one in self.read().items()
            if not name.endswith(REJECTED) or (self.folder / name).is_file()
        }
        write_json(self.folder / FILE, {**old, **new})

    def origin(self, name: str, digest: str) -> str:
        """Return where a file with this digest was got from; empty: not by a get."""
        known = self.read().get(name, {})
        return str(known.get("from", "")) if known.get("sha256") == digest else ""


def plain(path: Path) -> str:
    """Return a file's name without its compression."""
    return path.stem if path.suffix in COMPRESSIONS else path.name


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, unpacked where it is compressed.

    Raises:
        UserError: it is damaged.
    """
    digest = hashlib.sha256()
    try:
        with open_bytes(path) as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except Exception as error:
        if not is_damage(error):
            raise
        raise UserError(f"{path}: damaged archive: {error}; fetch or pack it again") from None
    return digest.hexdigest()
