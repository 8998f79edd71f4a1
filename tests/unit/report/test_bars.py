import re
from xml.etree import ElementTree

from hanmo.report.bars import bars_svg

BARS = [("n", 3.0), ("$%", 0.0), ("a<b", 1.0)]


def test_a_chart_is_one_element_with_its_own_ids() -> None:
    one = bars_svg("a chart", BARS, unit="% of words", key="one", mark_none=True)
    root = ElementTree.fromstring(one)
    assert root.tag.endswith("svg")
    assert root.get("viewBox")
    assert root.get("width") is None
    ids = re.findall(r'\bid="([^"]*)"', one)
    assert ids
    assert len(ids) == len(set(ids))
    assert all(name.startswith("one-") for name in ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', one)) <= set(ids)
    texts = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"a chart", "% of words", "n", "$%", "a<b", "0"} <= texts


def test_the_same_numbers_give_the_same_text() -> None:
    one, again = (bars_svg("t", BARS, unit="u", key="k") for _ in range(2))
    assert one == again
    assert "metadata" not in one
    other = bars_svg("t", BARS, unit="u", key="j")
    assert not set(re.findall(r' id="([^"]*)"', one)) & set(re.findall(r' id="([^"]*)"', other))


def test_no_bars_is_a_chart_too() -> None:
    assert bars_svg("t", [], unit="u", key="k").startswith("<svg")
