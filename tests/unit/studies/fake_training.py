"""Stands in for `pdm_tf.train`, in no time: a lock, numbers, an exit code.

    python fake_training.py RUN_DIR STEPS [STEP=BEHAVIOUR ...]

takes a step every 20 ms, from where it stopped. At STEP it does as BEHAVIOUR says: an
exit code, "kill" (itself, as the system does when memory is short), "silent" (ends as
if all were well) or "wait" (for a signal). Each start adds a line to RUN_DIR/starts.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path


def main(run_dir, steps, *behaviours):
    folder, last = Path(run_dir), int(steps)
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / "lock", "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("error: another process is training in it")
        return 2
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    at = dict(text.split("=") for text in behaviours)
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    step = len(lines)
    with open(folder / "starts", "a") as file:
        file.write(f"{step}\n")
    with open(path, "a") as file:
        while step < last:
            what = at.get(str(step), "")
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "silent":
                return 0
            if what.isdecimal():
                print(f"step {step}\nerror: it went wrong at {step}\nbye")
                return int(what)
            while what == "wait" and not stopped:
                time.sleep(0.01)
            if stopped:
                return 75
            time.sleep(0.02)
            step += 1
            record = {"step": step, "loss/sr_l1": 1.0}
            if step == last:
                record |= {"finished": True, "perf/train_seconds": 0.02 * last}
            file.write(json.dumps(record) + "\n")
            file.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
