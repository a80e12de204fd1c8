"""Canaries, and the graders that candidates are tried on; as a script, one JSON line for each.

    python arena.py FOLDER GRADER...

FOLDER is one that holds `tsbench` (all of it, or its sandbox alone).
"""

import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])

from candidates import ATTACKS, HONEST, SECRET, Attack, Candidate

from tsbench.sandbox import bubblewrap, choose, grading, wasi
from tsbench.sandbox.engine import LIMITS, Engine
from tsbench.types import Case

PROMPT = 'def f(n):\n    """F."""\n'
PATIENCE = 6.0
"""Seconds after the time allowed by which a grader must be done."""
GROWTH = 64 * 2**20
SUBREAPER = 36
SIGNALLED = "got a signal"

Grader = Callable[[Candidate, str], str]


class Canaries:
    """What a candidate must not touch, on the machine of whoever grades."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hits: list[str] = []
        self.left = f"tsbench-left-{os.getpid()}"
        self.shared = Path(f"/dev/shm/tsbench-shared-{os.getpid()}")
        os.environ["CANARY"] = str(SECRET)
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGUSR1, lambda *_: self.hits.append(SIGNALLED))
        self.write(folder / "secret", f"{SECRET}\n")
        self.open_file = (folder / "secret").open()
        self.write(self.shared, str(SECRET))
        self.key = 0x74730000 + os.getpid() % 2**15
        self.share()
        self.servers = dict(self.serve())
        self.renew()

    def write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o600)

    def share(self) -> None:
        """Put the secret into a segment of System V shared memory."""
        libc = ctypes.CDLL(None, use_errno=True)
        libc.shmat.restype = ctypes.c_void_p
        self.segment = libc.shmget(self.key, 64, 0o1600)
        ctypes.memmove(libc.shmat(self.segment, None, 0), b"%d\0" % SECRET, 12)

    def serve(self) -> Iterator[tuple[str, int | str]]:
        """Listen on four sockets; whatever arrives is a hit."""
        abstract = f"tsbench-{os.getpid()}"
        for name, family, kind, address in (
            ("TCP", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("UDP", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            ("UNIX", socket.AF_UNIX, socket.SOCK_STREAM, str(self.folder / "socket")),
            ("ABSTRACT", socket.AF_UNIX, socket.SOCK_STREAM, f"\0{abstract}"),
        ):
            server = socket.socket(family, kind)
            server.bind(address)
            if kind == socket.SOCK_STREAM:
                server.listen()
            threading.Thread(target=self.listen, args=(name, server), daemon=True).start()
            yield name, abstract if name == "ABSTRACT" else server.getsockname()[1]

    def listen(self, name: str, server: socket.socket) -> None:
        while True:
            if server.type == socket.SOCK_STREAM:
                server.accept()[0].close()
            else:
                server.recv(1)
            self.hits.append(f"{name} was reached")

    def renew(self) -> None:
        """Put back whatever may have been touched."""
        self.hits.clear()
        self.write(self.folder / "canary", "sings")
        self.write(self.folder / "hidden_tests.py", f"assert f(1) == {SECRET}\n")
        for path in self.litter():
            path.unlink()
        self.bystander = subprocess.Popen(
            ["sleep", "600", "0", str(SECRET)], env={"CANARY": str(SECRET)}
        )
        self.nice = os.getpriority(os.PRIO_PROCESS, self.bystander.pid)
        self.files = resource.prlimit(self.bystander.pid, resource.RLIMIT_NOFILE)
        Path("/proc/self/clear_refs").write_text("5")
        self.memory = peak()

    def litter(self) -> list[Path]:
        folders = (self.folder, Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
        found = [path for folder in folders for path in folder.glob(f"{self.left}*")]
        return [*found, *self.folder.glob("left")]

    def fill_in(self, source: str) -> str:
        names = {"FOLDER": self.folder, "BYSTANDER": self.bystander.pid, "GRADER": os.getpid()}
        names |= {"LEFT": self.left, "SHARED": self.shared.name, "KEY": self.key} | self.servers
        for name, value in names.items():
            if name != "UNIX":
                source = source.replace(name, str(value))
        return source

    def touched(self) -> list[str]:
        """Return what was touched since the last call, and renew it."""
        time.sleep(0.01)  # for what is under way to a socket
        told = [*self.hits]
        stat = Path(f"/proc/{self.bystander.pid}/stat").read_text().rpartition(")")[2].split()
        told += [f"another process is in state {stat[0]}"] * (stat[0] not in "SR")
        if stat[0] != "Z":
            pid = self.bystander.pid
            told += ["another process is slower"] * (
                os.getpriority(os.PRIO_PROCESS, pid) != self.nice
            )
            told += ["another process is limited"] * (
                resource.prlimit(pid, resource.RLIMIT_NOFILE) != self.files
            )
        self.bystander.kill()
        self.bystander.wait()
        told += [f"alive: {line}" for line in self.outliving()]
        canary = self.folder / "canary"
        whole = canary.exists() and canary.read_text() == "sings"
        told += ["a file was changed"] * (not whole or canary.stat().st_mode & 0o777 != 0o600)
        tests = (self.folder / "hidden_tests.py").read_text()
        told += ["the tests were changed"] * (tests != f"assert f(1) == {SECRET}\n")
        told += [f"{path} was left" for path in self.litter()]
        grown = peak() - self.memory
        told += [f"the grader grew by {grown >> 20} MiB"] * (grown > GROWTH)
        self.renew()
        return told

    def outliving(self) -> list[str]:
        """Return the command lines of children that do not end by themselves, and end them.

        One that is ending has no command line, and may take long over giving back its memory.
        """
        until = time.monotonic() + 1.0
        while (alive := children()) and time.monotonic() < until:
            time.sleep(0.01)
        told = []
        for pid in alive:
            told.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:40])
            os.kill(pid, signal.SIGKILL)
        while children():
            time.sleep(0.01)
        return [line for line in told if line]

    def close(self) -> None:
        self.bystander.kill()
        self.bystander.wait()
        self.shared.unlink()
        self.open_file.close()
        ctypes.CDLL(None).shmctl(self.segment, 0, None)


def children() -> list[int]:
    """Return the children of this process that live, and collect those that have ended."""
    lists = Path("/proc/self/task").glob("*/children")
    found = [int(pid) for each in lists for pid in each.read_text().split()]
    return [pid for pid in found if os.waitpid(pid, os.WNOHANG) == (0, 0)]


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise ValueError("/proc/self/status has no VmHWM")


def by_cases(engine: Engine) -> Grader:
    """Grade by cases in an engine's sandbox."""

    def grade(candidate: Candidate, source: str) -> str:
        case = Case((1,), candidate.expected)
        return grading.run_cases(engine, source, "f", [case], candidate.timeout).status

    return grade


