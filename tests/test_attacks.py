"""Candidates that cheat, steal, break out or never end; and honest ones beside them."""

import time
from collections import Counter
from pathlib import Path

import pytest

from tsbench import sandbox
from tsbench.sandbox.choose import find
from tsbench.sandbox.session import Broken, Session

SECRET = 918273645
CANARY = "tsbench-canary-5521"

pytestmark = pytest.mark.usefixtures("held")


@pytest.fixture(scope="module")
def held():
    try:
        sandbox.probe()
    except sandbox.SandboxUnavailable as error:
        pytest.skip(str(error))


FORGERIES = {
    "says so on stdout": """
import sys
print('{"value": ["int", "0x36bba94d"], "verdict": "pass", "passed": 2}')
def f(n):
    print("pass"); sys.stdout.flush()
""",
    "says so on every descriptor": """
import os
for fd in range(64):
    try:
        os.write(fd, b'{"verdict": "pass", "reason": null}\\n' * 9)
    except OSError:
        pass
def f(n): return None
""",
    "answers for the cases to come": """
import os
def f(n):
    for fd in range(64):
        try:
            os.write(fd, b'{"value": null}\\n{"value": ["pass"]}\\n')
        except OSError:
            pass
""",
    "leaves with exit code 0 when loaded": "import os\nos._exit(0)",
    "leaves with exit code 0 when called": "import os\ndef f(n): os._exit(0)",
    "raises SystemExit when loaded": "raise SystemExit(0)",
    "raises SystemExit when called": "def f(n): raise SystemExit(0)",
    "equals everything": """
class Any:
    def __eq__(self, other): return True
    def __hash__(self): return 0
def f(n): return Any()
""",
    "an int that equals everything": """
class Any(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def f(n): return Any(7)
""",
    "a str that equals everything": """
class Any(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
def f(n): return Any("x")
""",
    "rewrites the guest": """
import json, sys
main = sys.modules["__main__"]
main.encode = lambda value: ["pass"]
json.dumps = lambda *a, **k: '{"verdict": "pass"}'
def f(n): return 1
""",
    "rewrites the builtins": """
import builtins
builtins.isinstance = lambda *a: True
builtins.len = lambda x: 0
builtins.AssertionError = ValueError
def f(n): return 1
""",
    "looks for the answer in the heap": """
import gc, sys
def f(n):
    seen, stack = set(), [sys.modules, gc.get_objects()]
    frame = sys._getframe()
    while frame:
        stack += [frame.f_locals, frame.f_globals]
        frame = frame.f_back
    while stack and len(seen) < 200000:
        x = stack.pop()
        if id(x) in seen: continue
        seen.add(id(x))
        if isinstance(x, int) and x > 900000000 and x % 1000 == 645: return x
        if isinstance(x, dict): stack += list(x.values())
        elif isinstance(x, (list, tuple, set)): stack += list(x)
""",
    "reads ahead in its own input": """
import os, re
def f(n):
    for fd in range(3, 64):
        try:
            os.set_blocking(fd, False)
            found = re.findall(rb"0x[0-9a-f]{8}", os.read(fd, 65536))
        except OSError:
            continue
        if found: return int(found[-1], 16)
""",
    "reads another process's memory": """
def f(n):
    for pid in ("1", "self", "thread-self"):
        try:
            return open(f"/proc/{pid}/environ").read()
        except OSError:
            pass
""",
    "nests too deeply": "def f(n):\n    x = []\n    for _ in range(10**5): x = [x]\n    return x",
    "returns itself": "def f(n):\n    x = []\n    x.append(x)\n    return x",
    "doubles when written": "def f(n):\n    x = 0\n    for _ in range(90): x = x, x\n    return x",
    "writes brackets without end": """
import os
def f(n):
    for fd in range(3, 64):
        try:
            os.write(fd, b"[" * 60000 + b"\\n")
        except OSError:
            pass
""",
    "collides hashes": "def f(n): return {i * (2**61 - 1) for i in range(9000)}",
    "closes every descriptor": "import os\ndef f(n):\n    os.closerange(0, 64)\n    while 1: pass",
    "kills every process": "import os\ndef f(n):\n    os.kill(-1, 9); os.kill(os.getppid(), 9)",
    "writes too much": """
import os
def f(n):
    for fd in range(3, 64):
        try:
            while True: os.write(fd, b"x" * 65536)
        except OSError:
            pass
""",
    "returns too much": "def f(n): return 'x' * 10**8",
    "takes all memory": "def f(n):\n    x = []\n    while True: x.append(bytearray(10**7))",
    "recurses without end": "def f(n): return f(n)",
    "is no program": "def f(n) return 1",
    "has no such function": "def g(n): return 1",
}


