"""``--server``: what it speaks is told from its answers, and measured as far as that goes; against real sockets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from dialect_servers import HEALTHY, MMS, Answers, answering

from servemark.cli import main
from servemark.errors import UnreachableError
from servemark.servers.http.finding import find_server
from servemark.servers.http.trust import Trust
from servemark.servers.mms.management import ManagementClient
from servemark.servers.oip.asked import CALLS
from servemark.workload.address import Address

from ..validity import status_but_for_the_machine, until_valid

OPENAI: Answers = {
    "GET /ping": (200, b""),  # as vLLM's, which answers SageMaker, too
    "GET /v1/models": (200, b'{"data": [{"id": "one"}]}'),
    "OPTIONS /v1/chat/completions": (405, b""),
    "OPTIONS /invocations": (405, b""),
}
#: What is asked to see whether a server answers as well what nobody has.
NOWHERE = "GET /servemark-asks-what-this-is"
CONTAINER: Answers = {"GET /ping": (200, b""), "OPTIONS /invocations": (405, b""), "POST /invocations": (200, b"[1]")}


#: As TensorFlow Serving answers by its documentation ("RESTful API"): no server of it can be had here.
NO_MODEL_OF = "/v1/models/servemark-asks-what-this-is"
NO_MODEL = (404, b'{"error": "Could not find any versions of model servemark-asks-what-this-is"}')
STATE = b'{"model_version_status": [{"version": "1", "state": "%s", "status": {"error_code": "OK"}}]}'
TFSERVING: Answers = {
    f"GET {NO_MODEL_OF}": NO_MODEL,
    "GET /v1/models": (400, b'{"error": "Missing model name in request."}'),
    "GET /v1/models/half": (200, STATE % b"AVAILABLE"),
    "GET /v1/models/late": (200, STATE % b"LOADING"),
    "GET /v1/models/other": (404, b'{"error": "Could not find any versions of model other"}'),
    "POST /v1/models/half:predict": (200, b'{"predictions": [0.5, 1.0]}'),
}


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Execute a command line with an input; its exit status, what it says, and its result if it has one."""
    (tmp_path / "input.txt").write_text("hello")

    def run(line: str) -> tuple[int, str, dict]:
        words = line.replace("INPUT", str(tmp_path / "input.txt")).split()
        status = main(["run", *words, "-o", str(tmp_path / "out"), "--force"])
        file = tmp_path / "out" / "result.json"
        captured = capsys.readouterr()
        return status, captured.out + captured.err, json.loads(file.read_text()) if file.exists() else {}

    return run


@pytest.mark.parametrize(
    ("answers", "name"), [(MMS, "mms"), (OPENAI, "openai"), (CONTAINER, "sagemaker"), (TFSERVING, "tfserving")]
)
def test_what_a_server_speaks_is_told_from_its_answers(answers: Answers, name: str) -> None:
    came: list[str] = []
    with answering(answers, came) as port:
        found = find_server(f"127.0.0.1:{port}", trust=Trust(), progress=print)
        assert (found.dialect.name, found.address.port) == (name, port)
    looks = ("GET /ping", "GET /v2", "OPTIONS ", "GET /v1/models", NOWHERE)
    assert all(asked.startswith(looks) for asked in came), "nothing else is asked to know it"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({}, [f"answers GET /v2/health/live, GET /ping, GET /v1/models, GET {NO_MODEL_OF} with 404 'no such page'"]),
        ({"GET /ping": HEALTHY}, ["answers GET /v2/health/live, OPTIONS /, GET /v1/models, OPTIONS /invocations, "]),
        ({"GET /ping": (200, b"pong")}, ["GET /ping with 200 'pong'", ", OPTIONS /invocations, "]),
    ],
    ids=["nothing", "a health like that of MMS", "a health"],
)
def test_what_is_not_known_says_why_and_what_to_do(answers: Answers, said: list[str]) -> None:
    with answering(answers) as port, pytest.raises(UnreachableError) as error:
        find_server(f"127.0.0.1:{port}", trust=Trust(), progress=print)
    assert error.value.what == f"no model server that is known answers at 127.0.0.1 port {port}"
    assert all(words in error.value.cause for words in said)
    assert error.value.next_step.startswith(
        "give the address of its inference API in --server, say with --dialect what"
    )
    assert "benchmark http" in error.value.next_step


class _Everything(dict[str, tuple[int, bytes]]):
    """The same answer to whatever is asked, as a page that is an application gives."""

    def get(self, key: str, default: object = None) -> tuple[int, bytes]:  # type: ignore[override]
        return 200, b"<html>welcome"


