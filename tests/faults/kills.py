"""Kills programs while they write, starts them again, and compares with no kill at all.

    python -m tests.faults.kills --program=train --kills=200 --seed=1

One process loads the libraries and divides itself (fork) for every start, which saves
the seconds that loading TensorFlow takes (`tests/support/forking.py`); each start then
runs the program in a process of its own, until it ends or is killed.

A round takes a new folder and starts the program again and again. Each start but the
last is disturbed, by what the round's seed draws:

* `operation`: SIGKILL right before the k-th file operation (open for writing, flush,
  rename, link, remove, make or remove a folder), k over all there are, so that every
  moment between two operations comes up;
* `moment`: SIGKILL at a random moment of its time;
* `term`, `int`: SIGTERM or SIGINT at a random operation;
* `full`, `inodes`: a disk with room for a part of the results, or of the files;
  `read_only`: a disk that may not be written (these need root: a tmpfs is mounted);
* `two`: two at once in one folder;
* `clock`: from a random operation on the process sees another time, an hour or a year
  away, back or forth (needs Debian's package faketime; the machine's clock stays);
* `damage`: a byte of the newest checkpoint is altered before the start, or a file of it
  cut, where there is an older one, which the start must say. Where there is none yet,
  the start is killed instead, so that there will be.

Between two starts the files' times may be moved by a year, back or forth. The last
start is left alone and must end well. Then every result must be, bit for bit, that of a
start that nothing ever disturbed, no hidden file of ours may be left, no start may have
printed a traceback, and each must have ended with 0, 1 (files left out, named), 2, 75,
130, or by its signal. A start that ends well before its disturbance counts as none.
"""

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.programs import PROGRAMS, Program, make_inputs, snapshot
from tests.support import forking

