"""Fixtures that more than one test file needs."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tsbench.cli import main
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


@pytest.fixture
def tsbench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run commands in an empty folder; each returns its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tsbench", *words])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    return call
