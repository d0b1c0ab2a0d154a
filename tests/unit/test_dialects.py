"""What servers speak: requests for predictions and calls, what is read from answers, and what benchmarks need."""

from __future__ import annotations

import json

import pytest

from servemark.benchmarks import catalogue
from servemark.benchmarks.refusals import check_needs
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.options.server import ServerOptions
from servemark.runner.entry import Entry
from servemark.servers.dialect import dialect, dialects, lacking
from servemark.servers.http.dialect import DIALECT as PLAIN
from servemark.servers.http.words import server_message
from servemark.servers.oip.asked import CALLS, check_call, check_call_of_prompts
from servemark.servers.oip.dialect import OF_ALL, OF_OWN_TRITON, OF_TRITON, OipDialect, with_batches, with_instances
from servemark.servers.oip.told import settings_told
from servemark.servers.openai.dialect import error_in, model_names
from servemark.servers.sagemaker.dialect import SageMakerDialect
from servemark.workload.inputs import Input
from servemark.workload.scenario import Expect

MMS, OIP, TORCHSERVE, TFSERVING = map(dialect, ("mms", "oip", "torchserve", "tfserving"))
SAGEMAKER, SEVERAL = SageMakerDialect(), dialect("sagemaker")
TRITON, MLSERVER = OipDialect("triton", OF_TRITON), OipDialect("mlserver", OF_ALL)
TEXT = Input(b"hello", "text/plain", "test")


def test_a_dialect_has_the_name_by_which_it_is_found_and_the_most_particular_is_tried_first() -> None:
    assert [spoken.name for spoken in dialects()] == ["oip", "torchserve", "mms", "openai", "sagemaker", "tfserving"]
    for spoken in dialects():
        assert dialect(spoken.name) is spoken


@pytest.mark.parametrize(
    ("spoken", "path"),
    [
        (OIP, "/v2/models/a%20b/infer"),
        (OipDialect(call="generate"), "/v2/models/a%20b/generate"),
        (TORCHSERVE, "/predictions/a%20b"),
        (MMS, "/predictions/a%20b"),
        (SAGEMAKER, "/invocations"),
        (SEVERAL, "/models/a%20b/invoke"),
        (TFSERVING, "/v1/models/a%20b:predict"),
        (PLAIN, "/"),
    ],
)
def test_a_prediction_is_the_input_sent_to_the_model(spoken, path) -> None:
    request = spoken.prediction("a b", TEXT)
    assert (request.method, request.path, request.body) == ("POST", path, b"hello")
    assert request.headers == (("Content-Type", "text/plain"),)


@pytest.mark.parametrize("spoken", [OIP, TORCHSERVE, MMS, SAGEMAKER, TFSERVING, PLAIN])
def test_a_prediction_is_decoded_where_it_is_json_and_else_itself(spoken) -> None:
    assert spoken.decode(b'[{"class": 3}]') == [{"class": 3}]
    assert spoken.decode(b"OK") == b"OK"
    assert spoken.decode(b"") == b""
    assert spoken.decode(b"\xff\xfe") == b"\xff\xfe"


HEALTHY = b'{\n  "status": "Healthy!"\n}'
TORCH_API = b'{"info": {"title": "TorchServe APIs"}, "paths": {"/predictions/{model_name}": {}}}'
TORCH_MANAGEMENT_API = b'{"info": {"title": "TorchServe APIs"}, "paths": {"/models/{model_name}": {}}}'
NO_TOKEN = b'{"code": 400, "type": "InvalidKeyException", "message": "Token Authorization failed. Token incorrect"}'
UNKNOWN = b'{"error": "Could not find any versions of model servemark-asks-what-this-is"}'
API = json.dumps({"openapi": "3.0.1", "paths": {"/ping": {}, "/predictions/{model_name}": {}}}).encode()


