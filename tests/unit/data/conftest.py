"""Fixtures of the data tests; what they share lies in `data_cases.py`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from data_cases import random_documents, write_shards

from hanmo.data.shards import ShardSet


@pytest.fixture
def shards(tmp_path: Path) -> ShardSet:
    """A few shards of 60 random documents."""
    folder = write_shards(tmp_path / "shards", [random_documents(7, 60)], shard_pieces=6000)
    return ShardSet.open(folder)
