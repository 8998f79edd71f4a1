"""What every test may use: the folder of real data, skipped with a reason when it is absent."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Tests never assert times, and hypothesis would: 200 ms an example, on machines that others use.
settings.register_profile("hanmo", deadline=None)
settings.load_profile("hanmo")

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real datasets: $HANMO_DATA, or `../shared/data` beside the checkout."""
    folder = Path(os.environ.get("HANMO_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found: {folder} (set HANMO_DATA to the folder)")
    return folder
