"""The page, in a real browser: mask a word, see fillings and labels; every tab; by keyboard too."""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from hanmo.text.tokenizer import Tokenizer
from serve_cases import (
    LABELS,
    Running,
    serving,
    write_classifier,
    write_lert,
    write_reader,
    write_tagger,
)
from training_cases import TINY

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian: apt install chromium)"),
    # Its own transport leaves a loop behind when the driver's process ends.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SENTENCE = "春天来了，公园里的花都开了。"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
OTHERS = (
    "去年秋李小云从成都搬到上海在一家出版社工作市图书馆每早九点门晚八半关星期全闭借需要带身份证"
    "几房间干净服务很热情下次还酒店让人满意？"
)
PLAIN = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    base = tmp_path_factory.mktemp("page")
    tokens = Tokenizer([*SPECIAL, *dict.fromkeys(SENTENCE + OTHERS)])
    shape = dataclasses.replace(TINY, vocab_size=tokens.size)
    models = [
        write_lert(base / "lert", tokens, shape),
        write_classifier(base / "reviews", tokens=tokens, shape=shape),
        write_classifier(base / "pairs", pair=True, tokens=tokens, shape=shape),
        write_tagger(base / "ner", tokens, shape),
        write_reader(base / "reader", tokens, shape),
    ]
    with serving(base / "log", *models, "--engine", "torch", "--precision", "fp32") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=list(PLAIN))
        yield made
        made.close()


