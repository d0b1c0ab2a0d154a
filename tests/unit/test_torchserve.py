"""What TorchServe has of its own: its tokens, its metrics, and its words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from servemark.errors import UsageError
from servemark.options.server import ServerOptions
from servemark.servers.torchserve.dialect import DIALECT
from servemark.servers.torchserve.metrics import counted_in
from servemark.servers.torchserve.tokens import read_tokens

KEYS = {"management": {"key": "abcdefgh"}, "inference": {"key": "ijklmnop"}, "API": {"key": "qrstuvwx"}}


def test_each_api_has_its_token_which_is_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "key_file.json"
    file.write_text(json.dumps(KEYS))
    tokens = read_tokens(file)
    assert (tokens.inference.value, tokens.management.value) == ("Bearer ijklmnop", "Bearer abcdefgh")
    assert (tokens.inference.secrets, tokens.management.secrets) == (("ijklmnop",), ("abcdefgh",))
    assert "ijklmnop" not in repr(tokens)
    assert ServerOptions(server="h:1", token_file=file).tokens == tokens


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is no JSON"),
        ("[]", "no key for inference"),
        ('{"inference": {"key": "a"}}', "no key for management"),
        ('{"inference": {"key": 3}}', "no key for inference"),
        ('{"inference": {"key": "a\\nb"}}', "no key for inference"),
    ],
)
def test_a_file_without_tokens_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "key_file.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_tokens(file)


def test_a_token_file_is_for_a_server_that_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--token-file needs --server"):
        ServerOptions(token_file=tmp_path)
    with pytest.raises(UsageError, match=r"cannot read .*no such file"):
        ServerOptions(server="h:1", token_file=tmp_path / "none")


METRICS = """
# HELP ts_inference_requests_total Torchserve prometheus counter metric with unit: Count
# TYPE ts_inference_requests_total counter
ts_inference_requests_total{model_name="noop",model_version="1.0",hostname="h",} 4.0
ts_queue_latency_microseconds{model_name="noop",model_version="1.0",hostname="h",} 400.0
ts_inference_latency_microseconds{model_name="noop",model_version="1.0",hostname="h",} 2400.5
QueueTime{Level="Host",Hostname="h",} 0.0
"""


def test_its_metrics_are_read_by_model() -> None:
    counts = counted_in(METRICS)["noop"]
    assert (counts.requests, counts.queue_ns, counts.infer_ns, counts.executions) == (4, 400_000, 2_000_500, None)
    assert counted_in("") == {}


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (400, "Token Authorization failed. Token either incorrect, expired, or not provided correctly", "--token-file"),
        (503, 'Model "m" has no worker to serve inference request', 'Model "m" has no worker'),
        (507, "", "out of memory in the worker"),
        (404, "Model not found: m", "the server has no such model (Model not found: m)"),
        (502, "", "HTTP 502"),
    ],
)
def test_its_failures_are_explained(status: int, message: str, said: str) -> None:
    body = json.dumps({"code": status, "type": "X", "message": message}).encode()
    assert said in DIALECT.explain(status, body)
