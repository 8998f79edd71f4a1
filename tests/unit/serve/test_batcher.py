"""Batches: everybody gets the own answers, however requests come together."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.predict._predictor import Answer, Predictor
from hanmo.serve.batcher import Asked, Batcher
from hanmo.serve.metrics import Metrics
from hanmo.serve.problems import Problem


class Model:
    """A model that notes its batches and fails where it is told to."""

    def __init__(self, name: str = "m") -> None:
        self.batches: list[list[Any]] = []
        self.go = threading.Event()
        self.go.set()
        self.asked = Asked(name, "kind", self._predictor())

    def _predictor(self) -> Predictor:
        return Predictor(("text",), lambda row: row["text"], len, self._answer, (), lambda one: [])

    def _answer(self, queries: Sequence[Any]) -> list[Answer]:
        assert self.go.wait(10)
        self.batches.append(list(queries))
        if any("坏" in query for query in queries):
            raise ValueError("a secret of the inside")
        return [{"text": query} for query in queries]


def made(budget: int = 10, waiting: int = 1000) -> Batcher:
    return Batcher(budget=budget, waiting=waiting, metrics=Metrics())


async def ask(batcher: Batcher, model: Model, texts: Sequence[str]) -> list[str]:
    answers = await batcher.ask(model.asked, texts, [len(text) for text in texts])
    return [answer["text"] for answer in answers]


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 1), st.lists(st.text("甲乙丙丁", min_size=1, max_size=14), min_size=1)
    ),
    min_size=1,
    max_size=12,
)


@given(REQUESTS, st.integers(1, 30))
def test_every_request_gets_its_own_answers_in_bounded_batches(
    requests: list[tuple[int, list[str]]], budget: int
) -> None:
    models = [Model("a"), Model("b")]

    async def run() -> list[list[str]]:
        batcher = made(budget, waiting=10**6)
        batcher.start()
        # Numbers make every text the only one of its kind, so that a mix-up shows.
        own = [
            (models[which], [f"{n}.{i}{text}" for i, text in enumerate(texts)])
            for n, (which, texts) in enumerate(requests)
        ]
        given = await asyncio.gather(*(ask(batcher, model, texts) for model, texts in own))
        await batcher.stop()
        assert given == [texts for _, texts in own]
        return [batch for model in models for batch in model.batches]

    for batch in asyncio.run(run()):
        assert len(batch) == 1 or sum(map(len, batch)) <= budget


def test_what_waits_runs_together_oldest_first() -> None:
    first, second = Model("a"), Model("b")

    async def run() -> None:
        batcher = made(budget=4)
        batcher.start()
        first.go.clear()
        order = [(first, "一"), (first, "二二"), (second, "三"), (first, "四"), (first, "五五五")]
        tasks = []
        for model, text in order:
            tasks.append(asyncio.create_task(ask(batcher, model, [text])))
            await asyncio.sleep(0.01)  # the first runs alone; the others wait for it
        first.go.set()
        await asyncio.gather(*tasks)
        await batcher.stop()

    asyncio.run(run())
    assert first.batches == [["一"], ["二二", "四"], ["五五五"]]
    assert second.batches == [["三"]]


def test_a_full_queue_says_when_to_come_again() -> None:
    model = Model()

    async def run() -> None:
        batcher = made(budget=2, waiting=5)
        batcher.start()
        assert await ask(batcher, model, ["很长" * 9]) == ["很长" * 9]  # larger than the queue
        model.go.clear()
        running = asyncio.create_task(ask(batcher, model, ["一"]))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(ask(batcher, model, ["二二二二"]))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as caught:
            await ask(batcher, model, ["三三"])
        assert (caught.value.status, caught.value.code) == (429, "queue_full")
        assert 1 <= int(caught.value.headers["Retry-After"]) <= 60
        model.go.set()
        assert await asyncio.gather(running, waiting) == [["一"], ["二二二二"]]
        assert await ask(batcher, model, ["三三"]) == ["三三"]
        await batcher.stop()

    asyncio.run(run())


def test_only_the_culprit_fails() -> None:
    model = Model()

    async def run() -> None:
        batcher = made(budget=100)
        batcher.start()
        model.go.clear()
        texts = [["先"], ["好"], ["好的", "坏"], ["也好"]]
        tasks = [asyncio.create_task(ask(batcher, model, one)) for one in texts]
        await asyncio.sleep(0.05)
        model.go.set()
        given = await asyncio.gather(*tasks, return_exceptions=True)
        assert given[0] == ["先"]
        assert given[1] == ["好"]
        assert isinstance(given[2], ValueError)
        assert given[3] == ["也好"]
        assert await ask(batcher, model, ["后"]) == ["后"]
        await batcher.stop()

    asyncio.run(run())


def test_who_has_gone_costs_nothing() -> None:
    model = Model()

    async def run() -> None:
        batcher = made(budget=100, waiting=10)
        batcher.start()
        model.go.clear()
        first = asyncio.create_task(ask(batcher, model, ["一"]))
        await asyncio.sleep(0.05)
        gone = asyncio.create_task(ask(batcher, model, ["走了走了走了"]))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        # Its place in the queue is free at once.
        late = asyncio.create_task(ask(batcher, model, ["后后后后后后"]))
        await asyncio.sleep(0.01)
        model.go.set()
        assert await first == ["一"]
        assert await late == ["后后后后后后"]
        await batcher.stop()

    asyncio.run(run())
    assert model.batches == [["一"], ["后后后后后后"]]
