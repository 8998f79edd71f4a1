"""LTP 4's neural model, opened once in a process, and run over texts in batches.

In: a model folder. Out: words and raw labels, as LTP gives them (entities in BIEOS over words).
The `ltp` package does the work (Che et al. 2021, N-LTP); what is ours:

- `batch_encode_plus` is gone from transformers 5; LTP gets a tokenizer that has it;
- LTP loads weights leniently and would use a random head for missing ones; here they are an error;
- LTP's relative transformer counts positions from the end of the longest sentence of the batch
  (`RelativeMultiHeadAttn._shift`), so labels would depend on the company; such a head gets
  sentences of one length at a time, and a sentence the labels that it has alone;
- a text of more pieces than the encoder takes is cut (`_ltp_pieces`) and joined again;
- texts of about one length share a batch, so that little is padded. The arc scores go through
  Python lists on their way to LTP's decoder, so a batch is also limited in pieces.

Example: ``open_neural(folder, "auto", 1).run(["我们去北京。"], ("cws", "pos"), 32)``
"""

import contextlib
import errno
import functools
import importlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanmo.annotate._ltp_folder import CONFIG, INSTALL, WEIGHTS, need, read_config
from hanmo.annotate._ltp_pieces import Part, divide
from hanmo.annotate.tagsets import TAGSETS, ltp_dep, ltp_pos, unknown_label
from hanmo.core.errors import UserError

_LONGEST = 512  # pieces with [CLS] and [SEP]: the number stands in LTP's `pipeline`
_SHORTEST = 18  # an encoder with less room cannot be meant
_MOST_PIECES = 4096  # of a batch, padding included
_SPECIAL = 2  # [CLS] and [SEP]


@dataclass(frozen=True, slots=True)
class Found:
    """What LTP found in one part of a text.

    Attributes:
        part: Where the part lies in the text.
        forms: Its words, blanks and all; none where LTP sees no character.
        layers: Layer to one label a word.
    """

    part: Part
    forms: Sequence[str]
    layers: Mapping[str, Sequence[str]]


class _Tokenizer:
    """What LTP's pipeline calls: transformers 5 has no `batch_encode_plus` any more."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def batch_encode_plus(self, texts: Sequence[str], **options: Any) -> Any:
        return self._tokenizer(texts, **options)

    def encodings(self, texts: Sequence[str]) -> Any:
        """Return encodings without [CLS] and [SEP], of any length."""
        options = {"add_special_tokens": False, "truncation": False, "verbose": False}
        return self._tokenizer(list(texts), **options).encodings


class NeuralModel:
    """An opened model.

    Attributes:
        layers: The layers that it has.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._tokenizer = _Tokenizer(model.tokenizer)
        model.tokenizer = self._tokenizer
        room = getattr(model.model.backbone.config, "max_position_embeddings", _LONGEST)
        self._most = min(_LONGEST, max(_SHORTEST, room)) - _SPECIAL
        for head in model.model.task_heads.values():
            if hasattr(head, "relative_transformer"):
                head.forward = _by_length(head.forward)
        self.layers = tuple(layer for layer in TAGSETS if layer in model.supported_tasks)

    def run(
        self, texts: Sequence[str], layers: Sequence[str], batch_size: int
    ) -> list[list[Found]]:
        """Return what LTP finds in each text, part by part; most texts have one part.

        Args:
            texts: The texts; an empty one has no parts.
            layers: Layers besides the words.
            batch_size: Most texts of a batch.

        Raises:
            UserError: Memory ran out.
        """
        found: list[list[Found]] = [[] for _ in texts]
        jobs: list[tuple[int, int, Part]] = []  # pieces, number of the text, part
        filled = [i for i, text in enumerate(texts) if text]
        encodings = self._tokenizer.encodings([texts[i] for i in filled]) if filled else ()
        for i, encoding in zip(filled, encodings, strict=True):
            n_pieces = len(encoding.offsets)
            parts = [Part(0, len(texts[i]), n_pieces)]
            if n_pieces > self._most:
                parts = divide(texts[i], self._encode, self._most)
            jobs += [(part.n_pieces, i, part) for part in parts]
        jobs.sort()
        for batch in _batches(jobs, batch_size):
            shown = [texts[i][part.start : part.end] for _, i, part in batch]
            # LTP fails on texts without a piece; `_batches` keeps them apart.
            with _memory_explained():
                tagged = self._tagged(shown, layers) if batch[0][0] else [((), {})] * len(shown)
            for (_, i, part), one in zip(batch, tagged, strict=True):
                found[i].append(Found(part, *one))
        return [sorted(parts, key=lambda one: one.part.start) for parts in found]

    def _encode(self, text: str) -> Any:
        return self._tokenizer.encodings([text])[0]

    def _tagged(
        self, texts: Sequence[str], layers: Sequence[str]
    ) -> list[tuple[Sequence[str], Mapping[str, Sequence[str]]]]:
        """Return words and labels of each text of a batch."""
        output = self._model.pipeline(list(texts), tasks=["cws", *layers], raw_format=True)
        tagged: list[tuple[Sequence[str], Mapping[str, Sequence[str]]]] = []
        for number, forms in enumerate(output.cws):
            labels = {layer: output[layer][number] for layer in layers}
            # A tree has heads and labels; LERT needs the labels.
            labels = {k: v["label"] if isinstance(v, dict) else v for k, v in labels.items()}
            tagged.append((forms, labels))
        return tagged