def test_a_server_that_answers_whatever_it_is_asked_is_taken_for_none_by_that() -> None:
    with answering(_Everything()) as port:
        with pytest.raises(UnreachableError) as error:
            find_server(f"127.0.0.1:{port}", trust=Trust(), progress=print)
        assert find_server(f"127.0.0.1:{port}", named="sagemaker", trust=Trust(), progress=print).health
    assert f"{NOWHERE}, GET {NO_MODEL_OF} with 200 '<html>welcome'" in error.value.cause
    assert "it may be" not in error.value.cause


@pytest.mark.parametrize("named", [None, "torchserve", "mms"])
def test_a_management_api_is_told_from_that_which_predicts(named) -> None:
    described = b'{"info": {"title": "TorchServe APIs"}, "paths": {"/models": {}, "/models/{model_name}": {}}}'
    answers: Answers = {"OPTIONS /": (200, described), "GET /models?limit=100": (200, b'{"models": []}')}
    with answering(answers) as port, pytest.raises(UnreachableError) as error:
        find_server(f"127.0.0.1:{port}", named=named, trust=Trust(), progress=print)
    assert "it lists models as a management API does: its inference API is by default one port below" in str(
        error.value
    )
    assert "--dialect torchserve" not in error.value.cause


@pytest.mark.parametrize(("title", "speaks"), [("TorchServe APIs", "torchserve"), ("Multi Model Server APIs", "mms")])
def test_of_two_that_have_the_same_calls_the_one_that_it_says_it_is_is_spoken(title: str, speaks: str) -> None:
    described = json.dumps({"info": {"title": title}, "paths": {"/predictions/{model_name}": {}}}).encode()
    with answering({"GET /ping": HEALTHY, "OPTIONS /": (200, described)}) as port:
        found = [find_server(f"127.0.0.1:{port}", named=name, trust=Trust(), progress=print) for name in (speaks, None)]
        assert [one.dialect.name for one in found] == [speaks, speaks]
        (other,) = {"mms", "torchserve"} - {speaks}
        with pytest.raises(UnreachableError, match=f"it answers as a .* does: give --dialect {speaks}, or leave it"):
            find_server(f"127.0.0.1:{port}", named=other, trust=Trust(), progress=print)


def test_a_dialect_that_is_named_is_taken_at_its_word_but_for_its_health() -> None:
    with answering({"GET /ping": HEALTHY}) as port:
        for name in ("mms", "sagemaker"):
            found = find_server(f"127.0.0.1:{port}", named=name, trust=Trust(), progress=print)
            assert found.dialect.name == name
    with (
        answering(CONTAINER) as port,
        pytest.raises(UnreachableError, match=r"no Multi Model Server.*/ping with 200 ''"),
    ):
        find_server(f"127.0.0.1:{port}", option="--mms", named="mms", trust=Trust(), progress=print)


def test_a_prompt_that_is_too_long_is_refused_in_the_servers_words(run) -> None:
    refused = (400, b'{"error": {"message": "the maximum context length is 8 tokens", "code": 400}}')
    with answering({**OPENAI, "POST /v1/chat/completions": refused}) as port:
        status, said, _ = run(f"latency --server 127.0.0.1:{port} --prompt-tokens 16")
    assert status == 4
    assert "HTTP 400, the maximum context length is 8 tokens; ask for less with --prompt-tokens and --output-to" in said
    with answering({**OPENAI, "POST /v1/chat/completions": refused}) as port:
        assert "8 tokens; give requests that it takes with -i" in run(f"latency --server 127.0.0.1:{port} -i INPUT")[1]


def _of_oip(name: bytes) -> Answers:
    """As a server of the Open Inference Protocol answers that calls itself so, and refuses whatever it is asked."""
    answers = {
        "GET /v2/health/live": (200, b""),
        "GET /v2": (200, b'{"name": "%s", "extensions": []}' % name),
        "GET /v2/models/m": (200, b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}'),
    }
    return answers | {f"POST /v2/models/m/{call}": (400, b'{"error": "not so"}') for call in CALLS}