_HIDDEN = ".*.[0-9]*.tmp"
_YEAR_S = 365 * 86400
_STARTS = 8  # at most, of a round
_PATIENCE_S = 900.0  # a start that takes longer hangs
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate")
# Killed, by SIGTERM too where a program does not catch it; or stopped after saving.
_KILLED = (-signal.SIGKILL, -signal.SIGTERM, 75, 130)
_REFUSED = (1, 2, 75)
KILLS = ("operation", "moment", "term", "int")
DISKS = ("full", "inodes", "read_only")
KINDS = (*KILLS, *DISKS, "two", "clock", "damage")
# How `faketime` is told of another time, relative to the true one.
_TIMES = ("-1h", "+1h", "-400d", "+400d")
_FAKETIME = {
    "FAKETIME": "+0",
    "FAKETIME_NO_CACHE": "1",
    "FAKETIME_DISABLE_SHM": "1",
    "DONT_FAKE_MONOTONIC": "1",  # a clock that is set leaves it alone
    "NO_FAKE_STAT": "1",
}


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """What happens to one start: `kind`, at the operation or after the seconds `at`.

    `time` is the one that is seen from then on, as faketime has it.
    """

    kind: str
    at: float
    time: str = ""


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a start ended: its exit code, negative for a signal; and what it took."""

    code: int
    seconds: float
    operations: int
    printed: str


class _Begun(NamedTuple):
    number: int
    start: float
    after: float
    counter: Any
    log: Path


class Starter:
    """Starts one program in processes divided from this one."""

    def __init__(self, program: Program, inputs: Path) -> None:
        self._program, self._inputs = program, inputs
        self._starts = 0
        forking.load_libraries()

    def __call__(self, output: Path, wanted: Disturbance | None = None) -> Ended:
        """Starts the program once; returns how it ended.

        Args:
          output: its folder.
          wanted: what disturbs it.
        """
        return self.end(self.begin(output, wanted))

    def begin(self, output: Path, wanted: Disturbance | None = None) -> "_Begun":
        """Starts the program; see `__call__`."""
        self._starts += 1
        log = self._inputs.with_name(f"log_{self._starts % 2}.txt")
        counter = multiprocessing.get_context("fork").RawValue("q", 0)
        start = time.monotonic()
        number = os.fork()
        if not number:
            self._be_the_program(output, log, counter, wanted)
        after = wanted.at if wanted and wanted.kind == "moment" else _PATIENCE_S
        return _Begun(number, start, after, counter, log)

    def end(self, begun: "_Begun") -> Ended:
        """Waits until it ends, or kills it at its moment."""
        handle = os.pidfd_open(begun.number)
        done = select.select([handle], [], [], begun.after)[0]
        if not done:
            os.kill(begun.number, signal.SIGKILL)
        os.close(handle)
        code = os.waitstatus_to_exitcode(os.waitpid(begun.number, 0)[1])
        printed = begun.log.read_text(errors="replace")
        assert done or begun.after != _PATIENCE_S, f"hangs: {printed}"
        seconds = time.monotonic() - begun.start
        return Ended(code, seconds, begun.counter.value, printed)

    def _be_the_program(
        self,
        output: Path,
        log: Path,
        counter: object,
        wanted: Disturbance | None,
    ) -> None:
        code = 70
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            forking.divide_steps_too()
            _watch(output, counter, wanted)
            flags = map(str, self._program.flags(self._inputs, output))
            forking.run_as_main([self._program.module, *flags])
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)


def _watch(output: Path, counter: object, wanted: Disturbance | None) -> None:
    """Counts file operations below `output`; disturbs right before the wanted one."""
    place, me = str(output), os.getpid()
    numbers = {"term": signal.SIGTERM, "int": signal.SIGINT}
    by_operation = wanted and wanted.kind in ("operation", "term", "int", "clock")
    at = int(wanted.at) if by_operation else 0

    def count(path: object) -> None:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if not text.startswith(place) or os.getpid() != me:
            return
        counter.value += 1
        if counter.value == at and wanted.kind == "clock":
            os.environ["FAKETIME"] = wanted.time
        elif counter.value == at:
            os.kill(me, numbers.get(wanted.kind, signal.SIGKILL))

    def hook(event: str, args: tuple) -> None:
        if event == "open" and isinstance(args[2], int) and args[2] & _WRITES:
            count(args[0])
        elif event in _EVENTS:
            count(args[0])

    flush = os.fsync

    def fsync(descriptor: int) -> None:
        count(os.readlink(f"/proc/self/fd/{descriptor}"))
        flush(descriptor)

    os.fsync = fsync
    sys.addaudithook(hook)


@dataclasses.dataclass
class Round:
    """One folder: how many disturbances of each kind it had, and what was not right."""

    seed: str
    kills: Counter
    fault: str = ""


class Harness:
    """Rounds of one program, in a scratch folder.

    With `small_disk` they work on a tmpfs, which `close` unmounts.
    """

    def __init__(self, name: str, scratch: Path, *, small_disk: bool) -> None:
        self.name, self._small_disk = name, small_disk
        inputs = scratch / "inputs"
        program = PROGRAMS[name]
        if not inputs.exists():
            make_inputs(inputs)
        if not (inputs / "bundle").exists():
            _add_bundle(inputs)
        self.start = Starter(program, inputs)
        # Every start works at this place: results may name it.
        self.place = scratch / "place" / "out"
        self.place.parent.mkdir(exist_ok=True)
        if small_disk:
            _mount("tmpfs", "-t", "tmpfs", self.place.parent)
        whole = self.start(self.place)
        assert whole.code == program.well, whole.printed
        self.whole, self._well = whole, program.well
        self.wanted = snapshot(self.place)
        assert self.wanted, f"{name} has written nothing"
        made = [path for path in self.place.rglob("*")]
        self.files = len(made)
        self.bytes = sum(path.stat().st_size for path in made if path.is_file())
        self.clear()

    def close(self) -> None:
        """Gives the small disk back."""
        if self._small_disk:
            subprocess.run(["umount", str(self.place.parent)], check=True)

    def clear(self) -> None:
        """Removes what the last round made."""
        if self.place.exists():
            shutil.rmtree(self.place)

    def round(self, seed: str, kinds: tuple[str, ...], first: int = 0) -> Round:
        """Does one round; `first` is the operation of its first kill, 0: any."""
        draw, kills = random.Random(seed), Counter()
        problems, operations = [], 0
        for index in range(draw.randint(1, _STARTS - 1)):
            disturbance = self._draw(draw, kinds, operations)
            if first and not index:
                disturbance = Disturbance("operation", first)
            for number, ended in enumerate(self._disturbed(disturbance, draw)):
                codes = _KILLED if disturbance.kind in KILLS else _REFUSED
                if disturbance.kind == "clock":  # it is none of its business
                    codes = ()
                happened = ended.code in codes
                if disturbance.kind == "damage":
                    happened = "set aside" in ended.printed
                    if not happened:
                        problems.append(f"damage went unnoticed: {ended.printed}")
                elif disturbance.kind == "two":
                    happened = number == 0  # a pair is one, also where both do well
                elif disturbance.kind == "clock":
                    happened = ended.operations >= disturbance.at
                kills[disturbance.kind] += happened
                if ended.code not in (self._well, *codes):
                    problems.append(f"{disturbance}: {ended.code}: {ended.printed}")
                problems += _traceback(ended)
                operations += ended.operations
            if draw.random() < 0.2:
                _move_times(self.place, draw.choice((-_YEAR_S, _YEAR_S)))
            if ended.code == self._well:
                break
        problems += self.end()
        return Round(seed, kills, "; ".join(problems))

    def end(self) -> list[str]:
        """Starts undisturbed, compares, and clears; returns what is wrong."""
        last = self.start(self.place)
        problems = _traceback(last)
        if last.code != self._well:
            problems.append(f"the last start: {last.code}: {last.printed[-400:]}")
        left = [str(path) for path in self.place.rglob(_HIDDEN)]
        if left:
            problems.append(f"left behind: {left}")
        found = snapshot(self.place) if self.place.exists() else {}
        different = {name for name, _ in found.items() ^ self.wanted.items()}
        if different:
            problems.append(f"differ: {sorted(different)}")
        self.clear()
        return problems

    def _disturbed(self, wanted: Disturbance, draw: random.Random) -> list[Ended]:
        if wanted.kind == "two":
            begun = [self.start.begin(self.place) for _ in range(2)]
            return [self.start.end(one) for one in begun]
        if wanted.kind == "damage":
            _damage_newest(self.place / "checkpoints", draw)
            return [self.start(self.place)]
        if wanted.kind not in DISKS:
            return [self.start(self.place, wanted)]
        disk = os.statvfs(self.place.parent)
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        size = used + int(wanted.at * self.bytes)
        nodes = disk.f_files - disk.f_ffree + int(wanted.at * self.files)
        options = {
            "full": f"size={max(size, 4096)}",
            "inodes": f"nr_inodes={nodes}",
            "read_only": "ro",
        }
        _mount("-o", f"remount,{options[wanted.kind]}", self.place.parent)
        try:
            return [self.start(self.place)]
        finally:
            again = "remount,rw,size=1g,nr_inodes=100000"
            _mount("-o", again, self.place.parent)

    def _draw(
        self, draw: random.Random, kinds: tuple[str, ...], done: int
    ) -> Disturbance:
        kind = draw.choice(kinds)
        if kind == "damage" and not self._can_be_damaged():
            kind = "operation"
        if kind == "moment":
            return Disturbance(kind, draw.uniform(0.0, self.whole.seconds))
        if kind in DISKS:
            return Disturbance(kind, draw.random())
        # What earlier starts have done is not done again, and a kill that would come
        # after the end costs a whole start and counts as none.
        left = max(self.whole.operations - done, self.whole.operations // 6)
        time = draw.choice(_TIMES) if kind == "clock" else ""
        return Disturbance(kind, draw.randint(1, left), time)

    def _can_be_damaged(self) -> bool:
        """Whether there are two checkpoints, and the run reads them: it goes on."""
        numbers = self.place / "metrics.jsonl"
        steps = list((self.place / "checkpoints").glob("step_*"))
        return (
            len(steps) > 1
            and numbers.exists()
            and '"finished"' not in numbers.read_text()
        )


def _add_bundle(inputs: Path) -> None:
    """Makes the bundle that some programs take, in a process of its own."""
    number = os.fork()
    if not number:
        from pdm_tf.bundles.bundle import save_bundle
        from pdm_tf.models.sr.edsr import EDSRConfig

        network = EDSRConfig(scale=2, num_blocks=1, filters=4).build()
        save_bundle(network, inputs / "bundle", step=1, grid="half_pixel")
        os._exit(0)
    assert os.waitpid(number, 0)[1] == 0


def _damage_newest(folder: Path, draw: random.Random) -> None:
    steps = sorted(folder.glob("step_*"))
    file = draw.choice(sorted(path for path in steps[-1].iterdir()))
    content = bytearray(file.read_bytes())
    at = draw.randrange(len(content))
    if draw.random() < 0.5:
        content = content[:at]
    else:
        content[at] ^= draw.randint(1, 255)
    file.write_bytes(content)


def _mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def _traceback(ended: Ended) -> list[str]:
    found = ended.printed.find("Traceback")
    return [ended.printed[found : found + 2000]] if found >= 0 else []


def _move_times(folder: Path, seconds: int) -> None:
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            stat = path.stat()
            os.utime(path, (stat.st_atime + seconds, stat.st_mtime + seconds))


@contextlib.contextmanager
def scratch_folder(given: str = "") -> Iterator[Path]:
    """Yields `given`, or a new folder that is removed at the end."""
    if given:
        Path(given).mkdir(parents=True, exist_ok=True)
        yield Path(given).resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder).resolve()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--program", choices=PROGRAMS, required=True)
    parser.add_argument("--kills", type=int, default=20, help="stop after so many")
    parser.add_argument("--seconds", type=float, default=1e9, help="or after so long")
    parser.add_argument("--seed", default="0", help="of the first round")
    parser.add_argument("--round", type=int, default=-1, help="only this one")
    parser.add_argument("--kinds", default=",".join(KILLS), help=f"of {KINDS}")
    parser.add_argument("--scratch", default="")
    parser.add_argument("--output", default="", help="JSON lines, one a round")
    return parser.parse_args()


def main() -> int:
    """Does rounds until there are enough kills; returns 1 if a round was not right."""
    given = _arguments()
    with scratch_folder(given.scratch) as scratch:
        kinds = tuple(given.kinds.split(","))
        harness = Harness(
            given.program, scratch, small_disk=not {*DISKS}.isdisjoint(kinds)
        )
        operations = harness.whole.operations
        print(
            f"{given.program}: {operations} file operations, "
            f"{harness.whole.seconds:.2f} s undisturbed, seed {given.seed}",
            flush=True,
        )
        kills, wrong, end = Counter(), 0, time.monotonic() + given.seconds
        numbers = iter(range(10**9) if given.round < 0 else [given.round])
        for number in numbers:
            if sum(kills.values()) >= given.kills or time.monotonic() > end:
                break
            first = number % operations + 1 if "operation" in kinds else 0
            seed = f"{given.seed}/{given.program}/{number}"
            done = harness.round(seed, kinds, first)
            kills += done.kills
            wrong += bool(done.fault)
            row = {"program": given.program, "seed": given.seed, "round": number}
            row |= {"kills": done.kills, "fault": done.fault}
            if done.fault:
                print(f"round {number}: {done.fault}", flush=True)
            if given.output:
                with open(given.output, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
        harness.close()
        print(
            f"{given.program}: {sum(kills.values())} kills ({dict(kills)}) in "
            f"{number + (given.round >= 0)} rounds, {wrong} of them not right",
            flush=True,
        )
    return int(wrong > 0)


def environment(kinds: Iterable[str]) -> dict[str, str]:
    """What must be set when this process starts.

    Raises:
      FileNotFoundError: the library that shows a process another time is missing.
    """
    if "clock" not in kinds:
        return {}
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if found is None:
        raise FileNotFoundError("clock needs Debian's package faketime")
    return {"LD_PRELOAD": str(found), **_FAKETIME}


if __name__ == "__main__":
    needed = environment(_arguments().kinds.split(","))
    if any(os.environ.get(name) != value for name, value in needed.items()):
        words = [sys.executable, "-m", "tests.faults.kills", *sys.argv[1:]]
        os.execve(sys.executable, words, {**os.environ, **needed})
    sys.exit(main())
