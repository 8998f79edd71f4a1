"""Models to prune: a masked LM with a trained-looking head, shards with its vocabulary."""

from pathlib import Path

import pytest

from pruning_cases import write_masked_lm
from training_cases import make_shards


@pytest.fixture(scope="session")
def masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_masked_lm(tmp_path_factory.mktemp("prune") / "lm")


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("prune-shards"), n_documents=40)