@pytest.mark.parametrize(
    ("name", "words", "status", "said"),
    [
        (b"triton", "--call generate --prompt-tokens 8", 4, "not so; ask for less with --prompt-tokens and --output-"),
        (b"triton", "--call generate --prompts PROMPTS", 4, "not so; give prompts that it takes with --prompts, or"),
        (b"triton", "--call generate", 4, "not so; give what it takes with --shape or --input-data, or a whole"),
        (b"triton", "-i INPUT", 4, "not so; give a request that it takes with -i, or tensors with --shape or"),
        (b"triton", "--prompts PROMPTS", 2, "by --call infer: that takes tensors; say with --call generate_stream"),
        (b"mlserver", "--prompts PROMPTS", 2, "a MLServer takes no prompts: its models take tensors; say with --inp"),
        (b"mlserver", "--call generate --prompt-tokens 8", 2, "a MLServer takes no prompts: its models take tensors;"),
        (b"mlserver", "--call generate", 2, "it has no such call; give --call infer_stream, or leave it out"),
    ],
)
def test_what_is_advised_fits_the_call_the_server_and_what_was_sent(
    run, tmp_path: Path, name: bytes, words: str, status: int, said: str
) -> None:
    (tmp_path / "prompts.jsonl").write_text('"hello"\n')
    with answering(_of_oip(name)) as port:
        words = words.replace("PROMPTS", str(tmp_path / "prompts.jsonl"))
        ended, told, _ = run(f"latency --server 127.0.0.1:{port} -m m {words}")
    assert (ended, said in told) == (status, True), told


def test_a_request_of_the_users_is_answered_with_the_outputs_that_it_names(run, tmp_path: Path) -> None:
    output = {"name": "y", "datatype": "FP32", "shape": [1]}
    described = {"inputs": [], "outputs": [output, {**output, "name": "z"}]}
    answers = _of_oip(b"triton") | {
        "GET /v2/models/m": (200, json.dumps(described).encode()),
        "GET /v2/models/m/config": (200, b"{}"),
        "POST /v2/models/m/infer": (200, json.dumps({"outputs": [{**output, "data": [1]}]}).encode()),
    }
    requests = tmp_path / "requests.jsonl"
    requests.write_text('{"inputs": [], "outputs": [{"name": "y"}]}\n')
    with answering(answers) as port:
        status, said, result = run(f"latency --server 127.0.0.1:{port} -m m -i {requests} -l 3 -t 1")
        assert status_but_for_the_machine(status, result) == 0, said
        requests.write_text('{"inputs": []}\n{"inputs": [], "outputs": [{"name": "z"}]}\n')
        status, said, _ = run(f"latency --server 127.0.0.1:{port} -m m -i {requests} -l 3 -t 1")
    assert (status, "it has no output z, which the request asks for; it has y FP32 [1]" in said) == (4, True), said


@pytest.mark.parametrize(
    ("then", "words", "dims", "now", "unlike"),
    [
        ("", "", 4, 4, ""),
        ("--input-data zeros", "--input-data zeros", 4, 4, ""),
        ("--shape x:2,4", "--shape x:2,4", -1, -1, ""),
        ("--input-data one.json", "--input-data elsewhere/same.json", 4, 4, ""),
        ("", "--input-data zeros", 4, 4, "setting tensors random x FP32 [1,4] and zeros x FP32 [1,4]"),
        ("", "", 4, 5, "setting tensors random x FP32 [1,4] and random x FP32 [1,5]"),
        ("--shape x:1,4", "--shape x:1,5", -1, -1, "setting tensors random x FP32 [1,4] and random x FP32 [1,5]"),
        ("--input-data one.json", "", 4, 4, "setting tensors given x FP32 [1,4] and random x FP32 [1,4]"),
        ("--input-data one.json", "--input-data other.json", 4, 4, "it is not compared: unlike runs: inputs "),
    ],
)
def test_tensors_that_are_made_are_those_of_the_earlier_result_or_are_unlike_by_name(
    tmp_path: Path, monkeypatch, capsys, then: str, words: str, dims: int, now: int, unlike: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    for name, values in (("one", [1, 2, 3, 4]), ("elsewhere/same", [1, 2, 3, 4]), ("other", [1, 2, 3, 5])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"data": [{"x": values}]}))

    def measured(folder: str, dims: int, *words: str) -> tuple[int, dict]:
        shape = [-1 if dims < 0 else 1, dims]
        answers = _of_oip(b"triton") | {
            "GET /v2/models/m": (
                200,
                json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": shape}]}).encode(),
            ),
            "GET /v2/models/m/config": (200, b"{}"),
            "POST /v2/models/m/infer": (200, b'{"outputs": []}'),
        }
        with answering(answers) as port:
            line = ["run", "latency", "--server", f"127.0.0.1:{port}", "-m", "m", "-l", "20", "-t", "1", *words]
            return until_valid(line, tmp_path / folder)

    _, base = measured("base", dims, *then.split())
    capsys.readouterr()
    status, new = measured("new", now, *words.split(), "--against", "base")
    said = capsys.readouterr().err
    sums = {result["benchmarks"][0]["options"]["input_sha256"] for result in (base, new)}
    assert (status, len(sums), unlike in said) == (2 if unlike else 0, 2 if unlike else 1, True), said


