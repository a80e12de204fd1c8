"""The sandbox's parts: the codec, the comparison, the filter, the choice of an engine, verdicts."""

import math
import struct
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsbench import sandbox
from tsbench.sandbox import matches, seccomp
from tsbench.sandbox import probe as probe_function
from tsbench.sandbox.choose import find
from tsbench.sandbox.engine import Engine, engines
from tsbench.sandbox.grading import run_cases
from tsbench.sandbox.guest import CandidateError, decode, encode, rebuilt
from tsbench.types import Case

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
HASHABLE = st.recursive(
    SCALARS,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=4)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def held():
    try:
        return sandbox.probe()
    except sandbox.SandboxUnavailable as error:
        pytest.skip(str(error))


@settings(deadline=None)
@given(VALUES)
def test_a_value_comes_back_with_its_type(value):
    back = decode(encode(value))

    assert repr_of(back) == repr_of(value)
    assert matches(value, back)


def repr_of(value):
    """A repr in which the order of a set says nothing."""
    if isinstance(value, set | frozenset):
        return (type(value), sorted(map(str, map(repr_of, value))))
    if isinstance(value, list | tuple):
        return (type(value), [repr_of(each) for each in value])
    if isinstance(value, dict):
        return [(repr_of(key), repr_of(each)) for key, each in value.items()]
    return (type(value), repr(value))


@pytest.mark.parametrize("value", [object(), iter([]), range(3), len, lambda: 0, [{1: object}]])
def test_what_is_no_plain_value_is_not_sent(value):
    with pytest.raises(ValueError, match="no plain value"):
        encode(value)


@pytest.mark.parametrize(
    "data",
    [
        {},
        1,
        1.5,
        [],
        ["int"],
        ["int", 5],
        ["int", "zz"],
        ["float", "nine"],
        ["complex", "0x1p0"],
        ["bytes", "0"],
        ["set", [["list", []]]],
        ["dict", [["int"]]],
        ["object", []],
        ["list", 3],
        ["list", [], []],
        [["list"], []],
        ["set", [["int", "0x1"]] * 10_001],
    ],
)
def test_what_cannot_have_been_sent_is_not_read(data):
    with pytest.raises(ValueError, match=r"\w"):
        decode(data)


def test_an_exception_is_rebuilt_by_its_name_alone():
    assert type(rebuilt("KeyError: 'a'")) is KeyError
    assert type(rebuilt("UnicodeDecodeError: five arguments")) is CandidateError
    assert type(rebuilt("SystemExit: 0")) is CandidateError
    assert type(rebuilt("print: x")) is CandidateError


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (1, 1.0),
        (1.0, 1),
        (0.1 + 0.2, 0.3),
        (1e9, 1e9 + 1),
        (0.0, 1e-12),
        (math.nan, math.nan),
        (math.inf, math.inf),
        ([math.nan, 0.3], [math.nan, 0.1 + 0.2]),
        ({1, 2}, frozenset({2, 1})),
        ({"a": 0.3}, {"a": 0.1 + 0.2}),
        (1j, 1j),
        (2 + 0j, 2),
        (2.0, 2 + 0j),
        (None, None),
    ],
)
def test_equal(expected, found):
    assert matches(expected, found)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (1, True),
        (True, 1),
        (0, False),
        ([1, 0], [True, False]),
        ({1}, {True}),
        ({1: "a"}, {True: "a"}),
        ((True,), (1,)),
        (None, 0),
        (None, False),
        ("1", 1),
        (b"a", "a"),
        ([1], (1,)),
        ([1], [1, 1]),
        ({1}, {2}),
        ({1: 2}, {1: 3}),
        ({1: 2}, {1: 2, 3: 4}),
        (0.3, 0.3001),
        (1, 1 + 1e-9),
        (math.nan, 0.0),
        (math.inf, 1e308),
        (math.inf, -math.inf),
        (1.0, 10**400),
        (1j, 10**400),
        (1.0, math.nan),
        (1.0, "1.0"),
        ([], None),
    ],
)
def test_not_equal(expected, found):
    assert not matches(expected, found)


