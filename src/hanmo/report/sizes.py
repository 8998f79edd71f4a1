"""Size classes of models, so that a score stands beside those of models of about its size.

In: a number of parameters, or the name under which a model was published. Out: "small", "base" or
"large". The published counts leave gaps: distilled and small models end at 59.8 M (RBT6, MiniRBT's
README), twelve layers of width 768 have 102 M with 21,128 pieces and 178 M with the multilingual
vocabulary, 24 layers of width 1024 have 324 M. The limits, 60 M and 200 M, lie in these gaps; only
RBTL3 (61 M: three layers, but of width 1024) is close to one.

    size_of(102_000_000)     # "base"
    named_size("LERT-large")  # "large"
"""

import re

_MILLION = 1_000_000
# Class → parameters below which it ends; the last one has no end.
_ENDS = {"small": 60 * _MILLION, "base": 200 * _MILLION}
_LAST = "large"
SIZES = (*_ENDS, _LAST)
# What the tables say of the classes.
EXPLANATION = "small under 60 M parameters, base 60 to 200 M, large above"

# The first that matches a published name counts; anything else is a base model: "BERT", "ERNIE"
# and "RoBERTa" mean twelve layers of width 768 in these tables.
_NAMES = (
    # Shared layers: base 12 M, large 18 M, xlarge 60 M with 30,000 pieces (ALBERT, table 1), and
    # about 1 M less with the 21,128 Chinese ones.
    (re.compile(r"albert", re.IGNORECASE), "small"),
    (re.compile(r"large", re.IGNORECASE), "large"),
    # RBT3, RBT4, RBT6 of BERT-wwm and MiniRBT; T3, T4 are TextBrewer's students.
    (re.compile(r"small|tiny|mini|\brbt\d|\bt\d", re.IGNORECASE), "small"),
)


def size_of(parameters: float) -> str:
    """Return the class of a model with so many parameters."""
    return next((name for name, end in _ENDS.items() if parameters < end), _LAST)


def named_size(model: str) -> str:
    """Return the class that a published name tells, for models without a published count."""
    return next((size for pattern, size in _NAMES if pattern.search(model)), "base")
