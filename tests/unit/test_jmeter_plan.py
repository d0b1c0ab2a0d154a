"""The .jmx of a plan: what it holds, read back as XML, and what is refused because JMeter could not do it."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from servemark.engines.jmeter.draws import draw, draw_weighted
from servemark.engines.jmeter.plan import PLAN, write_plan
from servemark.errors import UsageError
from servemark.workload.address import Address, Tls
from servemark.workload.headers import parse_headers
from servemark.workload.load import ClosedLoad, Until
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import SEQ_MARK, USER_MARK, ApiName, RepeatUntil, Request, Scenario, Step

ADDRESS = Address("127.0.0.1", "127.0.0.1", 8080)
ONE_REQUEST = Step("predict", (Request("POST", "/predictions/noop", (("Content-Type", "image/jpeg"),), b"\xff\xd8"),))
ONCE = ClosedLoad(users=1, loops=1)


def _plan(*steps: Step, load: ClosedLoad = ONCE) -> Plan:
    return Plan((Group(Scenario(steps), load),))


def _write(plan: Plan, folder: Path, *, address: Address = ADDRESS, seed: int = 0) -> ET.Element:
    addresses: dict[ApiName, Address] = {
        "inference": address,
        "management": replace(address, port=address.port + 1),
    }
    written = write_plan(plan, addresses, folder, timeout_s=120, connect_timeout_s=30, seed=seed)
    assert written.path == folder / PLAN
    return ET.parse(written.path).getroot()


def _property(element: ET.Element, name: str) -> str:
    found = element.find(f"*[@name='{name}']")
    assert found is not None, name
    return found.text or ""


def _sampler(root: ET.Element) -> ET.Element:
    (sampler,) = root.iter("HTTPSamplerProxy")
    return sampler


def _body(sampler: ET.Element) -> str:
    values = [value.text for value in sampler.iter("stringProp") if value.get("name") == "Argument.value"]
    return "".join(value or "" for value in values)


def test_a_group_is_a_thread_group_with_its_users_loops_and_ramp(tmp_path: Path) -> None:
    root = _write(_plan(ONE_REQUEST, load=ClosedLoad(users=7, loops=30, ramp_s=5)), tmp_path)
    (group,) = root.iter("ThreadGroup")
    assert group.get("testname") == "group 1: 7 users"
    assert _property(group, "ThreadGroup.num_threads") == "7"
    assert _property(group, "ThreadGroup.ramp_time") == "5"
    assert _property(group, "ThreadGroup.scheduler") == "false"
    assert _property(group, "ThreadGroup.same_user_on_next_iteration") == "true"
    (loop,) = group.iter("elementProp")
    assert _property(loop, "LoopController.loops") == "30"


@pytest.mark.parametrize(
    ("load", "duration_s"),
    [
        (ClosedLoad(users=1, duration_s=8, warmup_s=2), "10"),
        (ClosedLoad(users=1, until=Until(), warmup_s=2), "602"),
    ],
)
def test_time_ends_a_group_by_the_scheduler_warm_up_included(load: ClosedLoad, duration_s: str, tmp_path: Path) -> None:
    (group,) = _write(_plan(ONE_REQUEST, load=load), tmp_path).iter("ThreadGroup")
    assert _property(group, "ThreadGroup.scheduler") == "true"
    assert _property(group, "ThreadGroup.duration") == duration_s
    (loop,) = group.iter("elementProp")
    assert _property(loop, "LoopController.loops") == "-1"


def test_a_request_goes_to_its_steps_address_as_the_native_engine_sends_it(tmp_path: Path) -> None:
    step = Step("register", (Request("POST", "/models?url=noop.mar&synchronous=true"),), api="management")
    root = _write(_plan(step), tmp_path)
    sampler = _sampler(root)
    assert sampler.get("testname") == "register"
    expected = {
        "protocol": "http",
        "domain": "127.0.0.1",
        "port": "8081",
        "method": "POST",
        "path": "/models?url=noop.mar&synchronous=true",
        "use_keepalive": "true",
        "follow_redirects": "false",
        "connect_timeout": "30000",
        "response_timeout": "120000",
    }
    assert {name: _property(sampler, f"HTTPSampler.{name}") for name in expected} == expected
    headers = {
        _property(h, "Header.name"): _property(h, "Header.value")
        for h in root.iterfind(".//HeaderManager//*[@elementType='Header']")
    }
    assert headers == {"User-Agent": "servemark"}


def test_only_2xx_succeeds(tmp_path: Path) -> None:
    (assertion,) = _write(_plan(ONE_REQUEST), tmp_path).iter("ResponseAssertion")
    assert _property(assertion, "Assertion.test_field") == "Assertion.response_code"
    (pattern,) = assertion.iterfind("collectionProp/stringProp")
    assert pattern.text == r"2\d\d"


def test_steps_keep_their_order(tmp_path: Path) -> None:
    steps = [
        Step(name, (Request("PUT", "/models/noop"),), "management") for name in ("scale_up", "scale_down", "again")
    ]
    root = _write(_plan(*steps), tmp_path)
    assert [s.get("testname") for s in root.iter("HTTPSamplerProxy")] == ["scale_up", "scale_down", "again"]


def test_think_time_is_a_pause_after_each_step(tmp_path: Path) -> None:
    check = replace(ONE_REQUEST, name="check")
    root = _write(_plan(ONE_REQUEST, check, load=ClosedLoad(users=1, loops=1, think_s=0.25)), tmp_path)
    performed = [e for e in root.iter() if e.tag in {"HTTPSamplerProxy", "TestAction"}]
    assert [e.get("testname") for e in performed] == ["predict", "think time: 0.25 s", "check", "think time: 0.25 s"]
    assert _property(performed[1], "ActionProcessor.duration") == "250"


def test_a_binary_body_lies_in_a_file_beside_the_plan(tmp_path: Path) -> None:
    sampler = _sampler(_write(_plan(ONE_REQUEST), tmp_path))
    (file,) = [e for e in sampler.iter("elementProp") if e.get("elementType") == "HTTPFileArg"]
    path = _property(file, "File.path")
    assert not Path(path).is_absolute()
    assert (tmp_path / path).read_bytes() == b"\xff\xd8"
    assert _property(file, "File.mimetype") == "image/jpeg"
    assert _property(file, "File.paramname") == ""


def test_a_short_text_body_is_readable_in_the_plan(tmp_path: Path) -> None:
    text = '{"words": ["<&>", "é",\n "\\d"]}'
    step = Step("predict", (Request("POST", "/p", (("Content-Type", "application/json"),), text.encode()),))
    sampler = _sampler(_write(_plan(step), tmp_path))
    assert _body(sampler) == text
    assert _property(sampler, "HTTPSampler.postBodyRaw") == "true"
    assert not (tmp_path / "inputs").exists()


@pytest.mark.parametrize("body", [b"a\r\nb", b"x" * 5000, b"\x00", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_body_that_xml_would_change_or_that_is_long_lies_in_a_file(body: bytes, tmp_path: Path) -> None:
    _write(_plan(Step("predict", (Request("POST", "/p", (), body),))), tmp_path)
    (file,) = (tmp_path / "inputs").iterdir()
    assert file.read_bytes() == body


def test_what_looks_like_a_variable_is_sent_as_it_stands(tmp_path: Path) -> None:
    step = Step("predict", (Request("POST", "/p", (("X", "a\\b${c}"),), b"${__time()}\\"),))
    root = _write(_plan(step), tmp_path)
    assert _body(_sampler(root)) == "${dollar}{__time()}\\\\"
    (variable,) = [e for e in root.iter("elementProp") if e.get("elementType") == "Argument"]
    assert (_property(variable, "Argument.name"), _property(variable, "Argument.value")) == ("dollar", "$")
    values = [e.text for e in root.iter("stringProp") if e.get("name") == "Header.value"]
    assert values[0] == "a\\\\b${dollar}{c}"


def test_numbers_of_users_and_requests_count_over_all_groups(tmp_path: Path) -> None:
    numbered = Step("load", (Request("POST", f"/models?name=noop-{USER_MARK}", numbered=True),), "management")
    sent = Step("predict", (Request("POST", "/p", (), f"n={SEQ_MARK}".encode(), numbered=True),))
    groups = tuple(Group(Scenario((numbered, sent)), ClosedLoad(users=2, loops=1)) for _ in range(2))
    root = _write(Plan(groups), tmp_path)
    paths = [_property(s, "HTTPSampler.path") for s in root.iter("HTTPSamplerProxy")]
    assert paths[0] == "/models?name=noop-${user}"
    lists = [[v.text for v in users.iterfind(".//stringProp")][1:] for users in root.iter("UserParameters")]
    assert lists == [["0000000000", "0000000001"], ["0000000002", "0000000003"]]
    counters = [
        (_property(c, "CounterConfig.name"), _property(c, "CounterConfig.start"), _property(c, "CounterConfig.incr"))
        for c in root.iter("CounterConfig")
    ]
    assert counters == [("seq_1", "1", "4"), ("seq_3", "3", "4")]
    assert "n=${seq_1}" in [_body(s) for s in root.iter("HTTPSamplerProxy")]


def test_a_request_that_is_not_numbered_keeps_its_marks(tmp_path: Path) -> None:
    step = Step("predict", (Request("POST", "/p", (), USER_MARK.encode()),))
    root = _write(_plan(step), tmp_path)
    assert _body(_sampler(root)) == USER_MARK
    assert not list(root.iter("UserParameters"))


def test_a_pool_is_a_switch_whose_draws_are_those_of_the_native_engine(tmp_path: Path) -> None:
    pool = Step("predict", tuple(Request("GET", f"/{letter}") for letter in "abc"))
    root = _write(_plan(pool, load=ClosedLoad(users=2, loops=50)), tmp_path, seed=42)
    (switch,) = root.iter("SwitchController")
    assert _property(switch, "SwitchController.value") == "${input_0}"
    assert [s.get("testname") for s in root.iter("HTTPSamplerProxy")] == ["predict"] * 3
    (table,) = root.iter("CSVDataSet")
    assert _property(table, "shareMode") == "shareMode.thread", "each user reads its own from the beginning"
    for user in range(2):
        file = _property(table, "filename").replace("${__threadNum}", str(user + 1))
        with (tmp_path / file).open() as lines:
            header, *rows = csv.reader(lines)
        assert header == ["input_0"]
        drawn = [draw(42, 3, step=0, position=0, user=user, loop=loop) for loop in range(50)]
        assert [int(row[0]) for row in rows] == drawn


def test_draws_are_those_of_the_native_engine() -> None:
    """As its draw.rs has them; it keeps the number of an arrival in two parts."""
    drawn = [draw(42, 1000, step=1, position=2, user=number % 3, loop=number << 30) for number in range(8)]
    assert drawn == [770, 400, 194, 801, 553, 237, 924, 375]
    assert draw(1, 1, step=2, position=2, user=3, loop=4) == 0


def test_draws_use_the_whole_pool_evenly() -> None:
    for users, loops in ((7000, 1), (1, 7000), (70, 100)):
        places = [(user, loop) for user in range(users) for loop in range(loops)]
        counts = Counter(draw(42, 7, step=1, position=1, user=user, loop=loop) for user, loop in places)
        assert all(abs(counts[picked] - 1000) < 150 for picked in range(7))


def test_the_tables_of_all_users_have_a_limit_together(tmp_path: Path) -> None:
    pool = Step("predict", tuple(Request("GET", f"/{letter}") for letter in "abc"))
    _write(_plan(pool, load=ClosedLoad(users=50, duration_s=2)), tmp_path)
    assert len((tmp_path / "draws" / "1-50.csv").read_text().splitlines()) == 1 + 2000


def test_a_host_name_goes_to_the_address_that_it_was_found_to_have(tmp_path: Path) -> None:
    root = _write(_plan(ONE_REQUEST), tmp_path, address=Address("localhost", "::1", 8080))
    assert _property(_sampler(root), "HTTPSampler.domain") == "localhost"
    (table,) = root.iter("DNSCacheManager")
    hosts = [(_property(h, "StaticHost.Name"), _property(h, "StaticHost.Address")) for h in table.iter("elementProp")]
    assert hosts == [("localhost", "::1")]


def test_an_ipv6_literal_has_brackets(tmp_path: Path) -> None:
    root = _write(_plan(ONE_REQUEST), tmp_path, address=Address("::1", "::1", 8080))
    assert _property(_sampler(root), "HTTPSampler.domain") == "[::1]"


def test_tls_without_a_check_is_https(tmp_path: Path) -> None:
    address = replace(ADDRESS, tls=Tls("localhost", verify=False))
    assert _property(_sampler(_write(_plan(ONE_REQUEST), tmp_path, address=address)), "HTTPSampler.protocol") == "https"


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (ClosedLoad(users=1, loops=1, ramp_s=0.5), "whole seconds: --ramp 0.5 s"),
        (ClosedLoad(users=1, duration_s=2.5), "whole seconds: --duration 2.5 s"),
        (ClosedLoad(users=1, duration_s=2.5, warmup_s=0.5), "whole seconds: --warmup 0.5 s"),
        (ClosedLoad(users=1, loops=1, think_s=0.0005), "whole milliseconds: --think 0.0005 s"),
    ],
)
def test_times_finer_than_jmeters_are_refused(load: ClosedLoad, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        _write(_plan(ONE_REQUEST, load=load), tmp_path)


def test_answers_whose_tokens_are_to_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="JMeter does not tell the tokens of predict"):
        _write(_plan(replace(ONE_REQUEST, tokens="openai")), tmp_path)


def test_a_certificate_that_would_have_to_be_checked_is_refused(tmp_path: Path) -> None:
    address = replace(ADDRESS, tls=Tls("example", verify=True, ca_pem=b"-"))
    with pytest.raises(UsageError, match=r"does not check the certificate.*--insecure"):
        _write(_plan(ONE_REQUEST), tmp_path, address=address)


@pytest.mark.parametrize("path", ["/a b", "/a{b}", "/a\\b", "/%zz", "/é"])
def test_a_path_that_java_takes_for_no_uri_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="JMeter cannot send the path"):
        _write(_plan(Step("predict", (Request("GET", path),))), tmp_path)


def test_a_numbered_binary_body_is_refused(tmp_path: Path) -> None:
    step = Step("predict", (Request("POST", "/", (), b"\xff" + SEQ_MARK.encode(), numbered=True),))
    with pytest.raises(UsageError, match="cannot number the body"):
        _write(_plan(step), tmp_path)


def _below(root: ET.Element, owner: ET.Element) -> list[ET.Element]:
    """What is directly below an element of the tree."""
    (parent,) = [tree for tree in root.iter("hashTree") if owner in list(tree)]
    children = list(parent)
    return [e for e in children[children.index(owner) + 1] if e.tag != "hashTree"]


def test_steps_of_one_name_in_groups_of_their_own_are_known_by_the_group(tmp_path: Path) -> None:
    group = Group(Scenario((ONE_REQUEST,)), ONCE)
    root = _write(Plan((group, group)), tmp_path)
    assert [g.get("testname") for g in root.iter("ThreadGroup")] == ["group 1: 1 user", "group 2: 1 user"]
    assert not list(root.iter("UserParameters"))


def test_steps_of_one_name_in_one_scenario_tell_their_number(tmp_path: Path) -> None:
    one, two = Group(Scenario((ONE_REQUEST,)), ONCE), Group(Scenario((ONE_REQUEST, ONE_REQUEST)), ONCE)
    root = _write(Plan((one, two)), tmp_path)
    told = [[v.text for v in users.iterfind(".//stringProp")] for users in root.iter("UserParameters")]
    assert told == [["step_number", "1"], ["step_number", "2"]]
    _, first, second = root.iter("HTTPSamplerProxy")
    assert [e.tag for e in _below(root, first)] == [e.tag for e in _below(root, second)]
    assert "UserParameters" in [e.tag for e in _below(root, first)]


def test_a_status_that_is_expected_is_the_only_success_of_its_step(tmp_path: Path) -> None:
    removed = replace(ONE_REQUEST, name="remove", expect_status=404)
    root = _write(_plan(ONE_REQUEST, removed), tmp_path)
    found = []
    for sampler in root.iter("HTTPSamplerProxy"):
        (assertion,) = [e for e in _below(root, sampler) if e.tag == "ResponseAssertion"]
        (pattern,) = assertion.iterfind("collectionProp/stringProp")
        kind = _property(assertion, "Assertion.test_type")
        found.append((pattern.text, kind, _property(assertion, "Assertion.assume_success")))
    matches, equals = "1", "8"
    assert found == [(r"2\d\d", matches, "false"), ("404", equals, "true")]
    assert len(list(root.iter("ResponseAssertion"))) == 2, "none applies to both"


def test_a_step_that_is_repeated_is_in_a_loop_that_its_assertion_leaves(tmp_path: Path) -> None:
    until = RepeatUntil(b"\"it's $\\ \xff\n", 16, interval_s=0.2, limit_s=1.5)
    step = replace(ONE_REQUEST, until=until)
    load = ClosedLoad(users=1, loops=2, think_s=1)
    root = _write(_plan(step, load=load), tmp_path)
    (loop,) = root.iter("LoopController")
    assert _property(loop, "LoopController.loops") == "-1"
    sampler, pause = _below(root, loop)
    assert (sampler.tag, _property(pause, "ActionProcessor.duration")) == ("HTTPSamplerProxy", "200")
    assertions = [e for e in _below(root, sampler) if e.tag.endswith("Assertion")]
    assert [e.tag for e in assertions] == ["ResponseAssertion", "JSR223Assertion"], "the status is judged first"
    script = _property(assertions[1], "script")
    assert r"""String text = '"it\'s \u0024\\ \u00ff\n'""" in script
    assert "int times = 16" in script
    assert "long limitMs = 1500" in script
    assert "${" not in script, "JMeter would put a variable there"
    (think,) = [e for e in root.iter("TestAction") if "think" in e.get("testname", "")]
    assert think not in _below(root, loop)


def test_a_request_that_is_repeated_has_a_number_each_time(tmp_path: Path) -> None:
    step = Step("ask", (Request("GET", f"/?{SEQ_MARK}", numbered=True),), until=RepeatUntil(b"x", 1))
    root = _write(_plan(step), tmp_path)
    (loop,) = root.iter("LoopController")
    assert [e.tag for e in _below(root, loop)] == ["CounterConfig", "HTTPSamplerProxy", "TestAction"]


def test_a_mix_is_a_switch_whose_draws_are_those_of_the_native_engine(tmp_path: Path) -> None:
    steps = tuple(replace(ONE_REQUEST, name=f"predict {letter}") for letter in "abc")
    pool = Step("pool", tuple(Request("GET", f"/{letter}") for letter in "de"))
    groups = (
        Group(Scenario((pool,)), ONCE),
        Group(Scenario((*steps, pool), (2, 1, 1, 0)), ClosedLoad(users=3, loops=40, think_s=1)),
    )
    root = _write(Plan(groups), tmp_path, seed=9)
    _, mix, _ = root.iter("SwitchController")
    assert _property(mix, "SwitchController.value") == "${step_of_group_2}"
    assert [e.get("testname") for e in _below(root, mix)] == [*(s.name for s in steps), "pool: one of 2 inputs"]
    for user in (1, 2, 3):
        with (tmp_path / "draws" / f"2-{user}.csv").open() as lines:
            header, *rows = csv.reader(lines)
        assert header == ["input_4", "step_of_group_2"]
        drawn = [draw_weighted(9, user, loop, (2, 1, 1, 0)) for loop in range(40)]
        assert [int(row[1]) for row in rows] == drawn
        assert 3 not in drawn
    assert len(list(root.iter("TestAction"))) == 1, "one pause a loop"


def test_the_shares_of_a_mix_are_its_weights() -> None:
    """That the draws are the native engine's, the contract tests show."""
    counts = Counter(draw_weighted(3, user, loop, (6, 3, 1)) for user in range(10) for loop in range(1000))
    assert [counts[step] / 10_000 for step in range(3)] == pytest.approx([0.6, 0.3, 0.1], abs=0.03)


