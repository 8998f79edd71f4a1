"""Open a model by name, id or folder, with the classes that fit what is there.

HFL's files name no class or a misleading one, and "roberta" in a name makes others open a BERT as
what it is not (facts/09 no. 6). Here the weights decide: their names tell the family, and which
heads are there. A head that is missing or was never trained is an error, never random weights.

    hanmo.load("lert-base")                                     # a name of `hanmo models`
    hanmo.load("hfl/chinese-roberta-wwm-ext", head="encoder")   # BertTokenizer and BertModel
    hanmo.load("work/lert", library="hanmo")                    # with LERT's label heads
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError, nearest
from hanmo.loading.contents import HEADS, Contents, contents_of
from hanmo.loading.places import place_of


def load(
    source: str | Path, *, head: str | None = None, library: str = "transformers"
) -> tuple[Any, Any]:
    """Load a tokenizer and a model, in evaluation mode and fp32.

    Args:
        source: a name of `hanmo models`, an id at Hugging Face (taken from its cache, downloaded
            when it is not there) or a folder: Hugging Face's or hanmo's.
        head: "encoder", "masked-lm", "pre-training", "sequence-classification",
            "token-classification" or "question-answering"; by default what the folder holds, and
            the encoder where its masked-LM head was never trained.
        library: whose objects: "transformers", or "hanmo" (encoder and masked-lm alone, with label
            heads where the folder has them).

    Returns:
        The tokenizer and the model.

    Raises:
        UserError: nothing there, no network, no such head or one that was never trained, weights
            that do not fit the configuration, or transformers is not installed.
    """
    if library not in _LIBRARIES:
        raise UserError(f"library: no {library!r}{nearest(library, _LIBRARIES)}")
    if head is not None and head not in HEADS:
        raise UserError(f"head: no {head!r}{nearest(head, HEADS)}")
    place = place_of(source)
    contents = contents_of(place.folder, place.model)
    chosen = _default(contents, library) if head is None else contents.require(head)
    if place.model and place.from_hub and place.model.hub_heads.get(chosen) == "random":
        warnings.warn(
            f"{source}: its authors say that its {chosen} head is random; judge its answers "
            "before you trust them",
            stacklevel=2,
        )
    return _LIBRARIES[library](contents, chosen)


def _upstream(contents: Contents, head: str) -> tuple[Any, Any]:
    from hanmo.loading import upstream

    return upstream.tokenizer_of(contents), upstream.model_of(contents, head)


def _own(contents: Contents, head: str) -> tuple[Any, Any]:
    from hanmo.model import checkpoint
    from hanmo.text.tokenizer import Tokenizer

    readers: Mapping[str, Callable[[Path], Any]] = {
        "encoder": checkpoint.load_encoder,
        "masked-lm": checkpoint.load_masked_lm,
    }
    if head not in readers:
        raise UserError(
            f"{contents.folder}: a {head} head; library='hanmo' has the encoder and the masked-lm "
            "head: say head='encoder', or take library='transformers'"
        )
    return Tokenizer.load(contents.folder), readers[head](contents.folder).eval()


def _default(contents: Contents, library: str) -> str:
    head = contents.default_head()
    if library == _OWN and head == "pre-training":  # what hanmo has of it
        return "masked-lm" if contents.has("masked-lm") else "encoder"
    return head


_OWN = "hanmo"
_LIBRARIES: Mapping[str, Callable[[Contents, str], tuple[Any, Any]]] = {
    "transformers": _upstream,
    _OWN: _own,
}
