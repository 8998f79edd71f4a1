"""What a server serves: predictors of a model, with the options of requests."""

import asyncio
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from hanmo.predict._beam import fill
from hanmo.predict._forward import Question, Ranking
from hanmo.predict._how import How
from hanmo.predict._predictor import Predictor
from hanmo.serve import app
from hanmo.serve.batcher import Batcher
from hanmo.serve.limits import DEFAULT
from hanmo.serve.metrics import Metrics
from hanmo.serve.models import Key, open_models, options_of
from hanmo.serve.schemas import request_of
from serve_cases import write_lert


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lert(tmp_path_factory.mktemp("model") / "lert")


def usual(kind: str, **options: Any) -> Key:
    given = {flag.name: flag.default for flag, _ in options_of(kind)} | options
    return Key(kind, 5, tuple(sorted(given.items())))


def test_usual_questions_are_loaded_from_the_start(folder: Path) -> None:
    model = open_models({"lert": folder}, How())["lert"]
    for kind, asked in model.kinds.items():
        assert model.find(usual(kind)) is asked


def test_questions_that_come_together_are_loaded_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_models({"lert": folder}, How())["lert"]
    loads: list[Key] = []
    load = type(model).load
    monkeypatch.setattr(type(model), "load", lambda self, key: loads.append(key) or load(self, key))

    async def run() -> None:
        batcher = Batcher(budget=100, waiting=100, metrics=Metrics())
        key = usual("fill-mask", beam=3)
        found = await asyncio.gather(*(app._asked(model, key, batcher) for _ in range(9)))
        assert len({id(one) for one in found}) == 1
        assert model.find(key) is found[0]
        assert loads == [key]
        assert not model.loading
        await batcher.stop()

    asyncio.run(run())
    # Its pieces are found by the one tokenizer of the model.
    one, other = (model.find(usual("fill-mask", **more)) for more in ({}, {"beam": 3}))
    assert one is not None and other is not None
    tokenizers = {id(asked.predictor.read.__self__.tokenizer) for asked in (one, other)}
    assert len(tokenizers) == 1


def test_a_request_may_not_ask_for_any_beam(folder: Path) -> None:
    predictor = open_models({"lert": folder}, How())["lert"].kinds["fill-mask"].predictor
    made = request_of("lert", "fill-mask", predictor, DEFAULT)
    made(inputs=["[MASK]"], beam=64)
    with pytest.raises(ValidationError, match="less than or equal to 64"):
        made(inputs=["[MASK]"], beam=65)


def test_fields_may_be_numbers_but_not_other_values() -> None:
    predictor = Predictor(("text", "start"), dict, len, list, (), list, engine="e")
    made = request_of("m", "classify", predictor, DEFAULT)
    given: Any = made(inputs=[{"text": "他来了", "start": 3}])
    assert given.inputs[0].start == 3
    for bad in (True, 1.5, {"a": 1}):
        with pytest.raises(ValidationError):
            made(inputs=[{"text": "他来了", "start": bad}])


def test_a_wide_beam_makes_no_more_than_it_keeps() -> None:
    """A beam of 1,500 has 2 million candidates for two masks, of which 1,500 become inputs."""
    n = 1500
    logs = -np.arange(1, n + 1, dtype=np.float32)[None]

    def rank(asked: Sequence[Question]) -> list[Ranking]:
        pieces = np.arange(n, dtype=np.int32)[None]
        return [
            Ranking(logs.repeat(len(one.places), 0), pieces.repeat(len(one.places), 0))
            for one in asked
        ]

    word = Question(np.array([2, 103, 103, *range(200), 3], np.int32), (1, 2))
    tracemalloc.start()
    try:
        [filled] = fill([word], rank, beam=n)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 300e6
    assert len(filled.fillings) == n
    assert filled.fillings[0].pieces == (0, 0)
    assert filled.fillings[0].log_probability == -2
