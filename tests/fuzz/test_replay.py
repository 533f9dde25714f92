"""The inputs that fuzzing found, the seeds, and damaged seeds: by every reader.

Searching for more takes minutes and is done by `python -m tests.fuzz`.
"""

import importlib.util
import random
from pathlib import Path

import pytest

from tests.fuzz.readers import READERS, expected

DAMAGED = 40  # from each reader's seeds, the same ones every time
FOUND = Path(__file__).parent / "found"


def _damaged(data, chance):
    """Some bytes changed, cut out or doubled."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        length = chance.choice((1, 1, 4, 16))
        new = chance.choice((b"", bytes([chance.randrange(256)]), data[at : at + 8]))
        data[at : at + length] = new
    return bytes(data)


@pytest.mark.kserve
@pytest.mark.parametrize("name", [n for n, r in READERS.items() if r.package])
def test_readers_that_need_a_package(name, tmp_path):
    _replay(name, tmp_path)


@pytest.mark.parametrize("name", [n for n, r in READERS.items() if not r.package])
def test_readers(name, tmp_path):
    _replay(name, tmp_path)


def _replay(name, folder):
    reader, refusals, chance = READERS[name], expected(), random.Random(name)
    read, seeds = reader.make(folder), list(reader.seeds())
    found = [path.read_bytes() for path in sorted((FOUND / name).glob("*"))]
    damaged = [_damaged(chance.choice(seeds), chance) for _ in range(DAMAGED)]
    accepted = 0
    for number, data in enumerate([*seeds, *found, *damaged]):
        try:
            read(data)
            accepted += number < len(seeds)
        except refusals:
            continue
    assert accepted, "no seed was read"


def test_found_inputs_belong_to_readers():
    assert {path.name for path in FOUND.iterdir()} <= set(READERS)
    assert importlib.util.find_spec("tests.fuzz.__main__")
