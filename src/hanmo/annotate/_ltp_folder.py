"""Folders of LTP 4's models: found, downloaded where an id is given, and checked.

In: a folder, or an id at Hugging Face such as ``LTP/small`` or ``LTP/base@main``. Out: the folder
and its ``config.json``: the key ``nerual`` (LTP's spelling) tells the neural models from the
perceptrons of ``LTP/legacy``. LTP's own download does not work with huggingface_hub 1 (it passes
`use_auth_token`), so the library's `snapshot_download` fetches the folder. A neural configuration
names the classes to build; only LTP's own are let through, for it may come from anybody.

Example: ``read_config(find_folder("models/ltp-small", option="--ltp.model"))["vocabs"]["pos"]``
"""

import errno
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError

CONFIG, WEIGHTS = "config.json", "pytorch_model.bin"
INSTALL = "pip install 'hanmo[ltp]'"
_FILES = [CONFIG, WEIGHTS, "vocab.txt", "tokenizer.json", "*tokens*.json", "tokenizer_config.json"]
_LEGACY_FILES = ["*_model.bin"]
_ID = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_TARGETS = re.compile(
    r"ltp_core\.models\.(ltp_model|processor|components\.(token|graph|sent))\.[A-Z]\w+"
    r"|ltp_core\.models\.utils\.(transformer\.)?load_transformers"
)

# What this machine lacks, not the network or the hub.
_LOCAL_TROUBLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS),
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE),
)


def find_folder(model: str | None, option: str) -> Path:
    """Return the folder that a user means; an id is downloaded, once.

    Args:
        model: A folder, or an id at Hugging Face.
        option: The flag to name in messages.

    Raises:
        UserError: Nothing was named, no such folder, or the download failed.
    """
    if not model:
        raise UserError(
            f"no LTP model: give {option} a folder, or an id that may be downloaded from Hugging "
            "Face, such as LTP/small (free for universities and individual researchers, not for "
            "companies)"
        )
    folder = Path(model)
    if folder.is_dir():
        return folder
    match = _ID.fullmatch(model)
    if match is None or folder.exists():
        raise UserError(f"{model}: no such folder; expected an LTP model folder with {CONFIG}")
    return _download(match["name"], match["revision"], option)


def _download(name: str, revision: str | None, option: str) -> Path:
    try:
        import huggingface_hub as hub
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise UserError(f"annotator of LTP: huggingface_hub is not installed; {INSTALL}") from None
    patterns = [*_FILES, *_LEGACY_FILES]
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, OSError, ValueError) as error:
        if getattr(error, "errno", None) in _LOCAL_TROUBLE:
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{name}: neither a folder nor to be had from Hugging Face ({reason}); put its files "
            f"({CONFIG}, {WEIGHTS}, vocab.txt …) into a folder and give that to {option}"
        ) from None


def read_config(folder: Path, *, neural: bool) -> dict[str, Any]:
    """Read ``config.json``.

    Args:
        folder: The model.
        neural: Whether a neural model is wanted, rather than perceptrons.

    Raises:
        UserError: Not an LTP model, one of the other sort, or one that names strange classes.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder}: no {CONFIG}; expected a folder of an LTP 4 model") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not JSON ({error}); fetch the model again") from None
    if not isinstance(config, dict) or not isinstance(config.get("nerual"), bool):
        raise UserError(
            f"{path}: no key 'nerual', which LTP 4's models have; a model of transformers or of "
            "LTP 3 is something else"
        )
    if config["nerual"] != neural:
        right = "--annotator ltp" if config["nerual"] else "--annotator ltp-legacy"
        raise UserError(f"{folder}: the other sort of LTP model; it goes with {right}")
    for key in ("model", "vocabs") if neural else ("tasks",):
        if not isinstance(config.get(key), dict):
            raise UserError(f"{path}: no {key!r}; fetch the model again")
    for target in _targets(config):
        if not (isinstance(target, str) and _TARGETS.fullmatch(target)):
            raise UserError(
                f"{path}: names the class {target!r}; only those of ltp_core.models are built, for "
                "a configuration could run any program"
            )
    return config


def _targets(value: Any) -> Iterator[Any]:
    """Yield what a configuration would call."""
    if isinstance(value, dict):
        if "_ltp_target_" in value:
            yield value["_ltp_target_"]
        for inner in value.values():
            yield from _targets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _targets(inner)


def need(folder: Path, *names: str) -> None:
    """Check that files are there.

    Raises:
        UserError: One is not.
    """
    for name in names:
        if not (folder / name).is_file():
            raise UserError(f"{folder}: no {name}; the model folder is not whole; fetch it again")
