"""Candidates that cheat, steal, break out, exhaust or outlive, and honest ones beside them.

Each defines `f`, which is called with 1. An attack gets through if it is graded a pass or if a
canary is touched (tests/arena.py has them, and fills in the names in capitals). What a forger
must answer it cannot know; a thief must answer the secret; a glutton answers True when it has
got more than its share.
"""

from dataclasses import dataclass
from typing import Literal

SECRET = 918273645
SHORT, LONG = 0.6, 10.0


@dataclass(frozen=True)
class Candidate:
    """A program, what it must answer to pass, and the seconds that it is given."""

    name: str
    source: str
    expected: object = SECRET
    timeout: float = LONG


@dataclass(frozen=True)
class Attack(Candidate):
    """A candidate that must not get through."""

    kind: Literal["forge", "read", "tamper", "network", "exhaust", "outlive"] = "forge"


FORGERIES = {
    "says so on stdout": """
import os
print('{"value":["int","0x7"]}')
print("pass", flush=True)
os._exit(0)
""",
    "says so on every descriptor": """
import os
for fd in range(64):
    try:
        os.write(fd, b'{"verdict":["tuple",[["str","70617373"],null]]}\\npass\\n' * 9)
    except OSError:
        pass
def f(n): return None
""",
    "answers for the cases to come": """
import os
def f(n):
    for fd in range(64):
        try:
            os.write(fd, b'{"value":null}\\n{"value":["str","70617373"]}\\n')
        except OSError:
            pass
""",
    "leaves with exit code 0 when loaded": "import os\nos._exit(0)",
    "leaves with exit code 0 when called": "import os\ndef f(n): os._exit(0)",
    "raises SystemExit when loaded": "raise SystemExit(0)",
    "raises SystemExit when called": "def f(n): raise SystemExit(0)",
    "leaves with exit code 0 at the end": "import atexit, os\natexit.register(os._exit, 0)",
    "hooks what is raised": """
import os, sys
sys.excepthook = lambda *error: (print("pass", flush=True), os._exit(0))
def f(n): return 0
""",
    "lets its parent leave": "import os\ndef f(n):\n    if os.fork(): os._exit(0)",
    "leaves in a thread": """
import os, threading, time
def f(n):
    threading.Timer(0.1, os._exit, [0]).start()
    time.sleep(0.5)
""",
    "leaves in an alarm": """
import os, signal, time
def f(n):
    signal.signal(signal.SIGALRM, lambda *signal: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    time.sleep(0.5)
""",
    "becomes another program": """
import os
def f(n): os.execv("/usr/bin/true", ["true"])
""",
    "runs again without assertions": """
import os, sys
def f(n):
    if __debug__:
        os.execv(sys.executable, [sys.executable, "-O", *sys.argv])
""",
    "equals everything": """
class Any:
    def __eq__(self, other): return True
    def __hash__(self): return 0
def f(n): return Any()
""",
    "is a mock of anything": "from unittest.mock import ANY\ndef f(n): return ANY",
    "is an int that equals everything": """
class Any(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def f(n): return Any(7)
""",
    "is a str that equals everything": """
class Any(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
def f(n): return Any("x")
""",
    "is a float that equals everything": """
class Any(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0.0
def f(n): return Any("nan")
""",
    "rewrites who asks": """
import json, marshal, sys
main = sys.modules["__main__"]
main.encode = lambda value: "true"
json.dumps = lambda *a, **k: '{"verdict": "pass"}'
for name in ("check", "judge", "matches"):
    setattr(main, name, lambda *a: True)
def f(n): return 1
""",
    "rewrites the builtins": """
import builtins
builtins.isinstance = lambda *a: True
builtins.len = lambda x: 0
builtins.AssertionError = ValueError
def f(n): return 1
""",
    "takes assertions away": """
import builtins, os
class Quiet(BaseException):
    def __new__(cls, *a): os._exit(0)
builtins.AssertionError = Quiet
def f(n): raise AssertionError("pass")
""",
    "raises what a test might expect": "def f(n): raise AssertionError('pass')",
    "raises a verdict": "class Pass(BaseException): pass\ndef f(n): raise Pass('verdict: pass')",
    "replaces the check": """
import sys
for module in list(sys.modules.values()):
    try:
        module.check = lambda candidate: None
    except Exception:
        pass
def f(n): return 0
""",
    "looks for the answer in the heap": """
import gc, sys
def f(n):
    seen, stack = set(), [sys.modules, gc.get_objects()]
    frame = sys._getframe()
    while frame:
        stack += [frame.f_locals, frame.f_globals, frame.f_code.co_consts]
        frame = frame.f_back
    while stack and len(seen) < 200000:
        x = stack.pop()
        if id(x) in seen: continue
        seen.add(id(x))
        if type(x) is int and x > 900000000 and x % 1000 == 645: return x
        if isinstance(x, dict): stack += list(x.values())
        elif isinstance(x, (list, tuple, set)): stack += list(x)
""",
    "looks for the answer in the program": """
import re, sys
def f(n):
    frame = sys._getframe(1)
    for name in (frame.f_code.co_filename, *sys.argv, *sys.orig_argv):
        try:
            text = open(name).read()
        except OSError:
            text = name
        found = re.search(r"f\\(1\\) == (\\d+)", text)
        if found: return int(found[1])
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
    "is no program": "def f(n) return 1",
    "has no such function": "def g(n): return 1",
}

THEFTS = {
    "the caller's environment": """
import os
def f(n): return int(os.environ["CANARY"])
""",
    "the environment of every process that it sees": """
import os, re
def f(n):
    for pid in (*os.listdir("/proc"), "1", "2", str(os.getppid()), "self"):
        try:
            found = re.search(rb"CANARY=(\\d+)", open(f"/proc/{pid}/environ", "rb").read())
        except OSError:
            continue
        if found: return int(found[1])
""",
    "the command line of another process": """
def f(n): return int(open("/proc/BYSTANDER/cmdline").read().split("\\0")[3])
""",
    "the memory of another process": """
import re
def f(n):
    for line in open("/proc/BYSTANDER/maps"):
        if "[stack]" in line:
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            with open("/proc/BYSTANDER/mem", "rb") as memory:
                memory.seek(start)
                return int(re.search(rb"CANARY=(\\d+)", memory.read(end - start))[1])
""",
    "the memory of another process by a system call": """
import ctypes, re
class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
def f(n):
    libc = ctypes.CDLL(None)
    for line in open("/proc/BYSTANDER/maps"):
        if "[stack]" in line:
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            here = ctypes.create_string_buffer(end - start)
            near, far = Part(ctypes.addressof(here), end - start), Part(start, end - start)
            libc.process_vm_readv(BYSTANDER, ctypes.byref(near), 1, ctypes.byref(far), 1, 0)
            return int(re.search(rb"CANARY=(\\d+)", here.raw)[1])
""",
    "a file of the caller's": "def f(n): return int(open('FOLDER/secret').read())",
    "a file of the caller's through /proc": """
def f(n):
    for root in ("/proc/GRADER/root", "/proc/1/root", "/proc/self/root", "/proc/GRADER/cwd"):
        try:
            return int(open(root + "FOLDER/secret").read())
        except OSError:
            pass
""",
    "the hidden tests": """
import re
def f(n): return int(re.search(r"\\d{9}", open("FOLDER/hidden_tests.py").read())[0])
""",
    "a file that the caller has open": """
import os
def f(n):
    for fd in os.listdir("/proc/GRADER/fd"):
        if os.readlink(f"/proc/GRADER/fd/{fd}") == "FOLDER/secret":
            return int(open(f"/proc/GRADER/fd/{fd}").read())
""",
    "memory that is shared by name": "def f(n): return int(open('/dev/shm/SHARED').read())",
    "memory that is shared by key": """
import ctypes
def f(n):
    libc = ctypes.CDLL(None)
    libc.shmat.restype = ctypes.c_void_p
    at = libc.shmat(libc.shmget(KEY, 64, 0), None, 0o10000)
    return int(ctypes.string_at(at))
""",
}
SIGHTS = {
    "other processes": """
import os
def f(n): return os.path.exists("/proc/BYSTANDER") or os.getpgid(BYSTANDER) > 0
""",
    "the machine's users": "def f(n): return 'root' in open('/etc/passwd').read()",
    "the machine's devices": """
import os
def f(n): return os.path.exists("/sys/class") or os.path.exists("/dev/kmsg")
""",
}

TAMPERING = {
    "overwrites a file": "open('FOLDER/canary', 'w').close()\ndef f(n): pass",
    "deletes a file": "import os\nos.unlink('FOLDER/canary')\ndef f(n): pass",
    "opens a file to all": "import os\nos.chmod('FOLDER/canary', 0o777)\ndef f(n): pass",
    "adds to the hidden tests": """
with open("FOLDER/hidden_tests.py", "a") as file: file.write("check = print")
def f(n): pass
""",
    "leaves a file in the folder": "open('FOLDER/left', 'w').close()\ndef f(n): pass",
    "leaves a file in /tmp": "open('/tmp/LEFT', 'w').close()\ndef f(n): pass",
    "leaves a file in /var/tmp": "open('/var/tmp/LEFT', 'w').close()\ndef f(n): pass",
    "leaves a file in shared memory": "open('/dev/shm/LEFT', 'w').close()\ndef f(n): pass",
    "kills another process": "import os\nos.kill(BYSTANDER, 9)\ndef f(n): pass",
    "stops another process": "import os\nos.kill(BYSTANDER, 19)\ndef f(n): pass",
    "signals who grades": "import os\nos.kill(GRADER, 10)\ndef f(n): pass",
    "slows another process": """
import os
os.setpriority(os.PRIO_PROCESS, BYSTANDER, 15)
def f(n): pass
""",
    "limits another process": """
import resource
resource.prlimit(BYSTANDER, resource.RLIMIT_NOFILE, (7, 7))
def f(n): pass
""",
}

NETWORK = {
    "a TCP port": """
import socket
socket.create_connection(("127.0.0.1", TCP), 1).close()
def f(n): pass
""",
    "a UDP port": """
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", UDP))
def f(n): pass
""",
    "a socket in a folder": """
import socket
socket.socket(socket.AF_UNIX).connect("FOLDER/socket")
def f(n): pass
""",
    "a socket without a folder": """
import socket
socket.socket(socket.AF_UNIX).connect("\\0ABSTRACT")
def f(n): pass
""",
    "a TCP port by a shell": """
import subprocess
subprocess.run(["bash", "-c", "echo > /dev/tcp/127.0.0.1/TCP"], check=True)
def f(n): pass
""",
    "a TCP port by a system call": """
import ctypes, struct
libc = ctypes.CDLL(None)
fd = libc.syscall({"x86_64": 41, "aarch64": 198}[__import__("os").uname().machine], 2, 1, 0)
there = struct.pack("=H", 2) + struct.pack("!HI", TCP, 0x7F000001) + bytes(8)
libc.connect(fd, there, 16)
def f(n): pass
""",
    "a URL": """
import urllib.request
urllib.request.urlopen("http://127.0.0.1:TCP/", timeout=0.2)
def f(n): pass
""",
}
LISTENING = {
    "to whom it wants": """
import socket
def f(n):
    with socket.create_server(("127.0.0.1", 0)) as server: return server.getsockname()[1] > 0
""",
    "to the kernel": """
import socket
def f(n):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW): return True
""",
}

GLUTTONY = {
    "memory through children": """