def test_a_tokenizer_counts_what_is_generated_of_inputs_and_is_refused_where_nothing_is(run, tmp_path: Path) -> None:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"two": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    words = f"-m m -i INPUT --tokenizer {tmp_path / 'tokenizer.json'} -l 3"
    generated = {
        "POST /v2/models/m/generate": (200, b'{"text_output": "two words"}'),
        "GET /v2/models/m/config": (200, b"{}"),
    }
    with answering(_of_oip(b"triton") | generated) as port:
        status, said, result = run(f"latency --server 127.0.0.1:{port} {words} --call generate")
    assert status_but_for_the_machine(status, result) == 0, said
    counted = result["benchmarks"][0]["steps"][0]["tokens"]["output_tokens"]
    assert (counted["count"], counted["source"]) == (6, "tokenizer")
    with answering(CONTAINER) as port:
        status, said, result = run(f"latency --server 127.0.0.1:{port} {words}")
    assert (status, "--tokenizer has nothing to count: no answer of predict is read for its tokens" in said) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--slo first_token.p99<1s", "first_token.p99<1s: the answers of predict come whole; ask for a stream: --call"),
        (
            "--slo between_events.p9<1s",
            "between_events.p9<1s: the answers of predict come whole; ask for a stream: --ca",
        ),
        ("--call generate_stream --slo time_per_output_token.p9<1s", "tells how many tokens it gave; give --tokenizer"),
    ],
)
def test_an_objective_that_answers_cannot_tell_of_is_refused_before_they_are_asked_for(run, words, said) -> None:
    came: list[str] = []
    calls = {f"POST /v2/models/m/{call}": (200, b'{"outputs": []}') for call in CALLS} | {
        "GET /v2/models/m/config": (200, b"{}")
    }
    with answering(_of_oip(b"triton") | calls, came) as port:
        status, told, _ = run(f"latency --server 127.0.0.1:{port} -m m -i INPUT -l 20 -t 1 {words}")
    assert (status, said in told) == (2, True), told
    assert sum(asked.startswith("POST /v2/models/m/") for asked in came) == 1, "the first prediction alone"


def test_an_objective_on_first_tokens_is_refused_where_no_request_asks_for_a_stream(run, tmp_path: Path) -> None:
    came: list[str] = []
    answer = (200, b'{"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}')
    with answering({**OPENAI, "POST /v1/chat/completions": answer}, came) as port:
        status, told, _ = run(f"latency --server 127.0.0.1:{port} -i INPUT -l 20 -t 1 --slo first_token.p99<1s")
    assert (status, "first_token.p99<1s: the answers of predict come whole; leave it out, or ask" in told) == (2, True)
    assert came.count("POST /v1/chat/completions") == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("stats", b'{"model_stats": [{"inference_stats": null}]}'),
        ("stats", b'{"model_stats": [{"inference_stats": {"success": {"count": "many"}}}]}'),
        ("config", b'{"instance_group": [{"count": "many"}]}'),
    ],
)
def test_what_a_server_counts_otherwise_than_triton_costs_no_measurement(run, path: str, body: bytes) -> None:
    answers = _of_oip(b"triton") | {
        "GET /v2/models/m/config": (200, b"{}"),
        "POST /v2/models/m/infer": (200, b'{"outputs": []}'),
        f"GET /v2/models/m/{path}": (200, body),
    }
    with answering(answers) as port:
        status, said, result = run(f"latency --server 127.0.0.1:{port} -m m -l 3 -t 1")
    assert status_but_for_the_machine(status, result) == 0, said
    assert result["benchmarks"][0]["steps"][0]["succeeded"] == 3


def test_a_model_that_wants_a_token_says_how_to_give_it(run) -> None:
    refused = (401, b'{"error": {"message": "Invalid API Key"}}')  # as llama.cpp, whose list of models is open to all
    with answering({**OPENAI, "POST /v1/chat/completions": refused}) as port:
        status, said, _ = run(f"latency --server 127.0.0.1:{port} --prompt-tokens 16")
    assert status == 4
    assert "the model one may not be asked: HTTP 401, Invalid API Key; where it wants a token, give it with -H" in said


