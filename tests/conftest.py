"""Fixtures that more than one test file needs."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tsbench.sandbox import wasi
from tsbench.sandbox.prepare import Prepare

SHARED = Path(os.environ.get("TSBENCH_SHARED", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """Find a file of the real data that lies beside the checkout, or skip and say so."""

    def find(relative: str) -> Path:
        path = SHARED / relative
        if not path.exists():
            pytest.skip(f"real data absent: {relative} (set TSBENCH_SHARED to its folder)")
        return path

    return find


@pytest.fixture(scope="session")
def prepared() -> wasi.Wasi:
    """Return the WASI sandbox, built if it is not yet, or skip and say why."""
    if not wasi.installed():
        pytest.skip("the WASI sandbox needs the extra: pip install 'tsbench[wasi]'")
    Prepare("wasi")()
    return next(wasi.engines())