import os, signal
def f(n):
    children = []
    for _ in range(3):
        ready, done = os.pipe()
        child = os.fork()
        if not child:
            held = bytearray(b"x") * (400 * 2**20)
            os.write(done, b"x")
            signal.pause()
        os.close(done)
        children.append((child, ready))
    held = [os.read(ready, 1) for _, ready in children]
    for child, _ in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return held == [b"x"] * 3
""",
    "memory in files without names": """
import os
def f(n):
    files = [os.memfd_create("x") for _ in range(20)]
    return sum(os.write(file, bytes(14 * 2**20)) for file in files) > 256 * 2**20
""",
    "memory by key": """
import ctypes
def f(n):
    libc = ctypes.CDLL(None)
    got = libc.shmget(0, 256 * 2**20, 0o1600)
    libc.shmctl(got, 0, None)
    return got >= 0
""",
    "the disk": """
import os
def f(n):
    written = 0
    names = [f"/tmp/LEFT-{i}" for i in range(8)]
    try:
        for name in names:
            with open(name, "wb") as file: written += file.write(b"x" * 10**7)
    finally:
        for name in filter(os.path.exists, names): os.unlink(name)
    return written > 70 * 2**20
""",
    "one large file": """
import os
def f(n):
    with open("/tmp/LEFT-large", "wb") as file:
        os.unlink(file.name)
        for _ in range(17): file.write(b"x" * 2**20)
    return True
