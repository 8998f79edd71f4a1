"""Answers of reading comprehension against gold texts: the official CMRC 2018 and CJRC scores.

In: the gold texts of a question, any of which is right, and the one text that was predicted. Out:
a number in [0, 1] for the question.

CMRC 2018 (Cui et al., 2019, arXiv:1810.07366) publishes a script whose rules differ from what its
names say; DRCD is scored with it too. What it does, and this file repeats:

- Texts are lower-cased and stripped once, before anything is removed.
- A text loses the characters of `PUNCTUATION`. The list holds … only in pairs, and one character
  is never equal to a pair, so … stays, as do —, ‘ and ASCII , . ? ! ( ) ' " ; %.
- The exact match compares what is left, spaces included.
- For F1, a character from U+4E00 to U+9FA5 is a word; what lies between such characters is cut
  into words by NLTK. Removed punctuation separates nothing: "iphone，6s" is the word "iphone6s".
- F1 counts the longest run of words that stand side by side in both texts, not a subsequence.
- Two texts without words agree exactly (1) and have F1 0.

Deviations: the script lets NLTK find sentences before words, with a model that must be downloaded;
here a stretch is always one sentence, which matters only for a full stop inside it. Measured with
the English model: of the 26,410 stretches in the 45,849 gold answers of CMRC 2018 train, dev and
trial, DRCD dev and CJRC dev, 4 are cut differently, in 3 answers, all of CMRC's train; of 120,000
random spans of the contexts of CMRC and DRCD, 32 are. NLTK's own rules moved more: 3.4.5, the last
for the script's Python 2, leaves dashes inside words, which changes 21 of those stretches. And
Python 3 lower-cases a few letters to two characters where Python 2 has one.

CJRC (Duan et al., 2019, arXiv:1912.09156), as the reading task of CAIL 2019 is scored: letters and
digits only, F1 over the characters whatever their order, every gold text left out once.

    cmrc_f1(("北京市",), "在北京")          # 2 of 3 words on both sides: 0.667
    cjrc_em(("是", "是的"), "是。")         # 0.5: right without 是的, wrong without 是
"""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# 33 entries in the script's order.
PUNCTUATION = (*"-:_*^/\\~`+=，。：？！“”；’《》", "……", *"·、「」（）－～『』")
_REMOVED = frozenset(PUNCTUATION)


def cmrc_em(golds: Sequence[str], text: str) -> float:
    """Return 1.0 if the text equals any gold text without its punctuation, else 0.0.

    Raises:
        ValueError: no gold text.
    """
    _check(golds)
    wanted = _without_punctuation(text)
    return float(any(_without_punctuation(gold) == wanted for gold in golds))


def cmrc_f1(golds: Sequence[str], text: str) -> float:
    """Return the best F1 of the text's words with those of a gold text.

    With r the length of the longest common run of words, precision is r by the words of the text
    and recall r by the words of the gold text; F1 is 0 where they share no word.

    Raises:
        ValueError: no gold text.
    """
    _check(golds)
    words = cmrc_words(text)
    return max(_run_f1(cmrc_words(gold), words) for gold in golds)


def cmrc_words(text: str) -> list[str]:
    """Cut a text into the words that CMRC's F1 compares.

    Example: `cmrc_words("买了iPhone，6s!")` → `["买", "了", "iphone6s", "!"]`.
    """
    words: list[str] = []
    stretch = ""  # what lies between two characters of the range
    for character in _without_punctuation(text):
        # The script's range: rarer and later characters are no words of their own.
        if "\u4e00" <= character <= "\u9fa5":
            words += [*_latin_words(stretch), character]
            stretch = ""
        else:
            stretch += character
    return words + _latin_words(stretch)


