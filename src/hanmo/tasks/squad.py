"""Reading-comprehension files in SQuAD's JSON, and CMRC 2018's older list form.

In: a JSON file, with or without a byte order mark, plain or compressed. Out: one question after the
other as (id, values): "context", "question", "answers" (a list of {"text", "answer_start"}; None
where the file has none), and whatever else stands beside the question ("is_impossible") or the
document ("domain", "title").

    for id, row in read_squad(Path("cmrc2018_dev.json.xz")): row["answers"][0]["text"]
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.files import read_lines

# CMRC 2018's own form (facts/10): one object a passage, answers as plain texts.
_OLD = {"context_text": "context", "query_text": "question", "query_id": "id"}


def read_squad(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (id, values) of every question.

    Raises:
        UserError: not such a file, or a question without id, text or context (says which), or an
            id that is there twice.
    """
    seen: set[str] = set()
    number = 0
    for document, passage in _passages(path):
        context = passage.get("context")
        for question in _list(path, passage, "qas", "questions"):
            number += 1
            row = {**document, **question, "context": context}
            for key in ("id", "question", "context"):
                if not isinstance(row.get(key), str):
                    raise UserError(
                        f"{path}: question no. {number} ({row.get('id', 'without id')}): "
                        f"{key}: got {str(row.get(key))[:40]!r}; expected a text"
                    )
            if row["id"] in seen:
                raise UserError(f"{path}: question {row['id']}: this id is there twice")
            seen.add(row["id"])
            row["answers"] = _answers(path, row)
            yield row["id"], row


def _passages(path: Path) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Yield (what a document says of itself, passage)."""
    raw = _load(path)
    if isinstance(raw, list):
        for passage in raw:
            if not isinstance(passage, dict):
                raise UserError(f"{path}: a list of {type(passage).__name__}; expected passages")
            renamed = _renamed(passage)
            renamed["qas"] = [_renamed(one) for one in _list(path, passage, "qas", "questions")]
            yield {}, renamed
        return
    if not isinstance(raw, dict) or not isinstance(raw.get("data"), list):
        raise UserError(f'{path}: no list "data" at the top; expected SQuAD\'s JSON')
    for document in _list(path, raw, "data", "documents"):
        own = {k: v for k, v in document.items() if k not in {"paragraphs", "id"}}
        for passage in _list(path, document, "paragraphs", "paragraphs"):
            yield own, passage


def _load(path: Path) -> Any:
    # A file may be one line of many megabytes.
    text = "\n".join(line for _, line in read_lines(path, max_bytes=1 << 40))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: not JSON: {error.msg} at column {error.colno}"
        ) from None


def _renamed(value: Mapping[str, Any]) -> dict[str, Any]:
    return {_OLD.get(key, key): item for key, item in value.items()}


def _list(path: Path, holder: Mapping[str, Any], key: str, what: str) -> list[Any]:
    found = holder.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UserError(f"{path}: {key!r}: got {str(found)[:40]!r}; expected a list of {what}")
    return found


def _answers(path: Path, row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    found = row.get("answers")
    if found is None:
        return None
    if isinstance(found, list) and all(isinstance(one, str) for one in found):
        return [{"text": one, "answer_start": -1} for one in found]
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("text"), str) for one in found
    ):
        raise UserError(
            f"{path}: question {row['id']}: answers: got {str(found)[:60]!r}; expected a list of "
            'texts, or of {"text", "answer_start"}'
        )
    return [{"text": one["text"], "answer_start": _start(path, row, one)} for one in found]


def _start(path: Path, row: Mapping[str, Any], answer: Mapping[str, Any]) -> int:
    start = answer.get("answer_start", -1)
    if isinstance(start, bool) or not isinstance(start, int):
        raise UserError(
            f"{path}: question {row['id']}: answer_start: got {start!r}; expected a whole number"
        )
    return start
