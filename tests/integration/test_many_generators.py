"""Two hundred generators, whose records are made and not sent: what they cost the driver, and that nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.scale import MadeRecords
from servemark.engines.native.cluster import carrying
from servemark.engines.native.cluster.carrying import MOST_ON_THEIR_WAY, Carrying
from servemark.errors import RecordingError
from servemark.records import open_records, rows_of, write_records

pytestmark = pytest.mark.seconds

GIB = 1 << 30
_MEASURED = """\
import dataclasses, json, sys
from pathlib import Path
from bench.scale import measure
print(json.dumps(dataclasses.asdict(measure(200, 2_000_000, Path(sys.argv[1])))))
"""


def test_the_driver_joins_two_hundred_generators_within_its_memory_and_a_microsecond_a_record(tmp_path):
    words = [sys.executable, "-c", _MEASURED, str(tmp_path)]  # by itself: what it has at most is then its own
    told = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    cost = json.loads(told.stdout)
    assert cost["records"] == 2_000_000
    assert cost["most_memory_bytes"] < GIB
    assert cost["joining_cpu_s"] < 2_000_000 * 1e-6
    assert 0.98 < cost["p99_ms"] < 1.0  # of all records: of one generator's it is another


@pytest.fixture
def made(tmp_path: Path) -> MadeRecords:
    """What forty generators would have recorded."""
    write_records(tmp_path / "header.bin", [], steps=("predict",), started_unix_ns=0, warmup_ns=0)
    return MadeRecords(40, 3_999, (tmp_path / "header.bin").read_bytes())


class Watched:
    """Chunks of which it is seen how many are on their way; those of generator 7 never come again after `lost`."""

    def __init__(self, made: MadeRecords, lost: int | None = None) -> None:
        self._made, self._lost = made, lost
        self.most = self.asked = 0

    def ask(self, generator: int, offset: int, most_bytes: int) -> tuple[int, int, int]:
        self.asked += 1
        return self._made.ask(generator, offset, most_bytes)

    def arrived(self, asked, timeout_s):
        self.most = max(self.most, len(asked))
        assert len({generator for generator, _, _ in asked}) == len(asked), "one of each at a time"
        return asked[:1]

    def take(self, asked: tuple[int, int, int]) -> memoryview | None:
        generator, offset, _ = asked
        return None if generator == 7 and self._lost is not None and offset >= self._lost else self._made.take(asked)


def carried(chunks: Watched, made: MadeRecords, files: list[Path]) -> None:
    with Carrying(chunks, files) as under_way:
        for generator in range(len(files)):
            under_way.end_at(generator, made.size(generator))
        while not all(map(under_way.is_whole, range(len(files)))):
            under_way.turn(0.0)


def test_every_file_is_in_the_end_what_its_generator_wrote(tmp_path, made, monkeypatch):
    monkeypatch.setattr(carrying, "CHUNK_BYTES", 5_000)
    files = [tmp_path / f"{number}.bin" for number in range(40)]
    chunks = Watched(made)
    carried(chunks, made, files)
    rows = np.sort(rows_of([open_records(file) for file in files]), order="seq")
    assert (rows["seq"] == np.arange(3_999)).all()
    assert [file.stat().st_size for file in files] == [made.size(number) for number in range(40)]
    assert chunks.most == MOST_ON_THEIR_WAY
    assert chunks.asked > 3 * 40


def test_of_a_generator_that_is_lost_what_came_is_kept_and_the_others_are_whole(tmp_path, made, monkeypatch):
    monkeypatch.setattr(carrying, "CHUNK_BYTES", 5_000)
    files = [tmp_path / f"{number}.bin" for number in range(40)]
    carried(Watched(made, lost=5_000), made, files)
    assert files[7].stat().st_size == 5_000
    assert all(len(open_records(file)) == 100 for number, file in enumerate(files) if number not in (7, 39))


class Rewritten:
    """Chunks of one file of bytes, which becomes another; what was asked for is on its way until it `arrives`.

    Nothing comes any more from when it `is_gone`.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.arrives = True
        self.is_gone = False

    def ask(self, generator: int, offset: int, most_bytes: int) -> bytes:
        return self.content[offset : offset + most_bytes]

    def arrived(self, asked, timeout_s):
        return asked if self.arrives else []

    def take(self, asked: bytes) -> memoryview | None:
        return None if self.is_gone else memoryview(asked)


