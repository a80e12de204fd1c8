"""How fast a sweep is beside a bare loop over the SDK, and beside Inspect.

`TSBENCH_INSPECT_PYTHON=PYTHON pytest -m table -s tests/test_speed.py` prints it; PYTHON is one
that has inspect-ai. The endpoint, with 50 ms before each answer, and every run have a process of
their own; they take turns, and medians are told.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LATENCY, ROUNDS = 0.05, 3
INSPECT = os.environ.get("TSBENCH_INSPECT_PYTHON")


@contextmanager
def endpoint() -> Iterator[str]:
    command = [sys.executable, HERE / "endpoint.py", str(LATENCY)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield server.stdout.readline().strip()
        server.stdin.close()


def rate(how: str, address: str, folder: Path) -> float:
    """Return draws a second of one run in a process of its own."""
    folder.mkdir(parents=True)
    python = INSPECT if how == "inspect" else sys.executable
    command = [str(python), str(HERE / "speed.py"), how, address, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["draws"] / found["seconds"])


@pytest.mark.table
def test_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hows = ["bare", "bare-httpx", "tsbench", *(["inspect"] if INSPECT else [])]
    rates: dict[str, list[float]] = {how: [] for how in hows}
    for turn in range(ROUNDS):
        for how in hows:
            with endpoint() as address:
                rates[how].append(rate(how, address, tmp_path / f"{how}{turn}"))
    middle = {how: statistics.median(found) for how, found in rates.items()}
    with capsys.disabled():
        print(f"\n2,000 draws, 64 in flight, {LATENCY * 1e3:.0f} ms; {os.getloadavg()[0]:.1f} load")
        for how, found in rates.items():
            each = ", ".join(f"{value:.0f}" for value in found)
            print(f"  {how}: {middle[how]:.0f} draws a second ({each})")
        print(f"  tsbench / bare: {middle['tsbench'] / middle['bare']:.2f}")
        if INSPECT:
            print(f"  tsbench / inspect: {middle['tsbench'] / middle['inspect']:.1f}")
    assert middle["tsbench"] > 0.8 * middle["bare"]
    if not INSPECT:
        pytest.skip("beside Inspect only with TSBENCH_INSPECT_PYTHON, a Python that has inspect-ai")
    assert middle["tsbench"] > 8 * middle["inspect"]