@pytest.mark.parametrize(
    ("spoken", "health", "sign", "known"),
    [
        (MMS, (200, HEALTHY), (200, API), (True, True)),
        (MMS, (200, b""), (200, b'{"paths": {"/v2": {}}}'), (False, False)),
        (MMS, (200, b'{"status": 1}'), (200, b'{"paths": ["/predictions/{model_name}"]}'), (False, False)),
        (MMS, (503, HEALTHY), (404, API), (False, False)),
        (MMS, (200, b"[]"), (200, b"\xff"), (False, False)),
        (OIP, (200, b""), (200, b'{"name": "triton", "extensions": []}'), (True, True)),
        (OIP, (400, b""), (200, b'{"name": "triton"}'), (False, False)),
        (OIP, (404, HEALTHY), (200, b'[{"name": "triton", "extensions": []}]'), (False, False)),
        (TORCHSERVE, (200, b'{"status": "Healthy"}'), (200, TORCH_API), (True, True)),
        (TORCHSERVE, (200, HEALTHY), (200, API), (True, False)),
        (TORCHSERVE, (404, b""), (200, TORCH_MANAGEMENT_API), (False, False)),
        (TORCHSERVE, (400, NO_TOKEN), (400, NO_TOKEN), (True, True)),
        (TFSERVING, (404, UNKNOWN), (404, UNKNOWN), (True, True)),
        (TFSERVING, (404, b'{"error": "Not Found"}'), (404, b'{"error": "Not Found"}'), (False, False)),
        (TFSERVING, (200, UNKNOWN), (404, b"no such page"), (False, False)),
        (SAGEMAKER, (200, b""), (405, b""), (True, True)),
        (SAGEMAKER, (200, b"\n"), (501, b"?"), (True, True)),
        (SAGEMAKER, (503, b""), (404, b""), (False, False)),
    ],
)
def test_a_server_is_known_by_its_health_and_by_what_only_its_kind_answers(spoken, health, sign, known) -> None:
    assert (spoken.is_health(*health), spoken.is_sign(*sign)) == known


def test_looking_at_a_server_changes_nothing_there() -> None:
    for spoken in dialects():
        assert spoken.health().method == "GET"
        assert spoken.sign().method in ("GET", "OPTIONS")


def test_the_calls_of_an_admin_are_requests_with_what_proves_them_done() -> None:
    admin = MMS.admin
    assert admin is not None
    up = admin.scale("a b", 3)
    assert (up.request.method, up.request.path) == (
        "PUT",
        "/models/a%20b?min_worker=3&max_worker=3&synchronous=true",
    )
    assert up.proof is not None
    assert (up.proof.request, up.proof.text, up.proof.times) == (admin.state("a b").request, b'"status": "READY"', 3)
    load = admin.load("a b", "http://h/a.mar", workers=2, batch_size=4, max_batch_delay_ms=50)
    assert load.request.path == (
        "/models?url=http%3A%2F%2Fh%2Fa.mar&model_name=a+b&batch_size=4&max_batch_delay=50"
        "&initial_workers=2&synchronous=true"
    )
    assert (load.request.method, load.status, load.proof) == ("POST", 200, None)
    assert (admin.unload("m").request.method, admin.unload("m").request.path) == ("DELETE", "/models/m")
    assert (admin.list_models().request.method, admin.state("m").request.path) == ("GET", "/models/m")


@pytest.mark.parametrize(
    ("body", "reason", "said"),
    [
        (b"no such key", "Service Unavailable", "Service Unavailable: no such key"),
        (b'{"message": "too\\n long"}', "", "too long"),
        (b"", "Service Unavailable", "Service Unavailable"),
        (b"", "", "HTTP 503"),
    ],
)
def test_what_a_failure_of_anybody_elses_means_is_in_its_own_words(body, reason, said) -> None:
    for spoken in (SAGEMAKER, PLAIN):
        assert spoken.explain(503, body, reason=reason, ready_workers=0) == said


#: What each benchmark needs of a server that not every one can, in the words of its refusal.
NEEDS = {
    "load": "no call that loads a model",
    "repeated_scale_calls": "no call that changes a model's workers",
    "batching": "no call that sets how a model batches",
    "multiple_models": "answers for one model",
}
#: Of those who tell models by their names, what else each lacks.
OTHERS = {name: why for name, why in NEEDS.items() if name != "multiple_models"}
LACKS = (
    (TRITON, {"load": "no call that loads a model under another name"}),
    (MLSERVER, OTHERS),
    (TFSERVING, {**OTHERS, "ping": "its health checks name a model"}),
)