""",
    "processes": """
import os, signal
def f(n):
    children = []
    try:
        for _ in range(100):
            child = os.fork()
            if not child: signal.pause()
            children.append(child)
    finally:
        for child in children: os.kill(child, 9)
    return len(children) == 100
""",
    "a process by any system call": """
import ctypes, os
def f(n):
    libc = ctypes.CDLL(None)
    calls = {"x86_64": ((57,), (56, 17, 0, 0, 0, 0)), "aarch64": ((220, 17, 0, 0, 0, 0),)}
    for call in (*calls[os.uname().machine], (435, 0, 0)):
        child = libc.syscall(*call)
        if child == 0: os._exit(0)
        if child > 0: return os.waitpid(child, 0)[0] == child
""",
    "another life than its parent's": """
import ctypes
def f(n): return ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0
""",
    "threads": """
import threading
def f(n):
    threading.stack_size(2**16)
    enough = threading.Event()
    threads = [threading.Thread(target=enough.wait) for _ in range(150)]
    try:
        for thread in threads: thread.start()
        return True
    finally:
        enough.set()
""",
    "open files": """
import os
def f(n): return len([os.open("/dev/null", os.O_RDONLY) for _ in range(200)]) == 200
""",
    "higher limits": """
import resource
def f(n):
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True
""",
    "other privileges": """