@pytest.mark.parametrize("on_their_way", [False, True])
def test_a_file_that_is_written_anew_when_the_run_is_over_comes_again_from_its_beginning(
    tmp_path, monkeypatch, on_their_way
):
    """What is on its way then is of the first one, and goes nowhere."""
    monkeypatch.setattr(carrying, "CHUNK_BYTES", 5)
    monkeypatch.setattr(carrying, "PAUSE_S", 0.0)
    chunks, file = Rewritten(b"as it was recorded"), tmp_path / "records.bin"
    with Carrying(chunks, [file]) as under_way:
        for _ in range(2):
            under_way.turn(0.0)
        assert file.read_bytes() == b"as it was "
        chunks.arrives = not on_their_way
        under_way.turn(0.0)
        chunks.arrives, chunks.content = True, b"with what was read in the answers"
        under_way.begin_again(0)
        under_way.end_at(0, len(chunks.content))
        while not under_way.is_whole(0):
            under_way.turn(0.0)
    assert file.read_bytes() == chunks.content
    assert list(tmp_path.iterdir()) == [file]


def test_up_to_when_all_is_here_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(carrying, "CHUNK_BYTES", 5)
    monkeypatch.setattr(carrying, "PAUSE_S", 0.0)
    chunks = Rewritten(b"as it was recorded")
    with Carrying(chunks, [tmp_path / "records.bin"]) as under_way:
        before_ns = under_way.up_to_ns(0)
        for _ in range(3):
            under_way.turn(0.0)
        assert under_way.up_to_ns(0) == before_ns, "more than a chunk was there"
        asked_ns = time.monotonic_ns()
        under_way.turn(0.0)
        here_ns = under_way.up_to_ns(0)
        assert asked_ns <= here_ns <= time.monotonic_ns()
        chunks.arrives = False
        under_way.turn(0.0)
        assert under_way.up_to_ns(0) == here_ns, "the next one is on its way"
        under_way.end_at(0, len(chunks.content))
        ended_ns = time.monotonic_ns()
        assert under_way.up_to_ns(0) >= ended_ns, "there is no more"


@pytest.mark.parametrize("asked_again", [False, True])
def test_of_one_that_is_lost_while_its_file_comes_again_what_came_before_is_kept(tmp_path, monkeypatch, asked_again):
    """Its rows may be of another width, and what is missing of them is nowhere."""
    monkeypatch.setattr(carrying, "CHUNK_BYTES", 5)
    monkeypatch.setattr(carrying, "PAUSE_S", 0.0)
    first = b"as it was recorded"
    chunks, file = Rewritten(first), tmp_path / "records.bin"
    with Carrying(chunks, [file]) as under_way:
        while file.stat().st_size < len(first):
            under_way.turn(0.0)
        chunks.content = b"with what was read in the answers"
        under_way.begin_again(0)
        under_way.end_at(0, len(chunks.content))
        for _ in range(2):
            under_way.turn(0.0)
        chunks.is_gone = True
        under_way.turn(0.0)
        assert file.read_bytes() == first
        if asked_again:  # as long as nobody has said that it is gone
            under_way.end_at(0, len(chunks.content))
            under_way.turn(0.0)
        under_way.end_at(0, None)
    assert file.read_bytes() == first
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_of_the_driver_is_an_error_of_recording(tmp_path, made):
    full = Path("/dev/full")
    with pytest.raises(RecordingError, match=r"^cannot write records to /dev/full: "):
        carried(Watched(made), made, [full])