@pytest.mark.parametrize("name", catalogue())
def test_a_benchmark_is_refused_of_what_a_server_lacks_and_of_nothing_else(name) -> None:
    benchmark = catalogue()[name]
    check_needs(benchmark, MMS)
    if name in NEEDS:
        with pytest.raises(UsageError, match=rf"^{name} makes no sense with a SageMaker container: .*{NEEDS[name]}"):
            check_needs(benchmark, SAGEMAKER)
        with pytest.raises(UsageError, match=NEEDS[name]):
            check_needs(benchmark, SAGEMAKER)
    else:
        check_needs(benchmark, SAGEMAKER)
    for full in (MMS, TORCHSERVE, SEVERAL, OipDialect("triton", OF_OWN_TRITON)):
        check_needs(benchmark, full)
    for spoken, lacks in LACKS:
        if name in lacks:
            with pytest.raises(UsageError, match=lacks[name]):
                check_needs(benchmark, spoken)
        else:
            check_needs(benchmark, spoken)
    assert lacking(PLAIN, benchmark.needs) == lacking(SAGEMAKER, benchmark.needs)


def test_what_a_dialect_lacks_whatever_the_server_is_refused_before_it_is_looked_for() -> None:
    with pytest.raises(UsageError, match="its health checks name a model"):
        Entry.of(RunRequest.of("ping", server="h:1", dialect="tfserving"))


def test_a_triton_is_told_to_serve_otherwise_by_its_whole_configuration() -> None:
    config = {"name": "m", "max_batch_size": 16, "instance_group": [{"name": "m_0", "kind": "KIND_GPU", "count": 2}]}
    admin = OipDialect("triton", OF_TRITON, configs={"m": config}).admin
    assert admin is not None
    up = admin.scale("m", 3)
    asked = json.loads(json.loads(up.request.body)["parameters"]["config"])
    assert asked == {**config, "instance_group": [{"kind": "KIND_GPU", "count": 3}]}
    assert up.proof is not None
    assert (up.proof.request.path, up.proof.text) == ("/v2/models/m/config", b'"count":3,')
    load = admin.load("m-1", "m", workers=1)
    assert load.request.path == "/v2/repository/models/m-1/load"
    assert json.loads(json.loads(load.request.body)["parameters"]["config"])["name"] == "m-1"
    assert OipDialect("mlserver", OF_ALL).admin is None


def test_batches_of_a_triton_wait_for_each_other_and_a_batch_of_one_for_nobody() -> None:
    config = {"max_batch_size": 16, "dynamic_batching": {"preferred_batch_size": [8]}}
    assert with_batches(config, 1, 10) == {"max_batch_size": 1}
    batching = {"preferred_batch_size": [4], "max_queue_delay_microseconds": 10_000}
    assert with_batches(config, 4, 10) == {"max_batch_size": 4, "dynamic_batching": batching}
    assert with_instances({}, 2) == {"instance_group": [{"kind": "KIND_CPU", "count": 2}]}


#: As Triton 2.51 tells of them.
ON_GPUS = {"name": "m_0", "kind": "KIND_GPU", "count": 2, "gpus": [0, 1], "profile": ["a"], "host_policy": "p"}
ON_CPUS = {"name": "m_1", "kind": "KIND_CPU", "count": 3, "gpus": [], "profile": [], "host_policy": ""}


def test_instances_on_gpus_are_so_many_on_each() -> None:
    for groups, workers in (([ON_GPUS], 4), ([ON_CPUS], 3), ([ON_GPUS, ON_CPUS], 7), ([{**ON_GPUS, "gpus": []}], 2)):
        assert settings_told({"instance_group": groups})["workers"] == workers
    of_none = {**ON_GPUS, "kind": "KIND_MODEL"}  # which places its instances itself
    assert settings_told({"instance_group": [of_none]})["workers"] == 2


