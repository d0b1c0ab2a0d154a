"""Record files: readable by their own header, whatever became of the run."""

from __future__ import annotations

import numpy as np
import pytest

from servemark.errors import RecordingError
from servemark.records import open_records


def test_a_file_is_read_by_its_own_column_table(make_records):
    file = make_records(3, scheduled=[10, 20, 30], end=[15, 25, 35], user=[0, 1, 2])
    rows = file.memmap()
    assert rows["scheduled"].tolist() == [10, 20, 30]
    assert rows["seq"].tolist() == [0, 1, 2]
    assert file.error_kinds[0] == "ok"
    assert file.span_ns() == (10, 35)


def test_chunks_hold_every_row_once_and_in_order(make_records):
    file = make_records(300_000, scheduled=np.arange(300_000))
    chunks = list(file.chunks())
    assert len(chunks) > 1
    assert (np.concatenate([chunk["scheduled"] for chunk in chunks]) == np.arange(300_000)).all()


def test_a_file_cut_within_a_row_is_read_up_to_the_last_whole_one(make_records):
    file = make_records(5)
    with file.path.open("r+b") as out:
        out.truncate(file.path.stat().st_size - 3)
    assert open_records(file.path).rows == 4


def test_an_empty_file_has_no_rows(make_records):
    file = make_records(0)
    assert list(file.chunks()) == []
    assert len(file.memmap()) == 0
    assert file.span_ns() == (0, 0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 something else entirely, longer than a header is"])
def test_what_is_not_a_record_file_is_refused(tmp_path, content):
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="is not a record file"):
        open_records(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecordingError, match=r"cannot read the records in .*none\.bin: No such file"):
        open_records(tmp_path / "none.bin")


def test_a_version_of_the_future_is_refused(make_records):
    file = make_records(1)
    with file.path.open("r+b") as out:
        out.seek(16)
        out.write(b"\x09\0\0\0")
    with pytest.raises(RecordingError, match="version 9"):
        open_records(file.path)