import ctypes, os
def f(n):
    libc = ctypes.CDLL(None)
    if any(libc.unshare(flag) == 0 for flag in (0x10000000, 0x20000, 0x40000000)): return True
    os.setgroups([0])
    return True
""",
}
FLOODS = {
    "stdout": "print(*(['x' * 10**6] * 100), sep='\\n', flush=True)\ndef f(n): pass",
    "stderr": "import sys\nfor _ in range(100): sys.stderr.write('x' * 10**6)\ndef f(n): pass",
    "every descriptor": """
import os, time
def f(n):
    until = time.monotonic() + 0.5
    for fd in range(1, 64):
        try:
            while time.monotonic() < until: os.write(fd, b"x" * 65536)
        except OSError:
            pass
""",
    "brackets without end": """
import os
def f(n):
    for fd in range(3, 64):
        try:
            os.write(fd, b"[" * 60000 + b"\\n")
        except OSError:
            pass
""",
    "its answer": "def f(n): return 'x' * 10**8",
    "a large number": "def f(n): return 1 << 10**8",
    "all memory": "def f(n):\n    x = []\n    while True: x.append(bytearray(10**7))",
    "a value that nests": "def f(n):\n    x = []\n    for _ in range(10**5): x = [x]\n    return x",
    "a value that holds itself": "def f(n):\n    x = []\n    x.append(x)\n    return x",
    "a value that doubles": "def f(n):\n    x = 0\n    for _ in range(90): x = x, x\n    return x",
    "hashes that collide": "def f(n): return {i * (2**61 - 1) for i in range(9000)}",
    "the stack": """