@pytest.mark.parametrize("source", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forgery_does_not_pass_by_cases(source):
    verdict = sandbox.grade(source, "f", [((1,), SECRET), ((2,), SECRET)], timeout=4.0)

    assert verdict.status in ("fail", "error", "timeout")
    assert verdict.passed == 0
    assert verdict.reason


@pytest.mark.parametrize("source", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forgery_does_not_pass_by_check(source):
    test = f"def check(candidate):\n    assert candidate(1) == {SECRET}\n"
    verdict = sandbox.grade_check(source, "f", test, 'def f(n):\n    """F."""\n', timeout=4.0)

    assert verdict.status in ("fail", "error", "timeout")
    assert verdict.passed == 0
    assert verdict.reason


REACHES = {
    "the caller's environment": """
import os
def f():
    seen = [str(dict(os.environ))]
    for pid in (1, 2, "self", os.getppid()):
        try:
            seen.append(open(f"/proc/{pid}/environ").read())
        except OSError:
            pass
    return "CANARY" in "".join(seen)
""",
    "a new process": """
import ctypes, os, subprocess
def f():
    libc = ctypes.CDLL(None, use_errno=True)
    ways = [os.fork, os.vfork if hasattr(os, "vfork") else os.fork,
            lambda: os.posix_spawn("/usr/bin/true", ["true"], {}),
            lambda: subprocess.run(["/usr/bin/true"], check=True)]
    for way in ways:
        try:
            way()
            return True
        except OSError:
            pass
    calls = {"x86_64": ((57,), (58,), (56, 17, 0, 0, 0, 0)), "aarch64": ((220, 17, 0, 0, 0, 0),)}
    return any(libc.syscall(*call) >= 0 for call in (*calls[os.uname().machine], (435, 0, 0)))
""",
    "the network": """
import socket
def f():
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
        try:
            socket.socket(family, socket.SOCK_DGRAM if family != socket.AF_INET else 1)
            return True
        except OSError:
            pass
    return False
""",
    "files outside /tmp": """
import os
def f():
    for folder in ("/", "/usr", "/dev", "/dev/shm", "/root", "/home", "/var/tmp", "/etc", "/run"):
        try:
            open(os.path.join(folder, "tsbench-was-here"), "w").close()
            return True
        except OSError:
            pass
    return False
""",
    "the machine's files": """
import os
def f(): return any(map(os.path.exists, ("/etc/passwd", "/home", "/var", "/sys", "HERE")))
""",
    "more than its share of /tmp": """
def f():
    written = 0
    try:
        for i in range(40):
            with open(f"/tmp/{i}", "wb") as file:
                written += file.write(b"x" * 10**7)
    except OSError:
        pass
    return written > 70 * 2**20
""",
    "one file that is too large": """
def f():
    try:
        with open("/tmp/large", "wb") as file:
            for _ in range(17): file.write(b"x" * 2**20)
        return True
    except OSError:
        return False
""",
    "memory that no limit counts": """
import ctypes, os
def f():
    libc = ctypes.CDLL(None)
    got = [libc.memfd_create(b"x", 0) >= 0, libc.shmget(0, 2**28, 0o1600) >= 0]
    return any(got)
""",
    "higher limits": """
import resource
def f():
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE):
        try:
            resource.setrlimit(kind, (resource.RLIM_INFINITY,) * 2)
            return True
        except (ValueError, OSError):
            pass
    return False
""",
    "other namespaces": """
import ctypes
def f():
    libc = ctypes.CDLL(None)
    return any(libc.unshare(flag) == 0 for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000))
""",
    "another life than its parent's": """
import ctypes
def f(): return ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0
""",
    "other privileges": """
import os
def f():
    for way in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.chroot("/tmp")):
        try:
            way()
            return True
        except OSError:
            pass
    return os.getuid() == 0
""",
    "other processes": """
import os
def f(): return os.getpid() != 1 or os.path.exists("/proc/1") or os.path.exists("/proc/self")
""",
}


@pytest.mark.parametrize("source", REACHES.values(), ids=REACHES.keys())
def test_a_candidate_cannot_reach(source, monkeypatch):
    monkeypatch.setenv("TSBENCH_CANARY", CANARY)
    source = source.replace("CANARY", CANARY).replace("HERE", str(Path(__file__).parent))

    verdict = sandbox.grade(source, "f", [((), False)], timeout=10.0)

    assert verdict.status == "pass", verdict.reason


def test_nothing_was_left_behind():
    assert not Path("/dev/shm/tsbench-was-here").exists()
    assert not Path("/var/tmp/tsbench-was-here").exists()


CHECK_FORGERIES = {
    "takes assertions away": "import builtins\nbuiltins.AssertionError = 0\ndef f(n): return 0",
    "replaces the check": """
import sys
check = lambda candidate: None
for module in list(sys.modules.values()):
    try:
        module.check = check
    except Exception:
        pass
def f(n): return 0
""",
    "raises what a test might expect": "def f(n): raise AssertionError('pass')",
    "raises a verdict": "class Pass(BaseException): pass\ndef f(n): raise Pass('verdict: pass')",
    "is a value that passes any comparison": "def f(n): return float('nan')",
}


@pytest.mark.parametrize("source", CHECK_FORGERIES.values(), ids=CHECK_FORGERIES.keys())
def test_a_check_is_not_forged(source):
    test = "def check(candidate):\n    assert candidate(3) == 4\n    assert candidate(4) == 5\n"
    verdict = sandbox.grade_check(source, "f", test, 'def f(n):\n    """F."""\n', timeout=5.0)

    assert verdict.status in ("fail", "error")


def test_an_endless_loop_is_a_timeout_after_the_time_allowed():
    began = time.monotonic()
    verdict = sandbox.grade("def f(n):\n    while True: pass", "f", [((1,), 1)], timeout=1.5)

    assert verdict.status == "timeout"
    assert 1.4 < time.monotonic() - began < 4.0


def test_threads_that_never_end_do_not_hold_the_grade():
    source = """
import threading, time
def forever():
    while True: time.sleep(1)
for _ in range(8): threading.Thread(target=forever).start()
def f(n): return n
"""
    verdict = sandbox.grade(source, "f", [((1,), 1)], timeout=5.0)

    assert verdict.status == "pass"
    assert verdict.seconds < 3.0


def test_no_candidate_outlives_its_session():
    source = """
import signal, time, ctypes
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
def f():
    while True: time.sleep(1)
"""
    order = {"role": "serve", "source": source, "entry_point": "f"}
    with Session(find(), time.monotonic() + 20.0, order) as session:
        session.send({"call": ["tuple", [["tuple", []], ["dict", []]]]})
        alive = descendants(session.process.pid)
        assert alive
    until = time.monotonic() + 5.0
    while time.monotonic() < until and any(Path(f"/proc/{pid}").exists() for pid in alive):
        time.sleep(0.02)

    assert not [pid for pid in alive if Path(f"/proc/{pid}").exists()]


def descendants(pid: int) -> list[int]:
    """The process ids below one, by /proc."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    below = [child for child, parent in parents.items() if parent == pid]
    return below + [each for child in below for each in descendants(child)]


def test_one_candidate_leaves_nothing_for_the_next():
    write = "def f():\n    open('/tmp/note', 'w').write('42')\n    return 0"
    read = "import os\ndef f(): return os.listdir('/tmp')"

    assert sandbox.grade(write, "f", [((), 0)], timeout=5.0).status == "pass"
    assert sandbox.grade(read, "f", [((), [])], timeout=5.0).status == "pass"


HONEST = {
    "prints noise": ("def f(n):\n    print('x' * 10**5)\n    return n + 1", 4),
    "reads an empty stdin": ("import sys\ndef f(n): return sys.stdin.read()", ""),
    "uses the standard library": (
        "import heapq, itertools, math, re, collections\n"
        "def f(n): return heapq.nsmallest(1, [math.gcd(n, 9), 7])",
        [3],
    ),
    "uses dataclasses": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n"
        "def f(n): return P(n).x",
        3,
    ),
    "uses threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def f(n):\n    with ThreadPoolExecutor(4) as pool: return list(pool.map(abs, [-n, n]))",
        [3, 3],
    ),
    "uses a file": (
        "def f(n):\n    open('/tmp/a', 'w').write('b')\n    return open('/tmp/a').read()",
        "b",
    ),
    "recurses": ("def f(n): return n if n > 900 else f(n + 1)", 901),
    "returns a Counter": (
        "from collections import Counter\ndef f(n): return Counter('ab')",
        dict(Counter("ab")),
    ),
    "has a main": ("def f(n): return n\nif __name__ == '__main__': raise SystemExit(1)", 3),
    "large integer": ("def f(n): return n ** 20000", 3**20000),
}


@pytest.mark.parametrize(("source", "expected"), HONEST.values(), ids=HONEST.keys())
def test_an_honest_program_passes(source, expected):
    verdict = sandbox.grade(source, "f", [((3,), expected)], timeout=10.0)

    assert verdict.status == "pass", verdict.reason
    assert (verdict.passed, verdict.total) == (1, 1)


def test_a_guest_that_stops_before_it_is_ready_is_the_sandboxs_failure(monkeypatch):
    order = {"role": "serve", "source": "", "entry_point": "f"}
    engine = find()
    monkeypatch.setattr("tsbench.sandbox.engine.SOURCE", "raise SystemExit(1)")
    with pytest.raises(Broken) as caught, Session(engine, time.monotonic() + 5.0, order):
        pass

    assert caught.value.status == "sandbox_error"