def _by_length(forward: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a token classifier that sees sentences of one length at a time.

    Args:
        forward: From hidden states [B, L, H] and a mask [B, L] to a named tuple with the field
            `logits`, [B, L, T].
    """

    def run(hidden: Any, mask: Any) -> Any:
        lengths = mask.sum(dim=1)
        logits = None
        for length in lengths.unique().tolist():
            rows = lengths == length
            result = forward(hidden[rows, :length], mask[rows, :length])
            if logits is None:
                logits = hidden.new_zeros(*mask.shape, result.logits.shape[-1])
            logits[rows, :length] = result.logits
        return result._replace(logits=logits, attention_mask=mask)

    return run


def _batches(
    jobs: Sequence[tuple[int, int, Part]], batch_size: int
) -> Iterator[list[tuple[int, int, Part]]]:
    """Cut jobs, sorted by pieces, into batches."""
    batch: list[tuple[int, int, Part]] = []
    for job in jobs:
        is_full = len(batch) >= batch_size or (len(batch) + 1) * (job[0] + 2) > _MOST_PIECES
        if batch and (is_full or bool(job[0]) != bool(batch[0][0])):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


@functools.lru_cache(maxsize=2)
def open_neural(folder: Path, device: str, threads: int) -> NeuralModel:
    """Open a model; a process keeps the last two open.

    Args:
        folder: An LTP model folder.
        device: "auto" (a GPU if there is one), "cpu", or what torch calls a device.
        threads: torch's threads on the CPU.

    Raises:
        UserError: LTP is not installed, the folder is not a neural model, is not whole, or has
            labels that are not LERT's; or there is no such device, or memory ran out.
        OSError: The system cannot read it.
    """
    config = read_config(folder, neural=True)
    _check_labels(config["vocabs"], folder)
    need(folder, WEIGHTS)
    ltp = _library()
    with _memory_explained():
        model = _loaded(ltp, folder, config, _device(ltp.torch, device))
    ltp.torch.set_num_threads(threads)
    return NeuralModel(model)


def _library() -> Any:
    """Import LTP, and torch and transformers with it."""
    try:
        return importlib.import_module("ltp.nerual")
    except ImportError as error:
        raise UserError(f"annotator ltp: {error.name} is not installed; {INSTALL}") from None


def _device(torch: Any, name: str) -> Any:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter: torch without CUDA
        if _is_lack_of_memory(error):
            raise
        reason = str(error).partition("\n")[0]
        raise UserError(f"--ltp.device {name}: {reason}; expected auto, cpu or cuda") from None
    return device


def _loaded(ltp: Any, folder: Path, config: Any, device: Any) -> Any:
    class Strict(ltp.LTP):  # type: ignore[misc]
        def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
            missing = sorted(self.model.state_dict().keys() - state_dict.keys())
            if missing:
                raise UserError(
                    f"{folder / WEIGHTS}: lacks {len(missing)} of the model's weights, the first "
                    f"{missing[0]!r}; they would be random; fetch the model again"
                )
            self.model.load_state_dict(state_dict, strict=False)  # older files hold positions too

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
            # torch.load is safe here: only tensors are unpickled since torch 2.6.
            return Strict._from_pretrained(
                *(str(folder), None, None, False, None, True, None),
                map_location=device,
                config=config,
            )
    except (RuntimeError, EOFError, OSError, KeyError, TypeError, ValueError) as error:
        # The system's errors are not the folder's, but where a file is absent.
        number = error.errno if isinstance(error, OSError) else None
        if number not in (None, errno.ENOENT) or _is_lack_of_memory(error):
            raise
        raise _unreadable(folder, error) from None
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":  # pickle's own, which we do not import
            raise
        raise _unreadable(folder, error) from None


@contextlib.contextmanager
def _memory_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not _is_lack_of_memory(error):
            raise
        raise UserError(
            f"annotator ltp: memory ran out ({_first_line(error)}); run again with fewer --workers,"
            " a smaller --ltp.batch-size or another --ltp.device (finished parts are kept)"
        ) from error


def _is_lack_of_memory(error: Exception) -> bool:
    """Tell a lack of memory, a GPU's or the CPU's, from torch's other errors, by its words."""
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "allocate memory")
    )


def _unreadable(folder: Path, error: Exception) -> UserError:
    reason = _first_line(error)
    return UserError(f"{folder}: cannot be opened as an LTP model ({reason}); fetch it again")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _check_labels(vocabs: Mapping[str, Sequence[str]], folder: Path) -> None:
    """Refuse a model with labels that have no place in LERT's lists, before the first text."""
    where = str(folder / CONFIG)
    for layer, known in TAGSETS.items():
        for label in vocabs.get(layer, ()):
            shown = ltp_pos(label, "") if layer == "pos" else label
            shown = ltp_dep(shown, None) if layer == "dep" else shown
            if shown not in known:
                raise unknown_label(layer, label, where)
