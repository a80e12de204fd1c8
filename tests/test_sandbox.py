"""The sandbox's parts: the codec, the comparison, the filter, the choice of an engine, verdicts."""

import json
import math
import platform
import re
import struct
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsbench import sandbox
from tsbench.sandbox import matches, seccomp
from tsbench.sandbox import probe as probe_function
from tsbench.sandbox.bubblewrap import Bubblewrap, engines, walls
from tsbench.sandbox.choose import find
from tsbench.sandbox.engine import Bare
from tsbench.sandbox.grading import one_line, run_cases
from tsbench.sandbox.guest import CandidateError, encode, rebuilt
from tsbench.sandbox.values import decode, plain
from tsbench.types import Case

HEADERS = (
    Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    Path("/usr/include/asm-generic/unistd.h"),
)
NUMBERED = re.compile(r"#define __NR(?:3264)?_(\w+)\s+(\d+)")
ONE = 'def f(n):\n    """F."""\n'

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(), max_size=5)
    | st.text(st.characters(categories=["Cs", "Cc", "Co"]), max_size=3)
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
    back = plain(value)

    assert repr_of(back) == repr_of(value)
    assert matches(value, back)


@settings(deadline=None)
@given(VALUES)
def test_a_value_is_written_as_one_line_of_ascii(value):
    written = encode(value)

    assert written.isascii()
    assert "\n" not in written
    assert repr_of(decode(json.loads(written))) == repr_of(value)


@settings(deadline=None, max_examples=50)
@given(st.lists(VALUES, max_size=4))
def test_values_go_into_a_sandbox_and_come_back(held, values):
    cases = [((value,), value) for value in values] or [((None,), None)]
    verdict = sandbox.grade("def f(x): return x", "f", cases, timeout=60.0)

    assert verdict.status == "pass", verdict.reason


def repr_of(value):
    """A repr in which the order of a set says nothing."""
    if isinstance(value, set | frozenset):
        return (type(value), sorted(map(str, map(repr_of, value))))
    if isinstance(value, list | tuple):
        return (type(value), [repr_of(each) for each in value])
    if isinstance(value, dict):
        return [(repr_of(key), repr_of(each)) for key, each in value.items()]
    return (type(value), repr(value))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, complex(math.nan, -0.0)])
def test_a_float_keeps_its_bits(value):
    assert repr(plain(value)) == repr(value)


def test_a_subclass_travels_as_its_base():
    class Text(str):
        __slots__ = ()

        def encode(self, *args):
            return b"other"

    assert type(plain(Text("a"))) is str
    assert plain(Text("a")) == "a"


@pytest.mark.parametrize("value", [object(), iter([]), range(3), len, lambda: 0, [{1: object}]])
def test_what_is_no_plain_value_is_not_sent(value):
    with pytest.raises(ValueError, match="no plain value"):
        encode(value)


def nested(depth):
    data = ["list", []]
    for _ in range(depth):
        data = ["list", [data]]
    return data


def str_of(data):
    return str(data)[:30]


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
        ["str", "f"],
        ["str", "ff"],
        ["str", 5],
        "str",
        ["set", [["list", []]]],
        ["dict", [["int"]]],
        ["object", []],
        ["list", 3],
        ["list", [], []],
        [["list"], []],
        ["set", [["int", hex(i)] for i in range(10_001)]],
        ["set", [["int", hex(i * (2**61 - 1))] for i in range(200)]],
        ["dict", [[["int", hex(i * (2**61 - 1))], None] for i in range(200)]],
        ["list", [None] * 200_000],
        nested(101),
    ],
    ids=str_of,
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
        ({0.3: "a", 1: "b"}, {1.0: "b", 0.1 + 0.2: "a"}),
        ({(0.3, "x"), math.nan}, {math.nan, (0.1 + 0.2, "x")}),
        ({(1, 2): {"a": [0.3]}}, {(1, 2): {"a": [0.1 + 0.2]}}),
        (set(range(5000)), set(range(5000))),
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
        ({0.3, 0.6}, {0.3, 0.9}),
        ({0.3, 5}, {0.1 + 0.2, 0.3}),
        ({0.3: 1, 0.6: 2}, {0.3: 2, 0.6: 1}),
        (set(range(5000)), set(range(1, 5001))),
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


def test_sets_that_share_nothing_are_compared_in_bounded_time():
    ours, theirs = ({i + part for i in range(10_000)} for part in (0.25, 0.75))
    began = time.monotonic()

    assert not matches(ours, theirs)
    assert time.monotonic() - began < 5.0


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


