"""What a server serves: predictors of a model, with the options of requests."""

import asyncio
import json
import threading
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
from hanmo.serve.models import _MOST_ASKED, Key, Served, open_models, usual
from hanmo.serve.problems import Problem
from hanmo.serve.schemas import request_of
from serve_cases import write_lert, write_tagger


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lert(tmp_path_factory.mktemp("model") / "lert")


def with_options(kind: str, **options: Any) -> Key:
    return Key(kind, 5, tuple(sorted((dict(usual(kind).options) | options).items())))


def test_usual_questions_are_loaded_from_the_start(folder: Path) -> None:
    model = open_models({"lert": folder}, How())["lert"]
    for kind, asked in model.kinds.items():
        assert model.find(usual(kind)) is asked
    for n in range(2 * _MOST_ASKED):  # whatever others ask
        model.keep(with_options("fill-mask", beam=n), asked)
    assert len(model._asked) == _MOST_ASKED
    assert model.find(usual("fill-mask")) is model.kinds["fill-mask"]


def test_questions_that_come_together_are_loaded_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_models({"lert": folder}, How())["lert"]
    loads: list[Key] = []
    load = type(model).load
    monkeypatch.setattr(type(model), "load", lambda self, key: loads.append(key) or load(self, key))

    async def run() -> None:
        batcher = Batcher(budget=100, waiting=100, metrics=Metrics())
        key = with_options("fill-mask", beam=3)
        found = await asyncio.gather(*(app._asked(model, key, batcher) for _ in range(9)))
        assert len({id(one) for one in found}) == 1
        assert model.find(key) is found[0]
        assert loads == [key]
        assert not model.loading
        await batcher.stop()

    asyncio.run(run())
    # Its pieces are found by the one tokenizer of the model.
    one, other = (model.find(with_options("fill-mask", **more)) for more in ({}, {"beam": 3}))
    assert one is not None and other is not None
    tokenizers = {id(asked.predictor.read.__self__.tokenizer) for asked in (one, other)}
    assert len(tokenizers) == 1


def test_only_so_many_questions_are_prepared_at_a_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for ever new options and leaves cannot fill the queue of preparations."""
    model = open_models({"lert": folder}, How())["lert"]
    go = threading.Event()
    monkeypatch.setattr(Served, "load", lambda self, key: go.wait(20) and self.kinds[key.kind])

    async def run() -> None:
        batcher = Batcher(budget=100, waiting=100, metrics=Metrics())
        keys = [with_options("fill-mask", beam=n) for n in range(1, 10)]
        tasks = [asyncio.create_task(app._asked(model, key, batcher)) for key in keys[:8]]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="being prepared") as refused:
            await app._asked(model, keys[8], batcher)
        assert refused.value.status == 429
        assert await app._asked(model, usual("fill-mask"), batcher) is model.kinds["fill-mask"]
        go.set()
        await asyncio.gather(*tasks)
        assert await app._asked(model, keys[8], batcher)
        await batcher.stop()

    asyncio.run(run())


def test_a_kind_that_a_model_cannot_give_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tagger of parts of speech has no entities; vectors it has."""
    folder = write_tagger(tmp_path / "pos")
    raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del raw["hanmo"]["kind"]
    raw["id2label"] = dict(zip(raw["id2label"], ("n", "v", "a", "d", "p"), strict=True))
    (folder / "config.json").write_text(json.dumps(raw), encoding="utf-8")
    model = open_models({"pos": folder}, How())["pos"]
    assert list(model.kinds) == ["embed"]
    assert "left out" in capsys.readouterr().err


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
