"""The server of llama.cpp with a llama of two layers and random weights, at the port that is given."""

import signal
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

WORDS, WIDTH, LAYERS, HEADS, INNER, CONTEXT = 1024, 64, 2, 4, 128, 1024
SEQUENCES = 2


def write_model(path):
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(0)
    writer.add_vocab_size(WORDS)
    add_vocabulary(writer)

    def add(name, *shape):
        writer.add_tensor(name, (random.standard_normal(shape) * 0.05).astype(np.float32))

    def add_norm(name):
        writer.add_tensor(name, np.ones(WIDTH, dtype=np.float32))

    add("token_embd.weight", WORDS, WIDTH)
    add_norm("output_norm.weight")
    add("output.weight", WORDS, WIDTH)
    for layer in range(LAYERS):
        at = f"blk.{layer}"
        add_norm(f"{at}.attn_norm.weight")
        add_norm(f"{at}.ffn_norm.weight")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{at}.{part}.weight", WIDTH, WIDTH)
        add(f"{at}.ffn_gate.weight", INNER, WIDTH)
        add(f"{at}.ffn_up.weight", INNER, WIDTH)
        add(f"{at}.ffn_down.weight", WIDTH, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_vocabulary(writer):
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words = [f"\u2581w{number}" for number in range(WORDS - len(special))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token.encode() for token in special + words])
    writer.add_token_scores([0.0] * 3 + [-1e6] * 256 + [-float(number) for number in range(len(words))])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(words))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }} {% endfor %}")


if __name__ == "__main__":
    model = Path(tempfile.mkdtemp()) / "tiny.gguf"
    write_model(model)
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {"tiny"}
    params.hostnames = ["127.0.0.1"]
    params.port = int(sys.argv[1])
    params.endpoint_metrics = True
    params.n_ctx = CONTEXT * SEQUENCES
    params.n_parallel = SEQUENCES
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)
    signal.pause()