def test_a_container_is_measured_as_it_is(run) -> None:
    came: list[str] = []
    with answering(CONTAINER, came) as port:
        status, said, result = run(f"latency --server http://127.0.0.1:{port} -i INPUT -l 20 -t 2")
    assert status_but_for_the_machine(status, result) == 0, said
    (benchmark,), server = result["benchmarks"], result["server"]
    assert (server["product"], server["launcher"]) == ("SageMaker container", "running")
    assert server["dialect"] == "sagemaker"
    assert (benchmark["model"], benchmark["steps"][0]["succeeded"]) == ("model", 40)
    assert came.count("POST /invocations") == 41, "the first prediction proves that it answers"
    looked = ("/ping", "/invocations", " /", "/v1/models", "/v2/health/live", "GET /models?limit=100", NOWHERE)
    assert not [asked for asked in came if not asked.endswith(looked)]


def test_the_failures_of_a_container_are_in_its_own_words(run) -> None:
    with answering({**CONTAINER, "POST /invocations": (400, b'{"message": "seven numbers"}')}) as port:
        status, said, _ = run(f"latency --server 127.0.0.1:{port} -i INPUT -l 2")
    assert status == 4
    assert "the model model refused the input" in said
    assert "HTTP 400, seven numbers" in said


def test_its_health_is_measured_by_ping(run) -> None:
    came: list[str] = []
    with answering(CONTAINER, came) as port:
        status, said, result = run(f"ping --server 127.0.0.1:{port} -l 5 -t 2")
    assert status_but_for_the_machine(status, result) == 0, said
    assert came.count("GET /ping") >= 10


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("load -i INPUT", "load makes no sense with a SageMaker container: it has no call that loads a model"),
        ("repeated_scale_calls -i INPUT", "it has no call that changes a model's workers"),
        ("batching -i INPUT", "it has no call that sets how a model batches"),
        ("multiple_models", "it answers for one model, whatever that is called"),
        ("latency", "nobody knows what the model of a SageMaker container takes; say with -i what to send to it"),
        ("latency -m mine", "the model mine is not one of ours; say with -i what to send to it"),
        ("latency -i INPUT -w 2", "its workers and batches are not changed"),
        ("latency -i INPUT --management-port 9", "--management-port makes no sense with a SageMaker container"),
        ("latency -i INPUT -g 1", "-g and --server do not go together"),
    ],
)
def test_what_a_container_cannot_is_refused_in_words_with_status_2(run, line: str, said: str) -> None:
    came: list[str] = []
    with answering(CONTAINER, came) as port:
        status, words, result = run(f"{line} --server 127.0.0.1:{port}")
    assert (status, result) == (2, {})
    assert said in " ".join(words.split())
    assert "POST /invocations" not in came


def test_a_stand_in_for_tensorflow_serving_is_measured(run) -> None:
    came: list[str] = []
    with answering(TFSERVING, came) as port:
        status, said, result = run(f"latency --server 127.0.0.1:{port} -m half -i INPUT -l 20")
    assert status_but_for_the_machine(status, result) == 0, said
    assert result["server"]["product"] == "TensorFlow Serving"
    assert (result["benchmarks"][0]["model"], result["benchmarks"][0]["steps"][0]["succeeded"]) == ("half", 20)
    assert came.count("POST /v1/models/half:predict") == 21


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("latency -i INPUT", "the model is not named; give -m NAME"),
        ("latency -m other -i INPUT", "the server has no model 'other': Could not find any versions of model other"),
        ("latency -m late -i INPUT", "the model late is not available"),
        ("latency -m half", "the model half is not one of ours; say with -i what to send to it"),
        ("latency -m half --shape x:1", "--shape makes no sense with a TensorFlow Serving"),
        ("ping", "its health checks name a model"),
        ("load -m half -i INPUT", "it has no call that loads a model"),
    ],
)
def test_what_a_tensorflow_serving_cannot_is_refused_in_words_with_status_2(run, line: str, said: str) -> None:
    came: list[str] = []
    with answering(TFSERVING, came) as port:
        status, words, result = run(f"{line} --server 127.0.0.1:{port}")
    assert (status, result) == (2, {})
    assert said in " ".join(words.split())
    assert "POST /v1/models/half:predict" not in came


