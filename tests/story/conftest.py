"""One thread each: tiny models are faster so; what these tests share is `training_cases.py`."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training_cases import make_shards, run_pretrain


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small shards with all layers."""
    return make_shards(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Unbroken runs on them, one an objective."""
    folder = tmp_path_factory.mktemp("whole")
    for objective in ("mlm", "lert"):
        run_pretrain(shards, folder / objective, objective=objective)
    return {objective: folder / objective for objective in ("mlm", "lert")}