class Visit:
    """A page that notes what it asked for and what it complained of."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(locale="zh-CN", **options)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._said)
        self.page.goto(url)

    def _said(self, message: Any) -> None:
        # The browser itself notes every answer that is no 200 there.
        if message.type == "error" and "status of 4" not in message.text:
            self.complaints.append(message.text)


@pytest.fixture
def visit(browser: Any, server: Running) -> Iterator[Visit]:
    visit = Visit(browser, server.url)
    visit.page.wait_for_selector("#ask")
    yield visit
    visit.context.close()
    assert visit.complaints == []
    own = f"{server.url}/"
    assert visit.asked
    assert [url for url in visit.asked if not url.startswith(own)] == []


def bars(page: Any, place: str = "#answers") -> list[tuple[str, float]]:
    rows = page.locator(f"{place} table.bars tr").all()
    return [
        (row.locator("td").first.inner_text(), float(row.locator("td").last.inner_text()))
        for row in rows
    ]


def test_a_masked_word_has_fillings_and_labels(visit: Visit, server: Running) -> None:
    page = visit.page
    page.locator("#units button", has_text="公园").first.click()
    page.locator("#ask").click()
    page.wait_for_selector("#answers .card")
    masked = SENTENCE.replace("公园", "[MASK][MASK]")
    [expected] = server.post("/models/lert/fill-mask", {"inputs": [masked], "top_k": 8}).json()[
        "answers"
    ]
    assert page.locator("#answers .filled").inner_text() == expected["filled"]
    shown = bars(page, "#answers .card")
    fillings = expected["words"][0]["fillings"]
    assert [name for name, _ in shown[:8]] == [one["text"] for one in fillings]
    for (_, value), one in zip(shown, fillings, strict=False):
        assert value == pytest.approx(one["probability"], abs=6e-4)
    widths = [row.bounding_box()["width"] for row in page.locator("#answers .card .bar").all()[:8]]
    assert widths == sorted(widths, reverse=True)
    labels = server.post("/models/lert/tags", {"inputs": [masked], "top_k": 3}).json()
    layers = labels["answers"][0]["words"][0]["layers"]
    assert page.locator("#answers .labels h3").all_inner_texts() == ["词性", "实体", "依存关系"]
    told = page.locator("#answers .labels").inner_text()
    for items in layers.values():
        assert items[0]["label"] in told
    # Asked again in English, without a mask, it says what is missing.
    page.locator("#language").click()
    assert page.locator("html").get_attribute("lang") == "en"
    page.locator("#units button", has_text="公园").first.click()
    page.locator("#ask").click()
    page.wait_for_selector("#problem:not(:empty)")
    assert "Choose a character or a word" in page.locator("#problem").inner_text()


def test_by_characters_and_by_keyboard_alone(visit: Visit) -> None:
    page = visit.page
    page.locator("#by").select_option("character")
    assert page.locator("#units button").count() == len(SENTENCE)
    page.locator("#tab-fill").focus()
    for _ in range(20):  # tab, model, sentence, unit of masks, then the units
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id").startswith("unit-"):
            break
    assert page.evaluate("document.activeElement.id") == "unit-0"
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#answers .card")
    filled = page.locator("#answers .filled").inner_text()
    assert len(filled) == len(SENTENCE)
    assert filled[:5] + filled[6:] == SENTENCE[:5] + SENTENCE[6:]
    page.locator("#tab-fill").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tab-classify").get_attribute("aria-selected") == "true"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.id") == "tab-answer"


def test_texts_and_pairs_are_classified(visit: Visit) -> None:
    page = visit.page
    page.locator("#tab-classify").click()
    for model, n_texts in (("reviews", 1), ("pairs", 2)):
        page.locator("#model").select_option(model)
        assert page.locator("#panel textarea").count() == n_texts
        page.locator("#ask").click()
        page.wait_for_selector("#answers .card")
        shown = bars(page)
        assert {name for name, _ in shown} == set(LABELS)
        assert sum(value for _, value in shown) == pytest.approx(1, abs=2e-3)
        assert page.locator("#answers .filled").inner_text() == shown[0][0]


def test_entities_are_marked_in_the_text(visit: Visit, server: Running) -> None:
    page = visit.page
    page.locator("#tab-entities").click()
    text = "去年秋天，\U0001f600李小云从成都搬到上海。"  # a character of two units before them
    page.locator("#text").fill(text)
    page.locator("#ask").click()
    page.wait_for_selector("#answers .card")
    [expected] = server.post("/models/ner/entities", {"inputs": [text]}).json()["answers"]
    assert expected["entities"]
    shown = [
        (one.evaluate("one => one.firstChild.textContent"), one.locator("small").inner_text())
        for one in page.locator("#answers mark").all()
    ]
    assert shown == [(one["text"], one["type"]) for one in expected["entities"]]
    plain = page.locator("#answers p.text").evaluate(
        "p => { const q = p.cloneNode(true); q.querySelectorAll('small').forEach(s => s.remove());"
        " return q.textContent; }"
    )
    assert plain == text


def test_an_answer_is_marked_in_its_passage(visit: Visit, server: Running) -> None:
    page = visit.page
    page.locator("#tab-answer").click()
    question, context = (page.locator(f"#{name}").input_value() for name in ("question", "context"))
    page.locator("#ask").click()
    page.wait_for_selector("#answers .card")
    asked = {"question": question, "context": context}
    [expected] = server.post("/models/reader/answer", {"inputs": [asked]}).json()["answers"]
    assert page.locator("#answers mark").inner_text() == expected["answer"]
    assert page.locator("#answers p.text").inner_text() == context


def test_what_the_server_refuses_is_told_and_the_next_question_works(visit: Visit) -> None:
    page = visit.page
    page.locator("#tab-classify").click()
    page.locator("#model").select_option("reviews")
    page.locator("#first").fill("   ")
    page.locator("#ask").click()
    page.wait_for_selector("#problem:not(:empty)")
    assert "empty text" in page.locator("#problem").inner_text()
    page.locator("#first").fill("<img src=x onerror=alert(1)>")  # text is text
    page.locator("#ask").click()
    page.wait_for_selector("#answers .card")
    assert page.locator("#problem").inner_text() == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_whole(browser: Any, server: Running, scheme: str) -> None:
    visit = Visit(browser, server.url, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = visit.page
    page.wait_for_selector("#ask")
    page.locator("#units button", has_text="春天").first.click()
    page.locator("#ask").click()
    page.wait_for_selector("#answers .card")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    # Large enough for a finger.
    box = page.locator("#units button").first.bounding_box()
    assert min(box["width"], box["height"]) >= 32
    visit.context.close()
    assert visit.complaints == []


def test_the_interface_is_described_and_can_be_tried(browser: Any, server: Running) -> None:
    visit = Visit(browser, f"{server.url}/docs")
    page = visit.page
    entry = page.locator("details", has_text="/models/lert/fill-mask")
    entry.locator("summary").click()
    assert "mask_length" in entry.inner_text()
    entry.locator("button").click()
    entry.locator("pre:not(:empty)").wait_for()
    status, _, body = entry.locator("pre").inner_text().partition("\n")
    assert status == "200"
    assert json.loads(body)["kind"] == "fill-mask"
    visit.context.close()
    assert visit.complaints == []
    assert all(url.startswith(f"{server.url}/") for url in visit.asked)