import sys
sys.setrecursionlimit(10**6)
def f(n): return f(n)
""",
}
LOITERING = {
    "loops": "def f(n):\n    while True: pass",
    "loops when loaded": "while True: pass",
    "sleeps": "import time\ndef f(n): time.sleep(60)",
    "loops and hears no signal": """
import signal, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
def f(n):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
""",
    "closes its pipes and loops": """
import os
def f(n):
    os.closerange(0, 64)
    while True: pass
""",
    "lets a child hold its pipes": """
import os, time
def f(n):
    if not os.fork():
        time.sleep(10)
        os._exit(0)
    while True: pass
""",
}

OUTLIVING = {
    "a child": """
import os, time
def f(n):
    if not os.fork():
        time.sleep(20)
        os._exit(0)
""",
    "a daemon": """
import os, time
def f(n):
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.closerange(0, 64)
            time.sleep(20)
        os._exit(0)
    os.wait()
""",
    "another program": """
import subprocess
def f(n): subprocess.Popen(["sleep", "20"], start_new_session=True)
""",
    "a program that is spawned": """
import os
def f(n): os.posix_spawn("/usr/bin/sleep", ["sleep", "20"], {}, setsid=True)
""",
    "a daemon by a system call": """
import ctypes, os, time
def f(n):
    libc = ctypes.CDLL(None)
    number, arguments = {"x86_64": (56, (0x11, 0, 0, 0, 0)), "aarch64": (220, (0x11, 0, 0, 0, 0))}[
        os.uname().machine
    ]
    if libc.syscall(number, *arguments) == 0:
        os.setsid()
        time.sleep(20)
        os._exit(0)
""",
    "a daemon without a death signal": """
import ctypes, os, time
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
def f(n):
    if not os.fork():
        os.setsid()
        time.sleep(20)
        os._exit(0)
""",
}

ATTACKS = [
    *(Attack(name, source) for name, source in FORGERIES.items()),
    *(Attack(name, source, kind="read") for name, source in THEFTS.items()),
    *(Attack(name, source, True, kind="read") for name, source in SIGHTS.items()),
    *(Attack(name, source, kind="tamper") for name, source in TAMPERING.items()),
    *(Attack(f"connects to {name}", source, kind="network") for name, source in NETWORK.items()),
    *(
        Attack(f"listens {name}", source, True, kind="network")
        for name, source in LISTENING.items()
    ),
    *(Attack(f"takes {name}", source, True, kind="exhaust") for name, source in GLUTTONY.items()),
    *(Attack(f"floods with {name}", source, kind="exhaust") for name, source in FLOODS.items()),
    *(Attack(name, source, timeout=SHORT, kind="exhaust") for name, source in LOITERING.items()),
    *(Attack(f"leaves {name}", source, kind="outlive") for name, source in OUTLIVING.items()),
]

HONEST = [
    Candidate("prints noise", "def f(n):\n    print('x' * 10**5)\n    return n + 1", 2),
    Candidate(
        "uses the standard library",
        "import collections, heapq, itertools, math, re\n"
        "def f(n): return heapq.nsmallest(1, [math.gcd(n, 9), 7])",
        [1],
    ),
    Candidate(
        "has a class",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n"
        "def f(n): return P(n).x",
        1,
    ),
    Candidate("recurses", "def f(n): return n if n > 900 else f(n + 1)", 901),
    Candidate(
        "returns a Counter",
        "from collections import Counter\ndef f(n): return Counter('aab')",
        {"a": 2, "b": 1},
    ),
    Candidate("has a large integer", "def f(n): return (n + 2) ** 3000", 3**3000),
]
