"""Files of tokenizers: what they count, and when one of another kind is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers

from servemark import cli
from servemark.engines.native.answers import load_tokenizer


def saved(path: Path, **changed: int) -> Path:
    """The file of a tokenizer whose tokens are words, at `path`; `changed` is to how many it pads and truncates."""
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    if "padded" in changed:
        words.enable_padding(length=changed["padded"])
    if "truncated" in changed:
        words.enable_truncation(changed["truncated"])
    words.save(str(path))
    return path


@pytest.mark.parametrize("changed", [{}, {"padded": 6}, {"truncated": 4}, {"padded": 6, "truncated": 4}], ids=str)
def test_the_tokens_of_a_text_are_its_own_whatever_a_file_pads_and_truncates_to(tmp_path, changed) -> None:
    tokenizer = load_tokenizer(saved(tmp_path / "tokenizer.json", **changed))
    assert tokenizer.counts(["a", "a b", "a b a b a b a b"]) == [1, 2, 8]


@pytest.mark.parametrize(
    "asked",
    [
        "latency --server 127.0.0.1:1 --dialect openai",
        "latency --server 127.0.0.1:1",
        "http http://127.0.0.1:1/ --tokens openai",
    ],
)
def test_a_file_of_another_kind_is_refused_before_a_server_is_looked_for(tmp_path, capsys, asked) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text('{"model": "none"}')
    status = cli.main(["run", *asked.split(), "-l", "1", "--tokenizer", str(file), "-o", str(tmp_path / "out")])
    assert status == 2
    assert f"{file} is no tokenizer" in capsys.readouterr().err
