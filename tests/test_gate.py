import asyncio
import random

import pytest

from tsbench.models.gate import Gate


async def hold(gate: Gate, priority: float, log: list[float], until: asyncio.Event) -> None:
    async with gate.enter(priority):
        log.append(priority)
        await until.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_smallest_priority_is_first_and_ties_are_first_come() -> None:
    async def go() -> list[tuple[float, int]]:
        gate, log = Gate(1), list[tuple[float, int]]()

        async def one(priority: float, name: int) -> None:
            async with gate.enter(priority):
                log.append((priority, name))
                await asyncio.sleep(0)

        wanted = [3.0, 1.0, 2.0, 1.0, 3.0]
        async with asyncio.TaskGroup() as group:
            for name, priority in enumerate(wanted):
                group.create_task(one(priority, name))
        return log

    assert asyncio.run(go()) == [(3.0, 0), (1.0, 1), (1.0, 3), (2.0, 2), (3.0, 4)]


def test_no_more_than_the_slots_are_held_and_all_are_used() -> None:
    async def go() -> tuple[int, int]:
        gate, held, most = Gate(7), 0, 0
        rng = random.Random(0)

        async def one() -> None:
            nonlocal held, most
            async with gate.enter(rng.random()):
                held += 1
                most = max(most, held)
                await asyncio.sleep(rng.random() / 1000)
                held -= 1

        async with asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(one())
        return most, gate.held

    assert asyncio.run(go()) == (7, 0)


def test_a_refusal_halves_the_slots_once_for_all_that_were_in_flight() -> None:
    async def go() -> list[int]:
        gate, log, done = Gate(16), list[float](), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(hold(gate, 0, log, done))
            await settle()
            found = []
            for _ in range(16):
                gate.slow(0)
                found.append(gate.open)
            gate.slow(0)
            found.append(gate.open)
            done.set()
        return found

    assert asyncio.run(go()) == [8] * 16 + [4]


def test_it_never_closes_for_good_and_recovers_a_slot_a_window() -> None:
    async def go() -> tuple[int, list[int]]:
        gate = Gate(4)
        for _ in range(9):
            gate.slow(0)
        least, found = gate.open, []
        for _ in range(8):
            gate.fine()
            found.append(gate.open)
        return least, found

    assert asyncio.run(go()) == (1, [2, 2, 3, 3, 3, 4, 4, 4])


def test_nobody_is_let_in_while_it_is_shut() -> None:
    async def go() -> tuple[list[float], float]:
        gate, log, done = Gate(2), list[float](), asyncio.Event()
        done.set()
        loop = asyncio.get_running_loop()
        gate.slow(0.2)
        began = loop.time()
        task = asyncio.create_task(hold(gate, 1, log, done))
        await asyncio.sleep(0.05)
        early = list(log)
        await task
        return early, loop.time() - began

    early, seconds = asyncio.run(go())
    assert early == []
    assert 0.19 < seconds < 1.0


def test_an_endpoint_that_names_no_wait_is_given_one_that_grows() -> None:
    async def go() -> list[float]:
        gate, found = Gate(8), []
        loop = asyncio.get_running_loop()
        for _ in range(4):
            gate.slow(None)
            found.append(gate._shut_until - loop.time())
        return found

    waits = asyncio.run(go())
    assert all(0.4 < wait <= 2.0**i for i, wait in enumerate(waits))
    assert waits[-1] > waits[0]


@pytest.mark.parametrize("when", ["waiting", "admitted"])
def test_one_that_is_cancelled_leaves_its_slot_to_the_next(when: str) -> None:
    async def go() -> list[float]:
        gate, log, done = Gate(1), list[float](), asyncio.Event()
        first = asyncio.create_task(hold(gate, 0, log, done))
        await settle()
        second = asyncio.create_task(hold(gate, 1, log, done))
        third = asyncio.create_task(hold(gate, 2, log, done))
        await settle()
        if when == "waiting":
            second.cancel()
        done.set()
        if when == "admitted":
            await asyncio.sleep(0)  # the first is leaving; the second's turn may be given
            second.cancel()
        await asyncio.gather(first, second, third, return_exceptions=True)
        assert gate.held == gate.waiting == 0
        return log

    assert 2 in asyncio.run(go())


def test_a_gate_needs_a_slot() -> None:
    with pytest.raises(ValueError, match="slots must be at least 1, found 0"):
        Gate(0)