def official_report(
    expected: Mapping[str, Sequence[str]], predicted: Mapping[str, str]
) -> dict[str, str | int]:
    """Return what the CMRC 2018 script prints, but for the name of the file.

    Args:
        expected: id of a question → its gold texts.
        predicted: id → text; other ids are ignored. A question without one counts in TOTAL and
            in SKIP and has no points.

    Returns:
        AVERAGE (of F1 and EM), F1 and EM in percent as text with three decimals; TOTAL and SKIP
        as numbers of questions.

    Raises:
        ValueError: no questions, or a question without gold texts.
    """
    if not expected:
        raise ValueError("no questions to report on")
    # Summed one by one in the questions' order, so that even the third decimal rounds alike.
    f1 = em = 0.0
    answered = [question for question in expected if question in predicted]
    for question in answered:
        f1 += cmrc_f1(expected[question], predicted[question])
        em += cmrc_em(expected[question], predicted[question])
    total = len(expected)
    f1, em = 100.0 * f1 / total, 100.0 * em / total
    return {
        "AVERAGE": f"{(em + f1) * 0.5:.3f}",
        "F1": f"{f1:.3f}",
        "EM": f"{em:.3f}",
        "TOTAL": total,
        "SKIP": total - len(answered),
    }


def cjrc_em(golds: Sequence[str], text: str) -> float:
    """Return the share of gold texts without which the text still equals one of the others.

    A single gold text is not left out; no gold text at all means that the answer is empty. Only
    letters (Chinese characters are letters) and digits are compared, in lower case.
    """
    return _leave_one_out(lambda gold: float(_letters(gold) == _letters(text)), golds)


def cjrc_f1(golds: Sequence[str], text: str) -> float:
    """Return the best F1 with a gold text, averaged over leaving out each of them.

    F1 counts the characters that both texts have, repeated ones as often as both have them. Where
    either text is empty it is 1 if both are, else 0. For the rest see `cjrc_em`.
    """
    return _leave_one_out(lambda gold: _bag_f1(_letters(gold), _letters(text)), golds)


def _check(golds: Sequence[str]) -> None:
    if isinstance(golds, str) or not golds:
        raise ValueError(f"gold texts: got {golds!r}; expected a sequence of one text or more")


def _without_punctuation(text: str) -> str:
    # Stripped before, not after: "苹果 ，" keeps its space, as in the script.
    return "".join(one for one in text.lower().strip() if one not in _REMOVED)


@functools.cache
def _tokenizer() -> Any:
    # Importing NLTK takes a second; it reads no data for this.
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()


def _latin_words(stretch: str) -> list[str]:
    return _tokenizer().tokenize(stretch) if stretch else []


def _run_f1(gold: Sequence[str], answer: Sequence[str]) -> float:
    return _f1(_longest_run(gold, answer), len(gold), len(answer))


def _longest_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the most words that stand side by side in both sequences."""
    longest = 0
    above = [0] * (len(second) + 1)  # [j + 1]: words in common that end here, at the word before
    for word in first:
        row = [0] * (len(second) + 1)
        for j, other in enumerate(second):
            if word == other:
                row[j + 1] = above[j] + 1
        longest = max(longest, *row)
        above = row
    return longest


def _letters(text: str) -> str:
    return "".join(one for one in text.lower() if one.isdigit() or one.isalpha())


def _bag_f1(gold: str, answer: str) -> float:
    if not gold or not answer:
        return float(gold == answer)
    return _f1((Counter(gold) & Counter(answer)).total(), len(gold), len(answer))


def _f1(common: int, n_gold: int, n_answer: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / n_answer, common / n_gold
    return 2 * precision * recall / (precision + recall)


def _leave_one_out(score: Callable[[str], float], golds: Sequence[str]) -> float:
    if isinstance(golds, str):
        raise ValueError(f"gold texts: got {golds!r}; expected a sequence of texts")
    scores = [score(gold) for gold in golds or ("",)]
    if len(scores) == 1:
        return scores[0]
    best = [max(scores[:left] + scores[left + 1 :]) for left in range(len(scores))]
    return sum(best) / len(best)