def run_filter(machine: str, number: int, argument: int = 0, arch: int | None = None) -> int:
    """Interpret the filter for one system call, as the kernel would."""
    code = list(struct.iter_unpack("<HBBI", seccomp.program(machine)))
    own = seccomp.AUDIT_ARCH[seccomp.MACHINES.index(machine)]
    words = {0: number, 4: own if arch is None else arch, 16: argument & 0xFFFFFFFF}
    at, value = 0, 0
    while True:
        kind, yes, no, k = code[at]
        at += 1
        if kind == seccomp.RETURN:
            return k
        if kind == seccomp.LOAD:
            value = words[k]
            continue
        holds = {
            seccomp.JUMP_EQ: value == k,
            seccomp.JUMP_GE: value >= k,
            seccomp.JUMP_SET: bool(value & k),
        }[kind]
        at += yes if holds else no


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_the_filter_refuses_what_it_lists_and_allows_the_rest(machine):
    column = seccomp.MACHINES.index(machine)
    refused = {numbers[column] for numbers in seccomp.DENIED.values()} - {None}
    eperm, enosys = seccomp.ERRNO | 1, seccomp.ERRNO | 38
    special = {seccomp.CLONE[column], seccomp.PRCTL[column], seccomp.CLONE3}

    for number in range(600):
        if number not in special:
            told = run_filter(machine, number)
            assert told == (eperm if number in refused else seccomp.ALLOW), number
    assert run_filter(machine, seccomp.CLONE3) == enosys
    assert run_filter(machine, seccomp.CLONE[column], 17) == eperm
    assert run_filter(machine, seccomp.CLONE[column], 0x10000 | 0x100) == seccomp.ALLOW
    assert run_filter(machine, seccomp.PRCTL[column], 1) == eperm
    assert run_filter(machine, seccomp.PRCTL[column], 15) == seccomp.ALLOW
    assert run_filter(machine, 0x40000000 | 57) == eperm
    assert run_filter(machine, 1, arch=0x40000003) == seccomp.KILL


def test_the_filter_knows_two_machines():
    with pytest.raises(ValueError, match="knows x86_64 and aarch64, not riscv64"):
        seccomp.program("riscv64")


def test_the_probe_records_what_is_used(held):
    assert held["name"] == "bubblewrap"
    assert held["version"][0].isdigit()
    assert "python" in held["interpreter"]
    assert held["limits"]["AS"] == 2**30
    assert held["limits"]["READ"] == 2**22
    assert held["limits"]["TMP"] == 2**26


def test_every_engine_that_is_tried_is_named_when_none_works(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "tsbench.sandbox.choose.engines", lambda: iter([Engine("/none/bwrap", "9", "/none/python")])
    )
    find.cache_clear()
    try:
        with pytest.raises(
            sandbox.SandboxUnavailable, match="/none/bwrap 9 with /none/python"
        ) as e:
            sandbox.grade("def f(): pass", "f", [((), None)], timeout=1.0)
    finally:
        find.cache_clear()

    assert "apt install bubblewrap" in str(e.value)
    assert "tsbench[sandbox]" in str(e.value)
    assert "\n" not in str(e.value)


def test_without_any_bwrap_there_is_no_engine(monkeypatch):
    monkeypatch.setattr("tsbench.sandbox.engine.shutil.which", lambda name: None)
    monkeypatch.setattr("tsbench.sandbox.engine.importlib.util.find_spec", lambda name: None)

    assert list(engines()) == []


def test_an_engine_without_walls_is_refused_by_the_probe(monkeypatch):
    monkeypatch.setattr(
        "tsbench.sandbox.choose.engines", lambda: iter([Engine(None, "none", sys.executable)])
    )
    find.cache_clear()
    try:
        with pytest.raises(sandbox.SandboxUnavailable, match="walls"):
            find()
    finally:
        find.cache_clear()


def test_unsafe_needs_the_environment_too(monkeypatch):
    monkeypatch.delenv("TSBENCH_UNSAFE_SANDBOX", raising=False)
    with pytest.raises(ValueError, match="TSBENCH_UNSAFE_SANDBOX=1"):
        sandbox.grade("def f(): pass", "f", [((), None)], timeout=5.0, unsafe=True)
    monkeypatch.setenv("TSBENCH_UNSAFE_SANDBOX", "1")
    verdict = sandbox.grade("def f(): return 1", "f", [((), 1)], timeout=20.0, unsafe=True)

    assert verdict.status == "pass", verdict.reason
    probe_function.cache_clear()
    assert sandbox.probe(unsafe=True)["name"] == "unsafe subprocess"
    probe_function.cache_clear()


def test_a_verdict_counts_the_cases_and_names_the_first_fault(held):
    source = "def f(n):\n    return 1 // n"
    cases = [Case((1,), 1), Case((0,), 0), Case((2,), 5)]
    verdict = sandbox.grade(source, "f", cases, timeout=10.0)

    assert (verdict.status, verdict.passed, verdict.total) == ("error", 1, 3)
    assert verdict.reason == ("f(0,) raised ZeroDivisionError: integer division or modulo by zero")
    assert 0 < verdict.seconds < 10


