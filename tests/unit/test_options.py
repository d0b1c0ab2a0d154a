"""The command line: every line that it refuses, with the status and the next step."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from servemark import suites
from servemark.benchmarks import catalogue
from servemark.benchmarks.refusals import spread_of, threads_of
from servemark.cli import main
from servemark.cli.options import parse_run, run_parser
from servemark.cli.suite_options import FIELDS
from servemark.errors import UsageError
from servemark.options import all_options
from servemark.runner.entry import Entry
from servemark.suites import names
from servemark.zoo.catalogue import ZOO


def _parse(line):
    return parse_run("servemark run", line.split())


def _lengths(request):
    return (request.load.loops, request.load.duration_s, request.load.threads)


@pytest.mark.parametrize("line", ["-t 50 latency", "latency -t 50", "latency --options threads 50"])
def test_options_come_in_any_order(line):
    (request,) = _parse(line).entries
    assert (request.benchmark, request.load.threads) == ("latency", 50)


@pytest.mark.parametrize(
    ("line", "threads"), [("latency", 1), ("throughput", 100), ("ping", 100), ("ping -t 3", 3), ("latency -t 7", 7)]
)
def test_the_number_of_threads_is_the_benchmarks_own_unless_given(line, threads):
    (request,) = _parse(line).entries
    (point,) = catalogue()[request.benchmark].points(request)
    assert point.load.users == threads


def test_parameters_are_the_benchmarks_own_or_their_defaults():
    assert _parse("concurrent_inference").entries[0].parameters == {"threads": (1, 4, 7, 10, 13)}
    (request,) = _parse("concurrent_inference --options threads 9,2 loops 3").entries
    assert request.parameters == {"threads": (2, 9)}
    assert request.load.loops == 3


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.5", 0.5), ("0", 0.0)])
def test_shares_are_percentages_or_fractions(text, share):
    assert _parse(f"latency --max-errors {text}").max_errors == share


REFUSED = [
    ("", "which benchmark?; choose from latency, throughput, load"),
    ("latancy", "unknown benchmark 'latancy'; did you mean latency?"),
    ("latency -m resnt", "unknown model 'resnt'; did you mean resnet?"),
    ("latency -t x", "'x' is not a whole number"),
    ("latency -t 0", "0 is less than 1"),
    ("latency -t -3", "-3 is less than 1"),
    ("latency -w 1.5", "'1.5' is not a whole number"),
    ("latency -w \uff12", "'\uff12' is not a whole number"),
    ("latency --duration \uff12s", "'\uff12s' is not a time"),
    ("latency --max-errors \uff12%", "'\uff12%' is not a share"),
    ("latency --rate \uff12", "--rate \uff12"),
    ("concurrent_inference --options threads 1,\uff12", "is not a list of different whole numbers"),
    ("latency -l 0", "0 is less than 1"),
    ("latency --duration -1", "-1 is not above 0 seconds"),
    ("latency --duration 0", "0 is not above 0 seconds"),
    ("latency --duration nan", "nan is not above 0 seconds"),
    ("latency --warmup soon", "'soon' is not a time such as 10, 500ms, 10s, 1m or 1h"),
    ("latency --duration 10parsecs", "'10parsecs' is not a time"),
    ("latency --duration=-1m", "-1m is not above 0 seconds"),
    ("latency --max-errors 101%", "is not between 0% and 100%"),
    ("latency -t 5000000000", "is more than 4294967295"),
    (
        "latency -t 1048577",
        "1048577 users are more than the 1048576 that one generator can have; lower -t, or raise --g",
    ),
    ("latency -t 2097153 --generators 2", "2097153 users are more than the 1048576 that one generator can have"),
    ("latency -i none.jpg", "cannot read none.jpg: no such file"),
    ("latency -i /dev/null", "cannot read /dev/null: not a regular file"),
    ("latency --model=", "-m is empty; leave it out for resnet"),
    ("latency --options thread 3", "unknown option key 'thread' after --options; did you mean threads?"),
    ("latency --options threads", "'threads' is alone"),
    ("latency --options threads x", "--options threads: 'x' is not a whole number"),
    ("latency -t 3 --options threads 4", "threads is given twice"),
    ("latency -l 3 --duration 4", "--loops and --duration do not go together"),
    ("latency -l 3 --warmup 1", "--loops and --warmup do not go together"),
    ("concurrent_inference -t 3", "-t makes no sense with concurrent_inference; give --options threads 1,2"),
    ("concurrent_inference --options threads 1,x", "'1,x' is not a list of different whole numbers from 1"),
    ("concurrent_inference --options threads 0,1", "'0,1' is not a list of different whole numbers from 1"),
    ("concurrent_inference --options threads 1,1", "'1,1' is not a list of different whole numbers from 1"),
    ("batching --options batch 2", "unknown option key 'batch' after --options; did you mean batch_size?"),
    ("batching --options batch_size 2 batch_size 3", "batch_size is given twice"),
    ("latency --engine jmeter --generator-threads 2", "JMeter has a thread for each user"),
    ("latency --generators 0", "0 is less than 1"),
    ("latency --generators 2 --on mars", "invalid choice: 'mars'"),
    ("latency --engine jmeter --generators 2", "--engine jmeter and --generators do not go together"),
    (
        "latency --generators 2",
        "--generators 2 is more than the load has users: 1 user, and each generator needs one of its own; raise -t",
    ),
    (
        "latency -t 3 --generators 4",
        "3 users, and each generator needs one of its own; raise -t, or lower --generators",
    ),
    ("concurrent_inference --options threads 1,2 --generators 3", "is more than the load has users: 2 users"),
    ("latency --rate 10 -l 3 --generators 4", "--generators 4 is more than the load has requests: 3 requests"),
    (
        "latency --rate 100 --duration 20 --generators 2 --max-records 1999 --record-events",
        "2,000 requests are more than --max-records 1999: --record-events needs the record of each",
    ),
    (
        "http --url http://h/ --tokens openai --rate 100 --duration 20 --generators 2 --max-records 1999",
        "2,000 requests are more than --max-records 1999: --tokens needs the record of each",
    ),
    (
        "throughput -t 10 -l 200 --on ray --max-records 1999 --record-events",
        "2,000 requests are more than --max-records 1999",
    ),
    ("latency --rate 1 --duration 3 --generators 4", "more than the load has requests: 3 requests"),
    ("latency --rate 1..2/2s --generators 4", "more than the load has requests: 3 requests"),
    (
        "latency --rate 400 --max-connections 1 --generators 2",
        "--generators 2 is more than the load has connections: 1 connection, and each thread that sends needs one",
    ),
    (
        "latency --rate 400 --max-connections 1 --generator-threads 2",
        "--generator-threads 2 is more than the load has connections: 1 connection, and each thread",
    ),
    (
        "http --url http://h/ --rate 9 --max-connections 7 --generators 2 --generator-threads 4",
        "--generators 2 times --generator-threads 4 is more than the load has connections: 7 connections, and each",
    ),
    (
        "http --url http://h/ --rate 9 --max-connections 7 --generators 2 --generator-threads 5",
        "give it more connections, or lower --generators or --generator-threads",
    ),
    (
        "concurrent_inference --options threads 1,2 --rate 50 --generators 3",
        "--generators 3 is more than the load has connections: 2 connections",
    ),
    ("latency -t 4 --generators 2 --expect same", "--expect same and --generators do not go together"),
    ("load --on ray", "--on makes no sense with load: it manages the server, which is one generator's"),
    ("load --generators 2", "--generators makes no sense with load: it manages the server, which is one generator's"),
    ("repeated_scale_calls --generators 2", "--generators makes no sense with repeated_scale_calls"),
    ("latency --engine jmeter --record-events", "events are not told by JMeter"),
    ("latency --engine jmeter --realtime on", "--engine jmeter and --realtime do not go together"),
    ("latency --engine jmeter --receive-clock user", "--engine jmeter and --receive-clock do not go together"),
    ("latency --receive-clock mine", "invalid choice: 'mine'"),
    ("latency --engine jmeter --keep-awake off", "--engine jmeter and --keep-awake do not go together"),
    ("latency --realtime always", "invalid choice: 'always'"),
    ("latency --engine gatling", "invalid choice: 'gatling'"),
    ("ping -w 2", "-w makes no sense with ping: it uses no model"),
    ("ping -m lstm", "-m makes no sense with ping: it uses no model"),
    ("latency --mms h --management-port 70000", "70000 is more than 65535"),
    ("latency -c none.mar", "cannot read the model 'none.mar': no such file; give -c a .mar, a .model or its URL"),
    ("latency -c .", "cannot read the model .: it is a directory; pack it first"),
    ("latency -c file:/a.mar", "models are not downloaded from file: URLs; give the path itself: -c /a.mar"),
    ("latency -c ftp://h/a.mar", "models are not downloaded from ftp: URLs; download it first and give the path"),
    ("latency -c http://h/a.mar -m noop", "-c and -m do not go together: one benchmark measures one model"),
    ("ping -c http://h/a.mar", "-c makes no sense with ping: it uses no model"),
    ("ping --multipart data", "--multipart makes no sense with ping"),
    ("latency --content-type jpeg", "'jpeg' is not a content type such as image/jpeg"),
    ("latency --multipart=", "'' is not a field's name such as data"),
    ("latency --server-python /bin/sh", "--server-python needs -c; the models of the zoo need nothing else"),
    ("latency -c http://h/a.mar --server-requirements none.txt", "cannot read none.txt: no such file"),
    (
        "latency -c http://h/a.mar --server-requirements README.md --mms h",
        "--server-requirements and --mms do not go together: that server has a Python of its own",
    ),
    (
        "latency -c http://h/a.mar --server-requirements README.md --server-python /bin/sh",
        "--server-requirements and --server-python do not go together: one has an environment made",
    ),
    (
        "latency -c http://h/a.mar --server-python /bin/sh --docker",
        "--server-python and --docker do not go together: that server has a Python of its own",
    ),
    ("latency -c http://h/a.mar --server-python /bin/sh -d image", "--server-python and -d do not go together"),
    ("latency --management-port 3", "--management-port needs --server"),
    ("latency --insecure", "--insecure needs --server"),
    ("latency --ca-file README.md", "--ca-file needs --server; a server of our own has no use for it"),
    ("latency --client-cert README.md", "--client-cert needs --server"),
    ("latency --connect-to h:1", "--connect-to needs --server"),
    ("latency --mms h --client-key README.md", "--client-key needs --client-cert; name the certificate"),
    ("latency --mms h --client-cert none.pem", "cannot read none.pem: no such file"),
    ("latency --mms h --connect-to h", "cannot read 'h' as HOST:PORT: it names no port"),
    ("latency --mms h --connect-to h:x", "'x' is no port from 1 to 65535"),
    ("latency --url http://h", "--url makes no sense with latency: only http has it; measure any endpoint with"),
    ("latency --method GET", "--method makes no sense with latency: only http has it"),
    ("latency --body-file README.md", "--body-file makes no sense with latency: only http has it; give -i"),
    ("latency -H Accept", "-H has no colon; write 'NAME: VALUE'"),
    ("latency -H X-A:$SERVEMARK_NOT_SET", "needs the environment variable SERVEMARK_NOT_SET, which is not set"),
    ("latency -H Content-Type:a/b --content-type c/d", "-H Content-Type and --content-type do not go together"),
    ("latency -H content-type:a/b --multipart data", "-H Content-Type and --multipart do not go together"),
    ("latency --expect-status ok", "'ok' is not a status from 200 to 599"),
    ("latency --expect-status 199", "'199' is not a status from 200 to 599"),
    ("latency --expect-status 2000", "'2000' is not a status from 200 to 599"),
    ("load -H X-A:b", "-H makes no sense with load: registrations go to the management API"),
    ("load --expect-status 201", "--expect-status makes no sense with load"),
    ("http", "http needs --url; as in --url http://127.0.0.1:8080/health"),
    ("http --url h:80", "cannot read the URL 'h:80': it does not begin with http:// or https://"),
    ("http --url http://h:x/", "'x' is no port from 1 to 65535"),
    ("http --url http://h -m resnet", "-m makes no sense with http: it measures the endpoint of --url"),
    ("http --url http://h -c m.mar", "-c makes no sense with http"),
    ("http --url http://h -c http://h/m.mar", "-c makes no sense with http"),
    ("http --url http://h -i README.md", "-i makes no sense with http: its requests have the body of --body-file"),
    ("http --url http://h -w 2", "-w makes no sense with http"),
    ("http --url http://h -g 2", "-g makes no sense with http"),
    ("http --url http://h --options workers 2", "-w makes no sense with http"),
    ("http --url http://h --docker", "--docker makes no sense with http"),
    ("http --url http://h --docker-image image", "-d names a Docker image here, with the server in it: http starts"),
    ("http --url http://h --mms h", "--mms makes no sense with http"),
    ("http --url http://h --server h", "--server makes no sense with http"),
    ("latency --dialect mms", "--dialect needs --server; which server is started is --server-kind's"),
    ("latency --dialect oip --server-kind triton", "--dialect needs --server; which server is started"),
    ("latency --server h --dialect sage", "invalid choice: 'sage'"),
    ("latency --server h --mms h", "--mms and --server do not go together: --mms is --server with --dialect mms"),
    ("latency --mms h --dialect sagemaker", "--mms and --dialect sagemaker do not go together"),
    ("latency --server h --docker", "--docker and --server do not go together"),
    ("latency --server h/invocations", "--server names a server, without the path '/invocations'; give --server h,"),
    (
        "load --server h --dialect tfserving",
        "load makes no sense with a TensorFlow Serving: it has no call that loads",
    ),
    ("repeated_scale_calls --server h --dialect tfserving", "it has no call that changes a model's workers"),
    ("batching --server h --dialect tfserving", "it has no call that sets how a model batches"),
    ("ping --server h --dialect tfserving", "its health checks name a model"),
    ("latency --shape x:1,4", "--shape needs --server, or --server-kind triton or mlserver; it is for servers that"),
    ("latency --server h --dialect mms --input-data zeros", "--input-data needs --dialect oip"),
    ("latency --server h --shape x", "'x' is not a shape such as x:1,4"),
    ("latency --server h --shape x:1 --shape x:2", "--shape x is given twice"),
    ("latency --server h --input-data=", "--input-data is empty"),
    ("latency --server h --input-data nowhere.json", "cannot read nowhere.json: no such file"),
    ("latency --server h -i . --input-data zeros", "-i and --input-data do not go together"),
    ("latency --server h --call generate_stream --no-stream", "--no-stream and --call generate_stream do not go"),
    ("latency --server h --call generate --completions", "--completions and --call generate do not go together"),
    ("latency --server h --call infer_stream --prompt-tokens 8", "infer_stream and prompts do not go together"),
    ("latency --server h --call generate --prompt-tokens 8 --shape x:4", "--shape and prompts do not go together"),
    ("latency --server h --prompts .", "cannot read .: it is a directory"),
    ("latency --server h --no-stream --slo first_token.p9<1s", "first_token.p9<1s and --no-stream do not go together"),
    ("latency --server h --call generate --slo first_event.p9<1s", "and --call generate do not go together"),
    ("latency --slo first_token.p9<1s", "--slo first_token.p9<1s makes no sense with a Multi Model Server"),
    ("latency --server h --dialect oip --slo first_token.p9<1s", "ask for a stream: --call generate_stream of Tri"),
    (
        "latency --server h --dialect sagemaker --tokenizer pyproject.toml",
        "--tokenizer makes no sense with a SageMaker",
    ),
    ("latency --server-kind triton --prompt-tokens 8", "prompts need --server"),
    ("latency --server-kind mlserver --call generate --prompt-tokens 8", "prompts need --server"),
    ("latency --server h --call generate --tensors binary", "--tensors binary and --call generate do not go together"),
    ("latency --server h --server-kind triton", "--server-kind triton and --server do not go together"),
    ("load --server-kind mlserver", "load makes no sense with a MLServer: it has no call that loads a model"),
    ("batching --server-kind mlserver", "batching makes no sense with a MLServer: it has no call that sets how a"),
    ("latency --server-kind mlserver --call generate", "--call generate makes no sense with a MLServer: it has no"),
    ("latency --server-kind triton --call infer_stream", "it has no such call; give --call generate or generate_st"),
    ("latency --server-kind triton --docker", "--server-kind triton and --docker do not go together"),
    ("latency --server-kind triton -g 1", "--server-kind triton and -g do not go together"),
    ("latency --server-kind triton -m nothing", "unknown model 'nothing'"),
    ("latency --server-kind triton -c http://h/a.mar", "-c and --server-kind triton do not go together"),
    ("latency --model-repository .", "--model-repository needs --server-kind"),
    ("latency --server-kind vllm", "--server-kind vllm needs --model-repository; name the folder with the model's"),
    ("latency --server-kind vllm --model-repository . -w 2", "-w and --server-kind vllm do not go together"),
    ("latency --server-kind vllm --model-repository . -g 1", "--server-kind vllm and -g do not go together"),
    ("latency --server-kind vllm --model-repository . --docker", "--server-kind vllm and --docker do not go together"),
    ("latency --server-kind vllm --model-repository . -c http://h/a.mar", "-c and --server-kind vllm do not go"),
    ("latency --server-kind vllm --model-repository . --shape x:4", "--shape needs --server, or --server-kind triton"),
    ("load --server-kind vllm --model-repository .", "load makes no sense with a vLLM: it has no call that loads"),
    ("batching --server-kind vllm --model-repository .", "batching makes no sense with a vLLM: it has no call that"),
    ("latency --token-file nowhere", "--token-file needs --server"),
    ("http --url http://h --source .", "--source makes no sense with http"),
    ("http --url http://h --build-command make", "--build-command makes no sense with http"),
    ("http --url http://h --backend onnx", "--backend makes no sense with http"),
    ("http --url http://h --management-port 3", "--management-port makes no sense with http"),
    ("http --url http://h --server-python /bin/sh", "--server-python"),
    ("http --url http://h --method G=T", "'G=T' is not a method such as GET"),
    ("http --url http://h --method connect", "CONNECT opens a tunnel and no request"),
    ("http --url http://h --body-file none", "cannot read none: no such file"),
    ("http --url http://h --content-type a/b", "--content-type needs --body-file"),
    ("http --url http://h --multipart data", "--multipart needs --body-file"),
    ("http --url http://h --insecure", "--insecure makes no sense with an http URL; leave it out, or write https"),
    ("http --url http://h --ca-file README.md", "--ca-file makes no sense with an http URL"),
    ("http --url http://h --client-cert README.md", "--client-cert makes no sense with an http URL"),
    ("http --url https://h --client-key README.md", "--client-key needs --client-cert"),
    ("http --url https://h --ca-file README.md --insecure", "--ca-file and --insecure do not go together"),
    ("http --url http://u@h -H Authorization:x", "-H Authorization and a user in --url do not go together"),
    ("latency --mms h --backend tpu", "invalid choice: 'tpu'"),
    ("latency throughput", "one benchmark at a time, not latency and throughput; run one after the other; a suite has"),
    ("load -t 3", "-t makes no sense with load: each registration has a user of its own"),
    ("load -l 2", "-l makes no sense with load: every model is registered once"),
    ("load --duration 2", "--duration makes no sense with load"),
    ("load --options count 0", "'0' is not a whole number from 1"),
    ("load --options count \uff12", "'\uff12' is not a whole number from 1"),
    ("load --options counts 3", "unknown option key 'counts' after --options; did you mean count?"),
    ("repeated_scale_calls -w 2", "it scales; give --options scale_up_workers and scale_down_workers"),
    ("repeated_scale_calls --options scale_down_workers 0", "never answers a call that scales up from 0 workers"),
    ("multiple_models -m lstm", "it serves several; give --options models resnet,lstm"),
    ("multiple_models --options models resnet,resnet", "is not a list of different models"),
    ("multiple_models --options models resnet,resnet-18", "is not a list of different models"),
    ("multiple_models --content-type image/png", "makes no sense with multiple_models: each of its models has its own"),
    ("multiple_models --options weights 1,0", "'1,0' is not a list of whole numbers from 1"),
    ("--all latency", "--all and the benchmark latency do not go together"),
    ("--all --suite smoke", "--all and --suite do not go together"),
    ("--suite smok", "there is no suite 'smok'; choose from all, batching, smoke"),
    ("--suite none.toml", "there is no suite 'none.toml'"),
    ("--all --options cuont 3", "unknown option key 'cuont' after --options; did you mean count?"),
    ("--all --options count", "'count' is alone"),
    ("--all --options count 3 count 4", "count is given twice"),
    ("--all --options threads 3 -t 4", "threads is given twice"),
    ("--all --server-requirements pyproject.toml", "--server-requirements needs -c"),
    ("--all --options count x", "suite all, benchmark 3 (load): 'x' is not a whole number from 1"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED, ids=[line or "nothing" for line, _ in REFUSED])
def test_what_cannot_be_had_is_refused_in_one_line_with_status_2(capsys, line, message):
    try:
        status = main(["run", *line.split()])
    except SystemExit as end:  # argparse's own refusals
        status = end.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.startswith("servemark: error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_several_generators_can_have_more_users_than_one():
    (request,) = parse_run("servemark", ["latency", "-t", "2097152", "--generators", "2"]).entries
    assert Entry.of(request).points[0].load.users == 2097152


def _sent_by(line: str, searches: bool = False) -> list[tuple[int, int]]:
    """By how many generators each point that is known is sent, and with how many threads each of these."""
    (request,) = parse_run("servemark", line.split(), searches=searches).entries
    generator, sent_by = request.generator, []
    for point in Entry.of(request).points:
        generators = spread_of(point.load, generator.spread).generators
        sent_by.append((generators, threads_of(point.load, generator.generator_threads, generators)))
    return sent_by


@pytest.mark.parametrize(
    ("line", "sent_by"),
    [
        ("concurrent_inference --generators 2", [(1, 1), (2, 1), (2, 1), (2, 1), (2, 1)]),
        ("concurrent_inference --rate 50 --duration 1 --generators 2", [(1, 1), (2, 1), (2, 1), (2, 1), (2, 1)]),
        (
            "concurrent_inference --rate 50 --duration 1 --generators 3 --generator-threads 4",
            [(1, 1), (3, 1), (3, 2), (3, 3), (3, 4)],
        ),
        ("concurrent_inference --generator-threads 2 --options threads 1,2", [(1, 2), (1, 2)]),
        ("latency --rate 400 --generators 2 --generator-threads 3", [(2, 3)]),
    ],
)
def test_a_point_that_has_less_than_others_is_sent_by_as_many(line, sent_by):
    """Users have their connections; threads of an open loop share those that it may have out among them."""
    assert _sent_by(line) == sent_by


def test_what_a_search_refuses_is_in_no_help_of_it_and_is_refused_in_words():
    values = {"--loops": "9", "--max-duration": "9", "--trials": "9", "--against": "latest", "--threshold": "9%"}
    assert {known.flags[-1] for known in all_options() if not known.of_searches} == values.keys()
    told = {searches: run_parser("x", searches=searches).format_help() for searches in (False, True)}
    for flag in (*values, "--suite", "--all", "--resume"):
        assert f"{flag} " in told[False]
        assert f"{flag} " not in told[True]
    for flag, value in values.items():
        with pytest.raises(UsageError, match=r"search|--threshold needs --against"):
            parse_run("x", ["latency", "--slo", "p99<9ms", flag, value], searches=True)


def test_a_search_takes_as_many_generators_as_are_asked_for_and_begins_with_as_many_as_its_first_load_has_use_for():
    assert _sent_by("latency --slo p99<9ms --generators 16", searches=True) == [(7, 1)]
    assert _sent_by("latency --slo p99<9ms --duration 6 --generators 4", searches=True) == [(3, 1)]
    assert _sent_by("latency --slo p99<9ms --by threads --generators 4", searches=True) == [(1, 1)]


def test_a_search_by_rate_has_no_more_connections_later_than_at_its_first_load(capsys):
    words = ["latency", "--slo", "p99<9ms", "--rate", "50", "--max-connections", "3", "--generators", "4"]
    assert main(["capacity", *words]) == 2
    assert "--generators 4 is more than the load has connections: 3 connections" in capsys.readouterr().err


SUITES = [
    ("x = 1", "unknown field 'x' in the suite"),
    ("summary = 'none'", "names no benchmark"),
    ("[[benchmark]]\nname = ", "it has to be TOML"),
    ("[[benchmark]]\nmodel = 'lstm'", "benchmark 1 (?): it has no name; choose from latency"),
    ("[[benchmark]]\nname = 'latancy'", "unknown benchmark 'latancy'; did you mean latency?"),
    ("[[benchmark]]\nname = 'latency'\nthread = 3", "(latency): unknown field 'thread'; did you mean threads?"),
    ("[[benchmark]]\nname = 'latency'\nthreads = 'x'", "(latency): argument -t/--threads: 'x' is not a whole number"),
    ("[[benchmark]]\nname = 'latency'\nthreads = [1]", "(latency): threads = [1] makes no sense; give one value"),
    ("[[benchmark]]\nname = 'latency'\noptions = 3", "(latency): options is no table"),
    ("[[benchmark]]\nname = 'latency'\noptions = {count = 3}", "unknown option key 'count' after --options"),
    ("[[benchmark]]\nname = 'ping'\nmodel = 'lstm'", "(ping): -m makes no sense with ping: it uses no model"),
    ("[[benchmark]]\nname = 'latency'\ninput = 'none.jpg'", "none.jpg: no such file"),
    ("[[benchmark]]\nname = 'latency'\nmodel = 'file:///etc/passwd'", "unknown model 'file:///etc/passwd'"),
]


@pytest.mark.parametrize(("text", "message"), SUITES, ids=[message for _, message in SUITES])
def test_what_a_suite_says_wrong_is_named_with_its_place(tmp_path, capsys, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert main(["run", "--suite", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_a_suite_is_its_benchmarks_in_order():
    arguments = _parse("--all")
    original = ["latency", "throughput", "load", "repeated_scale_calls", "concurrent_inference"]
    assert [entry.benchmark for entry in arguments.entries] == [*original, "ping", "multiple_models"]
    assert [entry.model for entry in arguments.entries] == ["resnet"] * 7


def test_the_suite_smoke_is_the_suite_all_for_a_moment_on_the_model_that_costs_least():
    """Each of these runs against a real server in tests/e2e, and the suite all does as a whole."""
    entries, whole = _parse("--suite smoke").entries, _parse("--all").entries
    assert [entry.benchmark for entry in entries] == [entry.benchmark for entry in whole]
    assert {entry.model for entry in entries if entry.benchmark not in ("ping", "multiple_models")} == {"noop"}
    assert all(Entry.of(entry).points for entry in entries), "each can be run"
    assert max(entry.load.loops or 0 for entry in entries) == 20


def test_the_command_line_goes_before_a_suite_where_it_makes_sense(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        [[benchmark]]
        name = "latency"
        loops = 5
        threads = 2
        [[benchmark]]
        name = "ping"
        options = { loops = 7 }
        [[benchmark]]
        name = "load"
        model = "lstm"
        options = { count = 3 }
        """
    )
    latency, ping, load = _parse(f"--suite {path}").entries
    assert (latency.load.loops, latency.load.threads, ping.load.loops) == (5, 2, 7)
    assert (load.model, load.parameters) == ("lstm", {"count": 3})
    latency, ping, load = _parse(f"--suite {path} -m noop --duration 2 -t 9 --options count 4").entries
    assert (latency.model, *_lengths(latency)) == ("noop", None, 2.0, 9)
    assert _lengths(ping) == (None, 2.0, 9)
    assert (load.model, *_lengths(load), load.parameters) == ("noop", None, None, None, {"count": 4})