def test_a_background_ends_with_the_loops_of_the_others(tmp_path: Path) -> None:
    front = Group(Scenario((ONE_REQUEST,)), ClosedLoad(users=3, loops=7, think_s=1))
    back = Group(Scenario((ONE_REQUEST,)), ClosedLoad(users=2, loops=1), background=True)
    root = _write(Plan((front, back)), tmp_path)
    first, second = root.iter("ThreadGroup")
    (loops,), (endless,) = first.iter("elementProp"), second.iter("elementProp")
    assert _property(loops, "LoopController.loops") == "7"
    assert _property(endless, "LoopController.loops") == "-1"
    assert second.get("testname") == "group 2: background, 2 users"
    sampler, tells, think = [e for e in _below(root, first) if e.tag != "ResponseAssertion"]
    assert (sampler.tag, tells.tag, think.tag) == ("HTTPSamplerProxy", "JSR223Sampler", "TestAction")
    assert "int loops = 7" in _property(tells, "script")
    (ends,) = [e for e in _below(root, second) if e.tag == "JSR223PreProcessor"]
    assert "int users = 3" in _property(ends, "script")
    (set_up,) = root.iter("SetupThreadGroup")
    (start,) = _below(root, set_up)
    (compiled,) = _below(root, start)
    assert _property(compiled, "script") == _property(ends, "script"), "JMeter compiles each text once"