def test_so_many_instances_as_are_asked_for_are_spread_over_all_groups_and_lose_nothing_else() -> None:
    config = {"name": "m", "instance_group": [ON_GPUS, ON_CPUS]}
    gpu, cpu = ({key: value for key, value in one.items() if key != "name"} for one in (ON_GPUS, ON_CPUS))
    first, second = {**gpu, "gpus": [0]}, {**gpu, "gpus": [1]}
    assert with_instances(config, 1)["instance_group"] == [{**first, "count": 1}]
    assert with_instances(config, 5)["instance_group"] == [
        {**first, "count": 2},
        {**second, "count": 2},
        {**cpu, "count": 1},
    ]
    for count in range(1, 9):
        assert settings_told(with_instances(config, count))["workers"] == count


def test_what_proves_that_a_model_is_scaled_is_another_for_each_number_of_instances() -> None:
    admin = OipDialect("triton", OF_TRITON, configs={"m": {"instance_group": [ON_GPUS]}}).admin
    assert admin is not None
    proofs = [proof for count in range(1, 6) if (proof := admin.scale("m", count).proof)]
    texts = [(proof.text, proof.times) for proof in proofs]
    assert texts == [(b'"count":1,', 1), (b'"count":1,', 2), (b'"count":2,', 1), (b'"count":2,', 2), (b'"count":3,', 1)]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"backend": "python", "max_batch_size": 8}, {"batch_size": 1}),
        ({"max_batch_size": 8, "dynamic_batching": {"max_queue_delay_microseconds": 100}}, {"batch_size": 8}),
        ({"backend": "vllm"}, {}),
        ({"backend": "tensorrtllm", "max_batch_size": 64}, {}),
        ({"backend": "python", "model_transaction_policy": {"decoupled": True}}, {}),
        ({"backend": "python", "model_transaction_policy": {"decoupled": False}}, {"batch_size": 1}),
    ],
)
def test_a_batch_is_told_only_where_an_instance_has_no_more_requests_at_once(config, told) -> None:
    settings = dict(settings_told({**config, "instance_group": [ON_CPUS]}))
    assert settings.pop("max_batch_delay_ms") == (0.1 if "dynamic_batching" in config else 0)
    assert settings == {"workers": 3, **told}


def test_an_ensemble_has_no_instances_of_its_own() -> None:
    assert "workers" not in settings_told({"platform": "ensemble", "instance_group": []})


def test_an_error_object_in_an_answer_is_looked_for_where_a_success_may_hold_one() -> None:
    assert OipDialect(call="generate").expects == Expect("not_json_if_whole", "error")
    assert [spoken.expects for spoken in dialects()] == [None] * 6


@pytest.mark.parametrize(
    ("server", "call", "said"),
    [
        ("triton", "infer_stream", "no such call; give --call generate or generate_stream, or leave it out"),
        ("mlserver", "generate", "no such call; give --call infer_stream, or leave it out"),
        ("kserve", "generate_stream", "no such call; leave it out"),
    ],
)
def test_a_call_that_a_server_has_not_is_refused_with_those_that_it_has(server, call, said) -> None:
    with pytest.raises(UsageError, match=f"--call {call} makes no sense with a P: it has {said}$"):
        check_call(call, server, "P")
    check_call(call, "another", "P")


def test_prompts_are_advised_another_call_only_where_there_is_one_that_takes_them() -> None:
    with pytest.raises(UsageError, match="say with --call generate_stream that it is to generate"):
        check_call_of_prompts("infer", "triton", "P")
    for server in ("mlserver", "kserve"):
        with pytest.raises(UsageError, match=r"a P takes no prompts: its models take tensors; say with --input-data"):
            check_call_of_prompts("infer", server, "P")


def test_mms_is_another_word_for_a_server_of_that_dialect() -> None:
    choice = ServerOptions(mms="h:1")
    assert (choice.server, choice.dialect, choice.named_with) == ("h:1", "mms", "--mms")
    assert (ServerOptions(server="h:1").dialect, ServerOptions(server="h:1").named_with) == ("auto", "--server")
    assert ServerOptions(mms="h:1", dialect="mms").server == "h:1"
    for contradiction in ({"server": "h:2"}, {"server": "h:1", "dialect": "auto"}, {"dialect": "sagemaker"}):
        with pytest.raises(UsageError, match=r"--mms and .* do not go together"):
            ServerOptions(mms="h:1", **contradiction)