def test_cases_passed_before_the_time_was_over_count(held):
    source = "def f(n):\n    while n: pass\n    return n"
    verdict = sandbox.grade(source, "f", [((0,), 0), ((1,), 1), ((0,), 0)], timeout=1.0)

    assert (verdict.status, verdict.passed, verdict.total) == ("timeout", 1, 3)


def test_a_candidate_that_does_not_load_says_why(held):
    verdict = sandbox.grade("import numpy\ndef f(): pass", "f", [((), None)], timeout=10.0)

    assert verdict.status == "error"
    assert "ModuleNotFoundError: No module named 'numpy'" in str(verdict.reason)


@pytest.mark.parametrize("timeout", [0, -1.0, math.nan, math.inf])
def test_the_time_must_be_positive(timeout, held):
    with pytest.raises(ValueError, match="timeout must be a positive number"):
        sandbox.grade("def f(): pass", "f", [((), None)], timeout=timeout)


def test_no_cases_and_arguments_that_cannot_be_sent_are_refused(held):
    with pytest.raises(ValueError, match="at least one case"):
        sandbox.grade("def f(): pass", "f", [], timeout=1.0)
    with pytest.raises(ValueError, match="no plain value"):
        sandbox.grade("def f(x): pass", "f", [((object(),), None)], timeout=1.0)


def test_a_check_that_runs_out_of_time_is_a_timeout(held):
    began = time.monotonic()
    test = "def check(candidate):\n    assert candidate() == 1\n"
    verdict = sandbox.grade_check(
        "def f():\n    while True: pass", "f", test, 'def f():\n    """F."""\n', timeout=1.0
    )

    assert verdict.status == "timeout"
    assert time.monotonic() - began < 4.0


def test_time_that_a_candidate_takes_to_load_is_its_own(held):
    test = "def check(candidate):\n    assert candidate() == 1\n"
    source = "import time\ntime.sleep(60)\ndef f():\n    return 1\n"
    prompt = 'def f():\n    """F."""\n'

    assert sandbox.grade_check(source, "f", test, prompt, timeout=1.5).status == "timeout"
    assert sandbox.grade(source, "f", [((), 1)], timeout=1.5).status == "timeout"


def test_an_engine_that_cannot_start_is_the_sandboxs_failure():
    for engine in (Engine("/none/bwrap", "9", "/none/python"), Engine("/etc", "9", "python")):
        verdict = run_cases(engine, "def f(): pass", "f", [Case((), None)], 5.0)
        assert verdict.status == "sandbox_error"
        assert "did not start" in str(verdict.reason)


def test_a_bwrap_too_old_for_the_walls_says_so():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        old = Path(folder) / "bwrap"
        old.write_text("#!/bin/sh\necho 'bwrap: Unknown option --disable-userns' >&2\nexit 1\n")
        old.chmod(0o755)
        verdict = run_cases(Engine(str(old), "0.6", "python"), "", "f", [Case((), None)], 5.0)

    assert verdict.status == "sandbox_error"
    assert verdict.reason == "the sandbox did not start: bwrap: Unknown option --disable-userns"


@pytest.mark.parametrize(
    ("test", "status"),
    [
        ("def check(candidate):\n    assert candidate(2, b=3) == 5", "pass"),
        ("def check(candidate):\n    assert f(2) == helper() + 2", "pass"),
        ("def check(candidate):\n    assert candidate(2) == 4", "fail"),
        ("def check(candidate):\n    assert candidate(2).size == 4", "fail"),
        ("def check(candidate):\n    assert candidate('a') == 4", "error"),
        (
            "def check(candidate):\n    try:\n        candidate('a')\n"
            "    except TypeError:\n        return\n    assert False",
            "pass",
        ),
        ("def check(candidate):\n    pass", "sandbox_error"),
        ("def check(candidate) pass", "sandbox_error"),
        ("import os\ndef check(candidate): os._exit(0)", "sandbox_error"),
    ],
)
def test_a_check_is_run_with_the_prompts_helpers(test, status, held):
    prompt = 'def helper():\n    return 1\n\ndef f(a, b=1):\n    """Add."""\n'
    source = "def f(a, b=1):\n    return a + b\n"
    verdict = sandbox.grade_check(source, "f", test, prompt, timeout=10.0)

    assert verdict.status == status, verdict.reason
    assert (verdict.passed, verdict.total) == (int(status == "pass"), 1)