@pytest.mark.parametrize("column", [0, 1], ids=seccomp.MACHINES)
def test_the_filters_numbers_are_the_kernels(column):
    if not HEADERS[column].exists():
        pytest.skip(f"there is no {HEADERS[column]} (of the package linux-libc-dev)")
    known = {name: int(n) for name, n in NUMBERED.findall(HEADERS[column].read_text())}
    ours = {name: numbers[column] for name, numbers in seccomp.DENIED.items()}
    ours |= {"clone": seccomp.CLONE[column], "prctl": seccomp.PRCTL[column]}

    for name, number in {**ours, "clone3": seccomp.CLONE3}.items():
        if name in known or number is None:
            assert known.get(name) == number, name
        else:
            assert number > max(known.values()), f"{name} is newer than these headers"


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
        "tsbench.sandbox.choose.engines",
        lambda: iter([Bubblewrap("/none/bwrap", "9", "/none/python")]),
    )
    find.cache_clear()
    try:
        with pytest.raises(sandbox.SandboxUnavailable, match="bubblewrap 9 with /none/python") as e:
            sandbox.grade("def f(): pass", "f", [((), None)], timeout=1.0)
    finally:
        find.cache_clear()

    assert "apt install bubblewrap" in str(e.value)
    assert "tsbench[sandbox]" in str(e.value)
    assert "tsbench prepare" in str(e.value)
    assert "\n" not in str(e.value)


def test_without_any_bwrap_there_is_no_engine(monkeypatch):
    monkeypatch.setattr("tsbench.sandbox.bubblewrap.shutil.which", lambda name: None)
    monkeypatch.setattr("tsbench.sandbox.bubblewrap.importlib.util.find_spec", lambda name: None)

    assert list(engines()) == []


def test_an_interpreter_in_tmp_is_not_hidden_by_the_small_tmp():
    arguments = " ".join(walls("/tmp/python"))

    assert arguments.index("--tmpfs /tmp") < arguments.index("--ro-bind /tmp/python /tmp/python")
    assert arguments.endswith("--remount-ro /dev --remount-ro /")


def test_an_engine_without_walls_is_refused_by_the_probe(monkeypatch):
    monkeypatch.setattr("tsbench.sandbox.choose.engines", lambda: iter([Bare()]))
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
    assert verdict.sandbox == f"unsafe subprocess {platform.python_version()}"
    probe_function.cache_clear()
    assert sandbox.probe(unsafe=True)["name"] == "unsafe subprocess"
    probe_function.cache_clear()


def test_a_verdict_counts_the_cases_and_names_the_first_fault(held):
    source = "def f(n):\n    return 1 // n"
    cases = [Case((1,), 1), Case((0,), 0), Case((2,), 5)]
    verdict = sandbox.grade(source, "f", cases, timeout=10.0)

    assert (verdict.status, verdict.passed, verdict.total) == ("error", 1, 3)
    assert verdict.reason == "f(0,) raised ZeroDivisionError: integer division or modulo by zero"
    assert verdict.sandbox == f"{held['name']} {held['version']}"
    assert 0 < verdict.seconds < 10


def test_cases_passed_before_the_time_was_over_count(held):
    source = "def f(n):\n    while n: pass\n    return n"
    verdict = sandbox.grade(source, "f", [((0,), 0), ((1,), 1), ((0,), 0)], timeout=2.5)

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


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (range(3), "a case of f expects a range, which is no plain value"),
        (set(range(10_001)), "too large to read"),
        ("x" * 2_100_000, "expect values of 4200074 bytes as they are sent; at most 4194304"),
    ],
    ids=["range", "set", "text"],
)
def test_what_no_candidate_could_answer_is_refused(held, expected, said):
    with pytest.raises(ValueError, match=said):
        sandbox.grade("def f(): pass", "f", [((), expected)], timeout=1.0)


def test_a_check_that_runs_out_of_time_is_a_timeout(held):
    began = time.monotonic()
    test = "def check(candidate):\n    assert candidate() == 1\n"
    verdict = sandbox.grade_check(
        "def f():\n    while True: pass", "f", test, 'def f():\n    """F."""\n', timeout=2.5
    )

    assert verdict.status == "timeout"
    assert time.monotonic() - began < 6.0


def test_time_that_a_candidate_takes_to_load_is_its_own(held):
    test = "def check(candidate):\n    assert candidate() == 1\n"
    source = "import time\ntime.sleep(60)\ndef f():\n    return 1\n"
    prompt = 'def f():\n    """F."""\n'

    assert sandbox.grade_check(source, "f", test, prompt, timeout=2.5).status == "timeout"
    assert sandbox.grade(source, "f", [((), 1)], timeout=2.5).status == "timeout"


def test_an_engine_that_cannot_start_is_the_sandboxs_failure():
    for engine in (
        Bubblewrap("/none/bwrap", "9", "/none/python"),
        Bubblewrap("/etc", "9", "python"),
    ):
        verdict = run_cases(engine, "def f(): pass", "f", [Case((), None)], 5.0)
        assert verdict.status == "sandbox_error"
        assert "did not start" in str(verdict.reason)