def test_a_parameter_given_after_options_replaces_an_entrys_as_its_option_would(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        [[benchmark]]
        name = "latency"
        threads = 2
        duration = 3
        warmup = 1
        [[benchmark]]
        name = "load"
        [[benchmark]]
        name = "concurrent_inference"
        """
    )
    latency, load, concurrent = _parse(f"--suite {path} --options threads 5 loops 6").entries
    assert (latency.load.threads, latency.load.loops) == (5, 6)
    assert (latency.load.duration_s, latency.load.warmup_s) == (None, None)
    assert (load.load.threads, load.load.loops) == (None, None)
    assert concurrent.parameters == {"threads": (5,)}


def test_a_model_of_the_users_replaces_that_of_every_entry_that_takes_one(tmp_path):
    archive, requirements = tmp_path / "mine.mar", tmp_path / "requirements.txt"
    archive.write_bytes(b"")
    requirements.write_text("")
    for words in (f"--suite smoke -c {archive}", f"--all -c {archive} --server-requirements {requirements}"):
        entries = {entry.benchmark: entry for entry in _parse(words).entries}
        served = {name for name, entry in entries.items() if entry.content.custom_model == str(archive)}
        assert served == set(entries) - {"ping", "multiple_models"}
        assert entries["ping"].server.server_requirements is None


def test_what_an_entry_says_of_its_requests_is_taken_and_what_makes_no_sense_to_it_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "t")
    (tmp_path / "bodies").mkdir()
    (tmp_path / "mine.toml").write_text(
        """
        [[benchmark]]
        name = "http"
        url = "http://h/x"
        method = "put"
        body_file = ["bodies", "bodies"]
        header = ["X-A: 1", "Authorization: $TOKEN"]
        expect_status = 201
        [[benchmark]]
        name = "latency"
        header = "X-A: 2"
        """
    )
    http, latency = _parse(f"--suite {tmp_path / 'mine.toml'} --mms h -w 3").entries
    sent = http.content
    assert (sent.url, sent.method, sent.expect_status) == ("http://h/x", "PUT", 201)
    assert sent.inputs == (tmp_path / "bodies",) * 2
    assert sent.headers == ("X-A: 1", "Authorization: $TOKEN")
    assert (http.server.server, http.server.workers) == (None, None)
    assert (latency.content.headers, latency.server.server, latency.server.workers) == (("X-A: 2",), "h", 3)
    http, latency = _parse(f"--suite {tmp_path / 'mine.toml'} -H X-B:3").entries
    assert http.content.headers == latency.content.headers == ("X-B:3",)


def test_every_suite_that_comes_with_it_can_be_read():
    for name in names():
        assert _parse(f"--suite {name}").entries


def test_the_suite_to_be_copied_names_what_a_benchmark_may_have():
    text = (Path(suites.__file__).parent / "all.toml").read_text(encoding="utf-8")
    listed = re.search(r"A benchmark may have: (.*), and a table", text.replace("\n# ", " "))
    assert listed
    assert sorted(listed[1].split(", ")) == sorted(FIELDS)


def test_an_unreadable_input_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")
    monkeypatch.setattr("os.access", lambda *_: False)  # root may read everything
    with pytest.raises(Exception, match=r"secret\.jpg: permission denied"):
        _parse(f"latency -i {path}")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("runn", "run"), ("doctr", "doctor"), ("latency", "servemark run latency"), ("latancy", "latency")],
)
def test_an_unknown_subcommand_names_the_known_ones(capsys, word, meant):
    assert main([word]) == 2
    assert f"unknown subcommand {word!r}; did you mean {meant}?" in capsys.readouterr().err


def test_help_names_every_benchmark_model_and_option(capsys):
    with pytest.raises(SystemExit) as end:
        main(["run", "-h"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    options = [word for action in run_parser("x")._actions for word in action.option_strings]
    for word in (*catalogue(), *(model.name for model in ZOO), *options, "exit status"):
        assert re.search(rf"(?<![\w-]){word}(?![\w-])", text), word
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"], ["--version"]])
def test_the_bare_command_and_its_help_succeed(capsys, words):
    assert main(words) == 0
    assert "servemark" in capsys.readouterr().out
