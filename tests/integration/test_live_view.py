"""The live view beside a real run: it sees what is sent, and costs next to nothing."""

from __future__ import annotations

import pytest
from loadgen_servers import answering, serving

from servemark.options import RunRequest
from servemark.report.live import LiveView
from servemark.runner import Listener, perform

pytestmark = pytest.mark.seconds

SECONDS, TRIES = 4.0, 3
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_the_view_takes_less_than_a_hundredth_of_a_core_and_knows_the_run(tmp_path):
    for number in range(TRIES):
        seen = []
        with serving(answering(ANSWER)) as server, LiveView() as view:

            def progress(run, seen=seen, view=view):
                seen.append(run)
                view.show(run)

            request = RunRequest.of(
                "http",
                url=f"http://127.0.0.1:{server.port}/",
                threads=4,
                duration_s=SECONDS,
                warmup_s=0.0,
                output=tmp_path / f"out-{number}",
                no_history=True,
            )
            performed = perform((request,), Listener(note=view.say, progress=progress, place=view.place))
        if view.cpu_s < 0.01 * SECONDS:
            break  # else another machine took this one's CPU, which counts as used
    assert 0 < view.cpu_s < 0.01 * SECONDS
    (run,) = performed.result.benchmarks[0].runs
    assert {one.records for one in seen} == {(performed.folder / run.records,)}
    assert {(one.step, one.requests) for one in seen} == {(run.steps[0].name, None)}
    assert sum(run.steps[0].distribution.counts) == run.steps[0].measured


def test_of_an_exact_number_of_requests_it_is_known_how_many_are_left(tmp_path):
    seen = []
    with serving(answering(ANSWER)) as server:
        request = RunRequest.of(
            "http",
            url=f"http://127.0.0.1:{server.port}/",
            threads=2,
            loops=5,
            think_s=0.1,
            output=tmp_path / "out",
            no_history=True,
        )
        perform((request,), Listener(progress=seen.append))
    assert {one.requests for one in seen} == {10}