def test_a_bwrap_too_old_for_the_walls_says_so():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        old = Path(folder) / "bwrap"
        old.write_text("#!/bin/sh\necho 'bwrap: Unknown option --disable-userns' >&2\nexit 1\n")
        old.chmod(0o755)
        verdict = run_cases(Bubblewrap(str(old), "0.6", "python"), "", "f", [Case((), None)], 5.0)

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
        ("def check(candidate):\n    assert candidate(iter([])) == 4", "sandbox_error"),
        ("def check(candidate):\n    assert candidate(1, b=2.5) == 3.5", "pass"),
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


def test_what_the_tests_cannot_send_is_named(held):
    test = "def check(candidate):\n    assert candidate(iter([])) == 4"
    verdict = sandbox.grade_check("def f(n): return n", "f", test, ONE, timeout=20.0)

    assert verdict.reason == (
        "the tests pass the candidate a list_iterator, which is no plain value"
    )


def test_a_reason_is_one_line_that_any_file_can_hold(held):
    source = "def f(n): raise ValueError('a\\n\\0\\x1b[2J\\ud800\u20ac' + 'x' * 1000)"
    verdict = sandbox.grade(source, "f", [((1,), 1)], timeout=20.0)

    assert verdict.status == "error"
    assert str(verdict.reason).startswith(
        r"f(1,) raised ValueError: a\n\x00\x1b[2J\ud800\u20ac"[:-6] + "\u20acxxx"
    )
    assert len(str(verdict.reason)) <= 300
    assert one_line("\ud800" * 300).encode() == b"\\ud800" * 50


HONEST = {
    "reads an empty stdin": ("import sys\ndef f(n): return sys.stdin.read()", ""),
    "uses threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def f(n):\n    with ThreadPoolExecutor(4) as pool: return list(pool.map(abs, [-n, n]))",
        [3, 3],
    ),
    "uses a file": (
        "def f(n):\n    open('/tmp/a', 'w').write('b')\n    return open('/tmp/a').read()",
        "b",
    ),
    "has a main": ("def f(n): return n\nif __name__ == '__main__': raise SystemExit(1)", 3),
    "returns a large integer": ("def f(n): return n ** 20000", 3**20000),
    "returns much": ("def f(n): return list(range(n * 50_000))", list(range(150_000))),
    "returns a large text": ("def f(n): return '\u20ac' * 600_000", "\u20ac" * 600_000),
    "returns mixed keys": (
        "def f(n): return {1: 'a', 'b': (2.5,), None: [b'c'], (1, 2): {3}, 0.1 + 0.2: -0.0}",
        {1: "a", "b": (2.5,), None: [b"c"], (1, 2): {3}, 0.3: 0.0},
    ),
    "returns what is no number": (
        "def f(n): return [float('nan'), float('inf'), complex(0, -n)]",
        [math.nan, math.inf, -3j],
    ),
    "returns half a surrogate pair": (r"def f(n): return '\ud83d' + chr(n)", "\ud83d\x03"),
    "nests": ("def f(n): return [f(n - 1)] if n else []", [[[[]]]]),
}


@pytest.mark.parametrize(("source", "expected"), HONEST.values(), ids=HONEST.keys())
def test_an_honest_program_passes(held, source, expected):
    verdict = sandbox.grade(source, "f", [((3,), expected)], timeout=30.0)

    assert verdict.status == "pass", verdict.reason
    assert (verdict.passed, verdict.total) == (1, 1)


def test_large_arguments_arrive_whole(held):
    given = ["\u20ac" * 10**6, b"x" * 10**6, list(range(150_000)), 7**100_000]
    source = "def f(*a): return [len(x) if hasattr(x, '__len__') else x % 1000 for x in a]"
    expected = [10**6, 10**6, 150_000, 7**100_000 % 1000]

    assert sandbox.grade(source, "f", [(tuple(given), expected)], timeout=30.0).status == "pass"


def test_the_time_is_for_all_cases(held):
    source = "import time\ndef f(n):\n    time.sleep(0.8)\n    return n"
    verdict = sandbox.grade(source, "f", [((i,), i) for i in range(50)], timeout=4.0)

    assert verdict.status == "timeout"
    assert 1 <= verdict.passed <= 4


def test_at_most_four_mebibytes_are_read_for_all_cases(held):
    source = "def f(n): return 'x' * 800_000"
    cases = [((i,), "y") for i in range(4)]
    verdict = sandbox.grade(source, "f", cases, timeout=30.0)

    assert verdict.status == "error"
    assert verdict.reason == "the candidate wrote more than 4194304 bytes"
