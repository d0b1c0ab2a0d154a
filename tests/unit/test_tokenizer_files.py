"""Files of tokenizers: what they count."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers

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