OPENAI = dialect("openai")
MODELS = b'{"object": "list", "data": [{"id": "one"}, {"id": "two"}]}'


@pytest.mark.parametrize(
    ("health", "sign", "known"),
    [
        ((200, MODELS), (405, b""), (True, True)),
        ((200, b'{"data": []}'), (200, b""), (True, True)),
        ((401, b'{"error": {"message": "no key"}}'), (401, b""), (False, True)),
        ((200, b'{"models": []}'), (404, b""), (False, False)),
        ((200, b"OK"), (404, b""), (False, False)),
    ],
)
def test_a_server_with_openais_api_is_known_by_its_list_of_models(health, sign, known) -> None:
    assert (OPENAI.is_health(*health), OPENAI.is_sign(*sign)) == known


def test_what_is_nested_too_deeply_to_be_read_is_taken_for_no_json() -> None:
    body = b'{"error": ' + b"[" * 100_000
    assert server_message(body) == body[:300].decode()
    for spoken in dialects():
        assert spoken.decode(body) == body
        assert spoken.explain(400, body)


def test_a_prompt_is_asked_of_the_model_where_its_kind_is_answered() -> None:
    chat = OPENAI.prediction("one", Input(b'{"messages": [], "stream": true}', "application/json", "test"))
    assert (chat.path, json.loads(chat.body)) == (
        "/v1/chat/completions",
        {"model": "one", "messages": [], "stream": True},
    )
    completed = OPENAI.prediction("one", Input(b'{"prompt": "a", "model": "lora"}', "application/json", "test"))
    assert (completed.path, json.loads(completed.body)) == ("/v1/completions", {"model": "lora", "prompt": "a"})
    text = json.loads(OPENAI.prediction("one", TEXT).body)
    assert text["messages"] == [{"role": "user", "content": "hello"}]


def test_the_words_of_an_error_object_are_the_servers() -> None:
    refused = b'{"error": {"message": "maximum context length is 4096 tokens", "code": 400}}'
    assert OPENAI.explain(400, refused) == "maximum context length is 4096 tokens"
    assert (error_in(refused), error_in(MODELS), error_in(b"")) == ("maximum context length is 4096 tokens", "", "")
    assert [error_in(b'{"error": %s}' % empty) for empty in (b"null", b'""', b"{}")] == ["", "", ""]
    assert model_names(MODELS) == ("one", "two")
    assert model_names(b'{"data": [1, {}]}') == ()


def test_what_is_generated_is_read_of_streams_and_of_servers_that_generate_text_alone() -> None:
    told = {spoken.name: spoken.tokens for spoken in dialects() if spoken.tokens}
    assert told == {"openai": "openai"}
    of_calls = {call: OipDialect(call=call).tokens for call in CALLS}
    assert of_calls == {"infer": None, "infer_stream": "oip", "generate": None, "generate_stream": "oip"}
    assert OipDialect(call="generate", answers_text=True).tokens == "oip"


@pytest.mark.parametrize(
    ("over", "why"), [("workers", NEEDS["repeated_scale_calls"]), ("batch_size", NEEDS["batching"])]
)
def test_a_search_over_what_a_server_cannot_be_given_is_refused_before_it_is_there(over, why) -> None:
    asked = {"by": "rate", "slo": "p99<1s", "over": ((over, (1, 2)),)}
    with pytest.raises(
        UsageError, match=f"--over {over} makes no sense with a MLServer: it has {why}; leave it out, or"
    ):
        Entry.of(RunRequest.of("latency", model="noop", **asked, server_kind="mlserver"))
    for kind in ("mms", "triton", "torchserve"):
        Entry.of(RunRequest.of("latency", model="noop", **asked, server_kind=kind))


def test_a_model_of_tritons_that_answers_with_streams_alone_says_how_it_is_asked() -> None:
    said = b'{"error":"HTTP end point doesn\'t support models with decoupled transaction policy"}'  # as Triton 2.51
    assert TRITON.explain(501, said).startswith("it answers with a stream: give --call generate_stream (HTTP end point")
    assert TRITON.explain(400, b'{"error":"no such input"}') == "no such input"