def test_a_server_with_openais_api_and_no_list_of_models_is_taken_for_one_where_it_is_named() -> None:
    answers: Answers = {"GET /health": (200, b"ok"), "OPTIONS /v1/chat/completions": (405, b"")}
    with answering(answers) as port:
        found = find_server(f"127.0.0.1:{port}", named="openai", trust=Trust(), progress=print)
        assert found.dialect.name == "openai"
        with pytest.raises(UnreachableError) as error:
            find_server(f"127.0.0.1:{port}", trust=Trust(), progress=print)
    words = "it may be a server with OpenAI's API, by its answer to OPTIONS /v1/chat/completions: give --dialect openai"
    assert words in error.value.cause
    with answering({**answers, "OPTIONS /v1/chat/completions": (401, b"")}) as port, pytest.raises(UnreachableError):
        find_server(f"127.0.0.1:{port}", named="openai", trust=Trust(), progress=print)


def test_what_a_management_api_tells_otherwise_is_not_known() -> None:
    workers = [{"status": "READY", "memoryUsage": {}}]
    said = {"modelName": "m", "minWorkers": None, "batchSize": "many", "workers": workers}
    with (
        answering({"GET /models/m": (200, json.dumps(said).encode())}) as port,
        ManagementClient(Address("127.0.0.1", "127.0.0.1", port, None)) as management,
    ):
        found = management.describe("m")
    assert (found.min_workers, found.batch_size, len(found.workers)) == (0, 1, 1)


def test_a_dialect_that_is_named_and_wrong_is_told_from_that_which_answers() -> None:
    with answering(CONTAINER) as port, pytest.raises(UnreachableError) as error:
        find_server(f"127.0.0.1:{port}", named="oip", trust=Trust(), progress=print)
    assert "GET /v2/health/live with 404" in error.value.cause
    assert "it answers as a SageMaker container does: give --dialect sagemaker" in error.value.cause


def test_a_server_that_wants_a_token_says_how_to_give_it() -> None:
    refused = (401, b'{"error": "no token"}')
    with answering({"GET /v2/health/live": refused}) as port, pytest.raises(UnreachableError) as error:
        find_server(f"127.0.0.1:{port}", trust=Trust(), progress=print)
    assert error.value.next_step == "where it wants a token, give it with -H 'Authorization: Bearer $TOKEN'"


REFUSED = (401, b'{"error": "Unauthorized"}')


@pytest.mark.parametrize(
    "refused",
    [
        {"GET /v1/models": REFUSED},  # as vLLM with an API key
        {"GET /v1/models": (403, b'{"detail": "Not authenticated"}')},
        {"GET /v2/health/live": REFUSED, "GET /v1/models": REFUSED, NOWHERE: REFUSED},
    ],
)
def test_what_may_be_another_server_that_wants_a_token_is_taken_for_no_container(refused: Answers) -> None:
    with answering({**OPENAI, **refused}) as port:
        with pytest.raises(UnreachableError) as error:
            find_server(f"127.0.0.1:{port}", trust=Trust(), progress=print)
        found = find_server(f"127.0.0.1:{port}", named="sagemaker", trust=Trust(), progress=print)
        assert found.dialect.name == "sagemaker"
    assert error.value.next_step == "where it wants a token, give it with -H 'Authorization: Bearer $TOKEN'"
    words = "it may be a SageMaker container (give --dialect sagemaker then), or another that wants a token"
    assert words in error.value.cause
    assert "/v1/models with 40" in error.value.cause


def test_a_container_is_known_behind_what_refuses_all_that_is_not_there() -> None:
    refused = (403, b'{"message": "Missing Authentication Token"}')
    others = ("/v2/health/live", "/v2", "/", "/v1/models", NO_MODEL_OF)
    answers = {NOWHERE: refused} | {f"GET {path}": refused for path in others} | CONTAINER
    with answering(answers) as port:
        assert find_server(f"127.0.0.1:{port}", trust=Trust(), progress=print).dialect.name == "sagemaker"


def test_a_server_that_has_no_such_path_is_no_tensorflow_serving() -> None:
    answers: Answers = {
        "GET /v2/health/live": (200, b""),
        "GET /v2": (200, b'{"name": "triton", "extensions": []}'),
        "GET /v1/models/servemark-asks-what-this-is": (404, b'{"error":"Not Found"}'),  # as Triton says of any path
    }
    with answering(answers) as port, pytest.raises(UnreachableError) as error:
        find_server(f"127.0.0.1:{port}", named="tfserving", trust=Trust(), progress=print)
    assert "it answers as a server of the Open Inference Protocol does: give --dialect oip" in error.value.cause
