"""Small files in the official formats of tasks of every kind, under their official names."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training_cases import CHARACTERS

SPLITS = ("train", "dev", "test")
ROWS = 8


def text(rng: random.Random, n: int) -> str:
    return "".join(rng.choices(CHARACTERS, k=n))


def json_rows(make: Callable[[random.Random, int], dict[str, Any]], seed: int) -> str:
    rng = random.Random(seed)
    return "".join(json.dumps(make(rng, n), ensure_ascii=False) + "\n" for n in range(ROWS))


def question(rng: random.Random, name: str, number: int, *, judicial: bool) -> dict[str, Any]:
    context = text(rng, 60)
    start = rng.randrange(50)
    answer = {"text": context[start : start + 4], "answer_start": start}
    if number == 1:  # as in CMRC 2018's dev: only its text says where it is
        answer["answer_start"] = -1
    one: dict[str, Any] = {"id": f"{name}-{number}", "question": text(rng, 5), "answers": [answer]}
    if judicial:
        kinds = ({}, {"text": "YES", "answer_start": -1}, {"text": "", "answer_start": -1})
        one["answers"] = [{**answer, **kinds[number % 3]}] * (1 if name == "train" else 3)
        one["is_impossible"] = "true" if number % 3 == 2 else "false"
    return {"context": context, "qas": [one]}


def squad(name: str, seed: int, *, judicial: bool = False) -> str:
    rng = random.Random(seed)
    passages = [question(rng, name, n, judicial=judicial) for n in range(ROWS)]
    return "\ufeff" + json.dumps({"version": "v1.0", "data": [{"paragraphs": passages}]})


def conll(seed: int) -> str:
    rng = random.Random(seed)
    lines = []
    for _ in range(ROWS):
        characters = text(rng, 30)
        tags = ["O"] * 4 + ["B-PER", "I-PER"] + ["O"] * 22 + ["B-LOC", "I-LOC"]
        lines += [f"{c}\t{tag}" for c, tag in zip(characters, tags, strict=True)] + [""]
    return "\n".join(lines) + "\n"


def cluener_row(rng: random.Random, number: int) -> dict[str, Any]:
    made = text(rng, 20)
    return {"text": made, "label": {"name": {made[2:5]: [[2, 4]]}}}


def csl_row(rng: random.Random, number: int) -> dict[str, Any]:
    words = [text(rng, 2), text(rng, 3)]
    return {"id": number, "abst": text(rng, 40), "keyword": words, "label": str(number % 2)}


def wsc_row(rng: random.Random, number: int) -> dict[str, Any]:
    made = text(rng, 30)
    target = {"span1_text": made[3:5], "span1_index": 3, "span2_text": made[20], "span2_index": 20}
    return {"target": target, "idx": number, "label": ("true", "false")[number % 2], "text": made}


def ocnli_row(rng: random.Random, number: int) -> dict[str, Any]:
    labels = ("neutral", "entailment", "contradiction", "-")
    return {"sentence1": text(rng, 9), "sentence2": text(rng, 7), "label": labels[number % 4]}


def stsb(seed: int) -> str:
    rng = random.Random(seed)
    return "".join(f"x-{n}||{text(rng, 8)}||{text(rng, 8)}||{n % 6}\n" for n in range(ROWS))


def write_data(folder: Path) -> Path:
    """Files under their official names, in folders named after the tasks."""
    names: dict[str, Callable[[str, int], tuple[str, str]]] = {
        "cmrc2018": lambda split, seed: (f"cmrc2018_{split}.json", squad(split, seed)),
        "cjrc": lambda split, seed: (
            "big_train_data.json" if split == "train" else f"{split}_ground_truth.json",
            squad(split, seed, judicial=True),
        ),
        "msra": lambda split, seed: (f"msra_{split}_bio.txt", conll(seed)),
        "cluener": lambda split, seed: (f"{split}.json", json_rows(cluener_row, seed)),
        "stsb": lambda split, seed: (f"cnsd-sts-{split}.txt", stsb(seed)),
        "csl": lambda split, seed: (f"{split}.json", json_rows(csl_row, seed)),
        "cluewsc": lambda split, seed: (f"{split}.json", json_rows(wsc_row, seed)),
        "ocnli": lambda split, seed: (f"{split}.json", json_rows(ocnli_row, seed)),
    }
    for name, make in names.items():
        (folder / name).mkdir(parents=True)
        for seed, split in enumerate(SPLITS):
            file, content = make(split, seed)
            (folder / name / file).write_text(content, encoding="utf-8")
    return folder
