"""What the conversion tests share lies in `bundle_cases.py`."""

import sys
from pathlib import Path

import pytest

from convert_cases import LAYERS, save, shapes
from hanmo.model.masked_lm import MaskedLm

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """The folder of a small LERT with all its heads."""
    return save(MaskedLm(shapes()["rbt3"], layers=LAYERS), tmp_path / "start")
