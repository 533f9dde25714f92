"""Fuzzes one reader of foreign bytes, guided by coverage, for a given time.

    pip install -e '.[fuzz]'
    python -m tests.fuzz pickle --seconds=600
    python -m tests.fuzz all --seconds=600 --out=fuzz

`READERS` names what there is. The seeds are made by code; what was learned is kept in
OUT/READER/corpus and used again by the next run. Whatever a reader raises that its
programs do not expect is a finding: one input for each place in our code is kept in
OUT/READER/found with its traceback, and the run goes on. An input that ends the process
(a crash, 20 seconds, 2 GiB) is kept too, and a new process goes on. The last line is
JSON: executions, seconds, findings, and the edges of our Python code that were covered.

Found inputs go to `tests/fuzz/found/READER/`, where the default tests replay them.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_WATCHED = ["pdm_tf", "export", "kserve.protocol", "pickletools", "zipfile"]
_LIMITS = ("-timeout=20", "-rss_limit_mb=2560", "-detect_leaks=0", "-verbosity=1")
_LINE = re.compile(r"#(\d+)\s.*?cov: (\d+) ft: (\d+)")
_DONE = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


def place_of(error: BaseException) -> str:
    """The exception's class, and the last line of our code that it passed."""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(ROOT)
        and "tests/fuzz" not in frame.filename
    ]
    where = f"{Path(ours[-1].filename).name}_{ours[-1].lineno}" if ours else "outside"
    return f"{type(error).__name__}_{where}"


def _child(name: str, out: Path, seconds: int, seed: int) -> None:
    """Runs libFuzzer in this process, which it ends."""
    import atheris

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with atheris.instrument_imports(include=_WATCHED):
        from tests.fuzz.readers import READERS, expected

        refusals, reader = expected(), READERS[name]
        read = reader.make(Path(tempfile.mkdtemp(dir=_memory())))
    found, corpus = out / "found", out / "corpus"
    for number, data in enumerate(reader.seeds()):
        (corpus / f"seed{number}").write_bytes(data)
    words = [f'"{_escaped(word)}"\n' for word in (*reader.words, b"\0\0\0\0")]
    (out / "words").write_text("".join(words))
    known = {path.stem for path in found.iterdir()}

    def once(data: bytes) -> None:
        try:
            read(data)
        except refusals:
            return
        except Exception as error:  # noqa: BLE001 - the point of the search
            place = place_of(error)
            if place in known:
                return
            known.add(place)
            (found / f"{place}.bin").write_bytes(data)
            (found / f"{place}.txt").write_text(traceback.format_exc())

    arguments = [f"-max_total_time={seconds}", f"-seed={seed}", "-print_final_stats=1"]
    arguments += [f"-max_len={reader.longest}", f"-dict={out / 'words'}"]
    arguments += [f"-artifact_prefix={found}/", *_LIMITS, str(corpus)]
    atheris.Setup([name, *arguments], once)
    atheris.Fuzz()


def _memory() -> str | None:
    """A folder that is no disk, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def fuzz(name: str, out: Path, seconds: int, seed: int) -> dict[str, object]:
    """Fuzzes one reader; returns the figures."""
    place = out / name
    for folder in ("corpus", "found"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    begun, executions, covered, features, ends = time.monotonic(), 0, 0, 0, Counter()
    while (left := seconds - (time.monotonic() - begun)) >= 1:
        command = [sys.executable, "-m", "tests.fuzz", name, f"--seed={seed}"]
        command += [f"--seconds={int(left)}", f"--out={out}", "--child"]
        with open(place / "log", "w+") as log:
            code = subprocess.run(command, cwd=ROOT, stderr=log, stdout=log).returncode
            log.seek(0)
            text = log.read()
        counts = [int(n) for n in _DONE.findall(text)]
        steps = [tuple(map(int, step)) for step in _LINE.findall(text)]
        executions += max([*counts, *(step[0] for step in steps), 0])
        covered = max([covered, *(step[1] for step in steps)])
        features = max([features, *(step[2] for step in steps)])
        if not steps:
            raise SystemExit(f"{name}: nothing ran, code {code}:\n{text[-3000:]}")
        if code:
            ends[code] += 1
        seed += 1
    kept = (place / "found").iterdir()
    return {
        "reader": name,
        "executions": executions,
        "seconds": round(time.monotonic() - begun),
        "edges": covered,
        "features": features,
        "inputs": len(list((place / "corpus").iterdir())),
        "processes_ended": dict(ends),
        "findings": sorted(path.name for path in kept if path.suffix != ".txt"),
    }


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("reader", help="a name, several with commas, or all")
    parser.add_argument("--seconds", type=int, default=600, help="for each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("fuzz"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    out = asked.out.resolve()
    if asked.child:
        _child(asked.reader, out / asked.reader, asked.seconds, asked.seed)
    from tests.fuzz.readers import READERS

    names = list(READERS) if asked.reader == "all" else asked.reader.split(",")
    for name in names:
        if name not in READERS:
            parser.error(f"READER must be one of {', '.join(READERS)}: {name}")
        print(json.dumps(fuzz(name, out, asked.seconds, asked.seed)), flush=True)


if __name__ == "__main__":
    main()
