"""Write a tokenizer into a folder: a word is a token. Run by the Python of a peer that will not count without one."""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

words = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(2000))]
tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
fast.save_pretrained(sys.argv[1])
(Path(sys.argv[1]) / "config.json").write_text(json.dumps({"model_type": "llama"}), encoding="utf-8")
