"""The ledger never counts too much as finished, wherever a program is killed."""

import json
import threading

import pytest

from pdm_tf.core.ledger import Entry, Ledger, digest, stamp

NAME = ".made.jsonl"
INPUTS = {"scale": 4, "source": [100, 5]}


def write(folder, name, size):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x" * size)


def make(folder, key="a.png", inputs=INPUTS, size=7, facts=None):
    """Makes a result as a program does that leaves other people's files alone."""
    ledger = Ledger(folder, NAME)
    ledger.begin(key, {key: size})
    write(folder, key, size)
    ledger.add(key, inputs, {key: size}, facts)


def state(folder, key="a.png", inputs=INPUTS):
    return Ledger(folder, NAME).state(key, inputs)


def test_a_result_is_finished_while_all_agrees(tmp_path):
    assert state(tmp_path) == "missing"
    make(tmp_path, facts=[{"draw": 0}])
    ledger = Ledger(tmp_path, NAME)
    assert ledger.state("a.png", INPUTS) == "finished"
    assert ledger.is_finished("a.png", INPUTS)
    assert ledger.is_finished("a.png", dict(reversed(INPUTS.items())))
    assert ledger.facts("a.png") == [{"draw": 0}] and ledger.keys() == {"a.png"}
    assert ledger.state("a.png", {**INPUTS, "scale": 2}) == "old"
    write(tmp_path, "a.png", 8)
    assert ledger.state("a.png", INPUTS) == "foreign"
    (tmp_path / "a.png").unlink()
    assert ledger.state("a.png", INPUTS) == "missing"


def test_files_of_other_programs_are_foreign(tmp_path):
    write(tmp_path, "a.png", 7)
    make(tmp_path, "b.png")
    assert state(tmp_path, "a.png") == "foreign"


def test_several_files_are_finished_together(tmp_path):
    ledger = Ledger(tmp_path, NAME)
    outputs = {"lr/a.png": 3, "hr/a.png": 9}
    for name, size in outputs.items():
        write(tmp_path, name, size)
    ledger.add("a", INPUTS, outputs)
    assert ledger.is_finished("a", INPUTS)
    (tmp_path / "lr/a.png").unlink()
    assert ledger.state("a", INPUTS) == state(tmp_path, "a") == "old"
    write(tmp_path, "lr/a.png", 4)
    assert ledger.state("a", INPUTS) == "foreign"


@pytest.mark.parametrize("same_size", [True, False])
def test_killed_anywhere_it_is_made_again_and_may_be(tmp_path, same_size):
    """A result of old inputs is replaced; after each byte written the program dies.

    Never finished before the last line is whole, and never foreign, which would keep
    the next start from replacing what this one left.
    """
    new, size = {**INPUTS, "scale": 2}, 7 if same_size else 11
    make(tmp_path)
    before = (tmp_path / NAME).read_bytes()
    ledger = Ledger(tmp_path, NAME)
    ledger.begin("a.png", {"a.png": size})
    begun = (tmp_path / NAME).read_bytes()
    ledger.add("a.png", new, {"a.png": size})
    done = (tmp_path / NAME).read_bytes()
    for end in range(len(before), len(begun) + 1):
        (tmp_path / NAME).write_bytes(done[:end])
        assert state(tmp_path, inputs=new) == "old", end
    write(tmp_path, "a.png", size)
    for end in range(len(begun), len(done) + 1):
        (tmp_path / NAME).write_bytes(done[:end])
        # The closing newline is no part of what a line says.
        whole = end >= len(done) - 1
        assert state(tmp_path, inputs=new) == ("finished" if whole else "old"), end
        make(tmp_path, "b.png")  # what comes after a line that was cut off is read
        assert state(tmp_path, "b.png") == "finished"


def test_a_killed_first_start_may_be_replaced(tmp_path):
    Ledger(tmp_path, NAME).begin("a.png", {"a.png": 7})
    assert state(tmp_path) == "missing"
    write(tmp_path, "a.png", 7)
    assert state(tmp_path) == "old"
    Ledger(tmp_path, NAME).begin("a.png", {"a.png": 9})  # and is killed once more
    assert state(tmp_path) == "old"
    write(tmp_path, "a.png", 8)
    assert state(tmp_path) == "foreign"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "7",
        '"key"',
        "{}",
        '{"key": "a.png"}',
        '{"key": "a.png", "inputs": "x", "outputs": 7}',
        '{"key": "a.png", "inputs": "x", "outputs"',
        '{"key": ["a.png"], "inputs": "x", "outputs": {}}',
        '{"name": "a.png", "made_of": [1, 2], "files": {"a.png": 7}, "rows": []}',
        "\x00\x01",
    ],
)
def test_lines_of_another_form_tell_nothing(tmp_path, line):
    make(tmp_path)
    with open(tmp_path / NAME, "a", encoding="latin-1") as file:
        file.write(f"{line}\n")
    assert state(tmp_path) == "finished"
    assert Ledger(tmp_path, NAME).keys() == {"a.png"}


def test_an_older_versions_line_still_claims_its_file(tmp_path):
    write(tmp_path, "a.png", 7)
    line = {"target": "a.png", "bytes": 7, "source_bytes": 1, "settings": "0" * 16}
    (tmp_path / NAME).write_text(json.dumps(line) + "\n")
    assert state(tmp_path) == "old"
    write(tmp_path, "a.png", 8)
    assert state(tmp_path) == "foreign"


def test_an_entry_alone_tells_the_same():
    """For results whose ledger is not a file of this disk."""
    entry = Entry(digest(INPUTS), {"a": 7})
    assert entry.state(digest(INPUTS), {"a": 7}) == "finished"
    assert entry.state(digest(None), {"a": 7}) == "old"
    assert entry.state(digest(INPUTS), {"a": 8}) == "foreign"
    assert entry.state(digest(INPUTS), {"a": None}) == "missing"


def test_threads_and_programs_share_a_ledger(tmp_path):
    ledgers = [Ledger(tmp_path, NAME) for _ in range(2)]

    def work(worker):
        for number in range(20):
            name = f"{worker}-{number}.png"
            write(tmp_path, name, number)
            ledgers[worker % 2].add(name, number, {name: number}, "x" * 3000)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger = Ledger(tmp_path, NAME)
    assert len(ledger.keys()) == 80
    assert all(ledger.is_finished(k, int(k[2:-4])) for k in ledger.keys())  # noqa: SIM118


def test_a_stamp_changes_with_size_and_time(tmp_path):
    write(tmp_path, "a", 3)
    before = stamp(tmp_path / "a")
    assert before[0] == 3 and stamp(tmp_path / "a") == before
    write(tmp_path, "a", 4)
    assert stamp(tmp_path / "a") != before
    (tmp_path / "lost").symlink_to("nowhere")
    assert stamp(tmp_path / "lost")
