"""From what a user names to a folder: a folder, a published model, an id at Hugging Face.

A folder comes first. A name of the zoo stands for its id. An id is looked up in Hugging Face's
cache (`HF_HOME`), and downloaded when it is not there whole: configuration, vocabulary and one file
of weights, safetensors if there is one.

    place_of("lert-base").folder      # …/models--hfl--chinese-lert-base/snapshots/…
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.model import zoo
from hanmo.model.checkpoint import CONFIG, WEIGHT_FILES, WEIGHTS
from hanmo.text.vocab import HUB_FILE, VOCAB_FILE

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SMALL_FILES = (CONFIG, VOCAB_FILE, HUB_FILE, "tokenizer_config.json")
_NEEDED = "config.json, vocab.txt and model.safetensors (or pytorch_model.bin)"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a model lies.

    Attributes:
        folder: an existing folder.
        model: its entry in the zoo, as far as its name or id tells; None for others.
        from_hub: whether it is a copy of the release, rather than a folder of the user's.
    """

    folder: Path
    model: zoo.Model | None
    from_hub: bool


def place_of(source: str | Path) -> Place:
    """Find the folder that a source means.

    Raises:
        UserError: no such folder, model or id, no release, or no network.
    """
    path, name = Path(source), str(source)
    if path.is_dir():
        return Place(path, zoo.get(path.resolve().name), from_hub=False)
    if path.exists():
        raise UserError(f"{path}: a file; expected the model's folder: {path.parent}")
    model = zoo.get(name)
    if model is not None and not model.id:
        raise UserError(
            f"{name}: no release at Hugging Face is known; hanmo models show {model.name} says "
            "what there is; give the path of a folder of yours"
        )
    if model is None and (isinstance(source, Path) or not _ID.fullmatch(name)):
        _refuse(name)
    return Place(_from_hub(model.id if model else name), model, from_hub=True)


def _refuse(name: str) -> None:
    if "/" in name or "\\" in name:
        raise UserError(f"{name}: no such folder; expected one with {_NEEDED}")
    try:
        zoo.find(name)
    except UserError as error:
        raise UserError(f"{error}; a folder or an id such as hfl/rbt3 works too") from None


def _from_hub(name: str) -> Path:
    hub = _library()
    cached = _cached(hub, name)
    if cached is not None:
        return cached
    try:
        folder = Path(hub.snapshot_download(name, allow_patterns=[*_SMALL_FILES, WEIGHTS]))
        if not (folder / WEIGHTS).is_file():
            folder = Path(hub.snapshot_download(name, allow_patterns=list(WEIGHT_FILES[1:])))
    except hub.errors.RepositoryNotFoundError:
        raise UserError(f"{name}: no such model at Hugging Face, or a private one") from None
    except (OSError, ValueError, hub.errors.EntryNotFoundError, hub.errors.HTTPError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise _incomplete(hub, name, f"Hugging Face cannot be reached ({reason})") from None
    lacking = _lacking(folder)
    if lacking:  # without a network the library returns what it has
        reason = f"no {' and no '.join(lacking)} there, nor at Hugging Face if it can be reached"
        raise _incomplete(hub, name, reason)
    return folder


def _incomplete(hub: Any, name: str, reason: str) -> UserError:
    return UserError(
        f"{name}: not whole in the cache ({hub.constants.HF_HUB_CACHE}): {reason}; put {_NEEDED} "
        f"of https://huggingface.co/{name} into a folder and give its path"
    )


def _cached(hub: Any, name: str) -> Path | None:
    try:
        folder = Path(hub.snapshot_download(name, local_files_only=True, allow_patterns=[CONFIG]))
    except (hub.errors.LocalEntryNotFoundError, ValueError):
        return None
    return None if _lacking(folder) else folder


def _lacking(folder: Path) -> list[str]:
    needed = ((CONFIG,), (VOCAB_FILE, HUB_FILE), WEIGHT_FILES)
    return [
        " or ".join(names) for names in needed if not any((folder / one).is_file() for one in names)
    ]


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise UserError(
            "Hugging Face's models need its libraries: pip install 'hanmo[transformers]'; a folder "
            "with library='hanmo' needs none"
        ) from None
    return huggingface_hub