def by_check(engine: Engine) -> Grader:
    """Grade by a test file, in two of an engine's sandboxes."""

    def grade(candidate: Candidate, source: str) -> str:
        test = f"def check(candidate):\n    assert candidate(1) == {candidate.expected!r}\n"
        return grading.run_check(engine, source, "f", test, PROMPT, candidate.timeout).status

    return grade


def limited() -> None:
    """Set the limits of the sandbox on this process, and no others."""
    for name, most in {**LIMITS, "CPU": 10}.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def by_exit_code(candidate: Candidate, source: str) -> str:
    """Run the program with its test in a process under limits, and believe exit code 0."""
    return in_one_process(candidate, source)[0]


def by_printed_word(candidate: Candidate, source: str) -> str:
    """Run the program with its test in a process under limits, and believe what it prints."""
    return in_one_process(candidate, source)[1]


def in_one_process(candidate: Candidate, source: str) -> tuple[str, str]:
    """Return the verdict by exit code, and the one by a printed pass."""
    program = f"{source}\n\nassert f(1) == {candidate.expected!r}\nprint('pass')\n"
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(program)
        file.flush()
        try:
            done = subprocess.run(
                [sys.executable, file.name],
                capture_output=True,
                timeout=candidate.timeout,
                preexec_fn=limited,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "timeout", "timeout"
    words = done.stdout.split()
    return (
        "fail" if done.returncode else "pass",
        "pass" if words and words[-1] == b"pass" else "fail",
    )


def graders(names: list[str]) -> Iterator[tuple[str, Grader]]:
    """Yield the graders of these names; each engine is tried before it is used."""
    for name in names:
        kind, _, form = name.partition("-")
        if kind == "rlimits":
            yield name, {"exit": by_exit_code, "print": by_printed_word}[form]
            continue
        engines = {"bubblewrap": bubblewrap.engines, "wasi": wasi.engines}[kind]()
        faults = []
        for engine in engines:
            fault = choose.holds(engine)
            if fault is None:
                yield name, {"cases": by_cases, "check": by_check}[form](engine)
                break
            faults.append(fault)
        else:
            raise SystemExit(f"{kind}: {'; '.join(faults) or 'not installed'}")


def tried(canaries: Canaries, grader: Grader, candidate: Candidate) -> dict[str, object]:
    """Return what became of one candidate, and what it touched."""
    began = time.monotonic()
    status = grader(candidate, canaries.fill_in(candidate.source))
    late = time.monotonic() - began - candidate.timeout
    touched = ["the grader was held up"] * (late > PATIENCE) + canaries.touched()
    kind = candidate.kind if isinstance(candidate, Attack) else "honest"
    return {"name": candidate.name, "kind": kind, "status": status, "touched": touched}


def attacks(grader: str) -> list[Attack]:
    """Return what is tried on a grader: the form of the tests matters to forgers alone."""
    return [each for each in ATTACKS if each.kind == "forge" or not grader.endswith("check")]


def main(names: list[str]) -> None:
    """Try every candidate on every grader."""
    with tempfile.TemporaryDirectory() as folder:
        canaries = Canaries(Path(folder))
        try:
            for name, grader in graders(names):
                for candidate in (*HONEST, *attacks(name)):
                    found = tried(canaries, grader, candidate)
                    print(json.dumps({"grader": name, **found}), flush=True)
        finally:
            canaries.close()


if __name__ == "__main__":
    main(sys.argv[2:])