def test_a_background_of_what_time_ends_has_that_time(tmp_path: Path) -> None:
    front = Group(Scenario((ONE_REQUEST,)), ClosedLoad(users=1, duration_s=4, warmup_s=1))
    back = Group(Scenario((ONE_REQUEST,)), ClosedLoad(users=1, loops=1), background=True)
    root = _write(Plan((front, back)), tmp_path)
    assert [_property(g, "ThreadGroup.duration") for g in root.iter("ThreadGroup")] == ["5", "5"]
    assert not list(root.iter("JSR223PreProcessor"))


def test_without_a_background_nothing_is_told(tmp_path: Path) -> None:
    root = _write(_plan(ONE_REQUEST), tmp_path)
    assert not [e for e in root.iter() if e.tag.startswith("JSR223")]


def test_an_interval_finer_than_jmeters_is_refused(tmp_path: Path) -> None:
    step = replace(ONE_REQUEST, until=RepeatUntil(b"x", 1, interval_s=0.0001))
    with pytest.raises(UsageError, match="whole milliseconds: the interval of step predict"):
        _write(_plan(step), tmp_path)


def _headers(root: ET.Element) -> dict[str, str]:
    return {
        _property(h, "Header.name"): _property(h, "Header.value")
        for h in root.iterfind(".//HeaderManager//*[@elementType='Header']")
    }


def test_headers_of_an_address_are_in_the_plan_and_secrets_are_properties(tmp_path: Path) -> None:
    environment = {"TOKEN": "s3cr3t ${x} \\"}
    texts = ["Authorization: Bearer $TOKEN", "X-Run: $TOKEN", "X-Plain: ${TOKEN2}", "content-type: a/b"]
    address = replace(ADDRESS, headers=parse_headers(texts, {**environment, "TOKEN2": "s3cr3t ${x} \\"}))
    plan = _plan(ONE_REQUEST, Step("again", ONE_REQUEST.requests))
    written = write_plan(plan, {"inference": address}, tmp_path, timeout_s=1, connect_timeout_s=1, seed=0)
    assert _headers(ET.parse(written.path).getroot()) == {
        "Authorization": "${__P(servemark.secret.1)}",
        "X-Run": "${__P(servemark.secret.2)}",
        "X-Plain": "${__P(servemark.secret.2)}",
        "content-type": "a/b",
        "User-Agent": "servemark",
    }
    assert written.secrets == {
        "servemark.secret.1": "Bearer s3cr3t ${x} \\",
        "servemark.secret.2": "s3cr3t ${x} \\",
    }
    assert "s3cr3t" not in written.path.read_text() + repr(written)


def test_where_it_connects_to_another_place_the_host_is_that_of_the_url(tmp_path: Path) -> None:
    root = _write(_plan(ONE_REQUEST), tmp_path, address=Address("h.example", "127.0.0.1", 8080, named_port=80))
    assert _headers(root)["Host"] == "h.example"
    assert (_property(_sampler(root), "HTTPSampler.domain"), _property(_sampler(root), "HTTPSampler.port")) == (
        "h.example",
        "8080",
    )
    (host,) = [e for e in root.iter("elementProp") if e.get("elementType") == "StaticHost"]
    assert _property(host, "StaticHost.Address") == "127.0.0.1"


@pytest.mark.parametrize(
    ("step", "address", "message"),
    [
        (
            ONE_REQUEST,
            replace(ADDRESS, tls=Tls("h", verify=False, client_cert_pem=b"c", client_key_pem=b"k")),
            "JMeter takes client certificates from a Java key store, not from --client-cert; use --engine native",
        ),
        (
            ONE_REQUEST,
            replace(ADDRESS, headers=parse_headers(["X-A: \xe4"], {})),
            "JMeter sends ASCII alone: -H X-A; use --engine native",
        ),
        (Step("s", ONE_REQUEST.requests * 1001), ADDRESS, "JMeter can draw from 1000 inputs, not from 1001"),
        (Step("s", (Request("LINK", "/"),)), ADDRESS, "JMeter cannot send LINK; use --engine native"),
        (Step("s", (Request("HEAD", "/", (), b"x"),)), ADDRESS, "JMeter cannot send HEAD with a body"),
    ],
)
def test_a_request_that_jmeter_cannot_send_is_refused(
    step: Step, address: Address, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        _write(_plan(step), tmp_path, address=address)
    assert message in str(refused.value)
