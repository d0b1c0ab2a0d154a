"""Generators on real Ray clusters of this machine: what they send, what is refused, and what ends them."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from loadgen_servers import OK, answering, serving

import servemark
from servemark.assessment.condensing import condensing_of
from servemark.cli import main
from servemark.engines import Job, Sharing
from servemark.engines.native.cluster import carrying, placement
from servemark.engines.native.cluster.connecting import Cluster as ClusterAsked
from servemark.engines.native.cluster.connecting import connected
from servemark.engines.native.cluster.mustering import RayPlacement
from servemark.engines.native.cluster.placement import Places, place, remove
from servemark.engines.native.cluster.placement import node_of as node_of_place
from servemark.engines.native.engine import NativeEngine
from servemark.engines.native.spread import ClockFault, RemoteGenerator, crew
from servemark.engines.native.spread.clocks import TOKEN_BYTES
from servemark.errors import GeneratorLostError, SetupError
from servemark.machine.processes import members
from servemark.records import open_records
from servemark.stats.condensed import condensed_of
from servemark.units import NS_PER_MS, NS_PER_S
from servemark.workload.load import Arrivals, ClosedLoad, OpenLoad, RateSegment

from ..processes import await_end
from ..ray_nodes import NO_TOKEN, Cluster, Node, ray_cluster
from ..validity import status_but_for_the_machine
from .heard import ALONE_S, LOST_S, Heard, Last, waits
from .test_signals import LIMIT_S, measuring, read
from .test_spread import WHOSE, Altered, job_of, rows_sent
from .test_spread_command import check_capacity_objective_and_comparison
from .test_token_runs import DONE, END, HEAD, ROLE, TOKENS, saying_once, sent

pytestmark = pytest.mark.slow

POISSON = Arrivals("poisson", profile=(RateSegment(400.0, 400.0),))
LONG = OpenLoad(POISSON, duration_s=30.0)
#: Nobody who is alone goes on for longer than a second; the rest is what a busy machine may take.
GONE_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patched, ray_cluster(nodes=2) as cluster:
        for name, value in NO_TOKEN.items():
            patched.setenv(name, value)
        yield cluster


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a server that answers at once."""
    with serving(answering(OK)) as server:
        yield server.port


def on_ray(job: Job, cluster: Cluster, generators: int = 2, **more: Any) -> Job:
    return replace(job, spread=Sharing(generators, "ray", cluster.address, **more))


def executed(job: Job, tamper: Callable[[int, Any], RemoteGenerator] | None = None) -> Any:
    """The run of `job`, each of whose generators `tamper` has in its hands before it is used."""
    generators = Tampered(job.spread, tamper or (lambda _, one: one))
    try:
        return crew.execute(job, generators)
    finally:
        generators.close()


class Tampered(RayPlacement):
    def __init__(self, spread: Sharing, tamper: Callable[[int, Any], RemoteGenerator]) -> None:
        super().__init__(spread)
        self._tamper = tamper

    @contextmanager
    def muster(
        self, records: Sequence[Path], token: bytes, *, server_here: bool
    ) -> Iterator[Sequence[RemoteGenerator]]:
        with super().muster(records, token, server_here=server_here) as generators:
            yield [self._tamper(place, one) for place, one in enumerate(generators)]


@pytest.fixture(autouse=True)
def _nothing_left(cluster: Cluster) -> Iterator[None]:
    """Whatever happens to generators, none of their folders stays."""
    yield
    until_s = time.monotonic() + GONE_WITHIN_S
    while list(cluster.folder.glob("servemark-generator-*")):
        assert time.monotonic() < until_s
        time.sleep(0.05)


def node_of(cluster: Cluster, pid: int) -> Node:
    (node,) = (one for one in cluster.nodes if pid in one.generators)
    return node


class TestWhatIsSent:
    """The schedule of one generator, whoever sends it."""

    def test_two_on_nodes_of_their_own_record_what_one_would_have(self, cluster, port, tmp_path):
        load = OpenLoad(POISSON, requests=400)
        alone = NativeEngine().execute(job_of(port, load, tmp_path / "one", 1))
        pids = []

        def tamper(_place: int, one: Any) -> RemoteGenerator:
            pids.append(one.facts.pid)
            return one

        run = executed(on_ray(job_of(port, load, tmp_path / "two", 1), cluster), tamper)
        assert [one.records.name for one in run.generators] == ["run.bin", "run.g2.bin"]
        rows = rows_sent(run)
        assert (rows[WHOSE] == rows_sent(alone)[WHOSE]).all()
        assert set(rows["kind"]) == {0}
        assert [(one.scheduled, one.lost) for one in run.generators] == [(200, ""), (200, "")]
        assert [len(open_records(one.records)) for one in run.generators] == [200, 200]
        assert (run.interrupted, run.stop_reason) == (False, None)
        await_end(*pids, within_s=GONE_WITHIN_S)

    def test_the_start_is_told_also_where_records_could_have_come_before_it(self, cluster, port, tmp_path):
        """Their file is there from when they are armed, with a header that does not know yet when they begin."""
        import ray

        reads = []

        class Late:
            """A generator that is armed for others only once its file was asked for."""

            def __init__(self, one: Any) -> None:
                self._one = one

            def arm(self, order: Any) -> Any:
                armed = self._one.arm(order)
                armed.result()
                asked = self._one.actor.read.remote(".bin", 0, 4096, is_over=False)
                reads.append(bytes(ray.get(asked, timeout=GONE_WITHIN_S)))
                return armed

            def __getattr__(self, name: str) -> Any:
                return getattr(self._one, name)

        before_ns = time.time_ns()
        run = executed(
            on_ray(job_of(port, OpenLoad(POISSON, requests=40), tmp_path, 1), cluster), lambda _, one: Late(one)
        )
        assert reads == [b"", b""]
        starts = [open_records(one.records).started_unix_ns for one in run.generators]
        assert before_ns < min(starts) <= max(starts) < time.time_ns()
        assert len(rows_sent(run)) == 40

    def test_users_of_a_closed_loop_and_a_search_find_their_generators(self, cluster, port, tmp_path):
        load = ClosedLoad(users=3, duration_s=0.5, warmup_s=0.2)
        rows = rows_sent(executed(on_ray(job_of(port, load, tmp_path, 1), cluster)))
        assert set(rows["user"]) == {0, 1, 2}

    def test_records_that_are_too_many_are_condensed_on_their_nodes(self, cluster, port, tmp_path, monkeypatch):
        load = ClosedLoad(users=4, duration_s=1.5)
        job = on_ray(job_of(port, load, tmp_path, 1), cluster)
        # None is carried before: what comes of the files is what they are in the end.
        monkeypatch.setattr(carrying, "PAUSE_S", 60.0)
        run = executed(replace(job, most_records=50, condensing=condensing_of(load, job.compiled)))
        files = [open_records(one.records) for one in run.generators]
        assert [file.rows for file in files] == [0, 0], "none has come that is counted"
        assert condensed_of(files).records == run.scheduled
        assert condensed_of(files).sent == sum(one.counts.sent for one in run.generators)

    @pytest.mark.parametrize(
        ("fault", "apart_ms"),
        [(ClockFault(skew_ns=50 * NS_PER_MS), (0, 10)), (ClockFault(step_ns=50 * NS_PER_MS), (40, 60))],
        ids=["skewed", "stepped"],
    )
    def test_a_clock_that_is_skewed_is_allowed_for_and_one_that_is_stepped_found(
        self, cluster, port, tmp_path, fault, apart_ms
    ):
        def tamper(place: int, one: Any) -> RemoteGenerator:
            return Altered(one, lambda order: replace(order, fault=fault)) if place == 1 else one

        run = executed(on_ray(job_of(port, OpenLoad(POISSON, requests=40), tmp_path, 1), cluster), tamper)
        assert apart_ms[0] * NS_PER_MS <= run.generators[1].clock.apart_ns <= apart_ms[1] * NS_PER_MS
        assert run.generators[0].clock.apart_ns == 0
        starts = [open_records(one.records).started_unix_ns for one in run.generators]
        assert abs(starts[0] - starts[1]) < 20 * NS_PER_MS


class TestWhatIsRefused:
    """In words, and at once."""

    def test_more_generators_than_nodes(self, cluster, port, tmp_path, monkeypatch):
        monkeypatch.setattr(placement, "_PATIENCE_S", 2.0)  # those of the run before are given back meanwhile
        refusal = (
            r"^3 generators need a node each, with 1 free CPU, and the Ray cluster has too few: 3 nodes: .*\S+ \(1 of 1"
            r" CPUs free\), .*; add nodes, or lower --generators to 2$"
        )
        with pytest.raises(SetupError, match=refusal):
            executed(on_ray(job_of(port, LONG, tmp_path, 1), cluster, 3))
        with pytest.raises(SetupError, match=r"^3 generators need 1 free CPU each, and the Ray cluster has too few"):
            executed(on_ray(job_of(port, LONG, tmp_path, 1), cluster, 3, pack=True))

    def test_a_cluster_whose_nodes_are_taken(self, cluster, port, tmp_path, monkeypatch):
        taking = RayPlacement(Sharing(2, "ray", cluster.address))
        files = [tmp_path / "1.bin", tmp_path / "2.bin"]
        try:
            with taking.muster(files, b"t" * TOKEN_BYTES, server_here=True):
                monkeypatch.setattr(placement, "_PATIENCE_S", 0.5)
                job, more = job_of(port, LONG, tmp_path, 1), RayPlacement(Sharing(2, "ray", cluster.address))
                with pytest.raises(SetupError, match=r"\(0 of 1 CPUs free\)"):
                    crew.execute(on_ray(job, cluster), more)
        finally:
            taking.close()

    def test_the_node_of_the_server(self, cluster, monkeypatch):
        with connected(ClusterAsked.of(Sharing(on="ray", ray_address=cluster.address))):
            first, second = (node for node in placement.nodes() if node.cpus)
            group = place(Places(1, 1, pack=False, without=first.id))
            assert node_of_place(group, 0).id == second.id
            remove(group)
            monkeypatch.setattr(placement, "_PATIENCE_S", 0.5)
            with pytest.raises(SetupError, match=r"\(1 of 1 CPUs free\) with the server"):
                place(Places(2, 1, pack=False, without=first.id))

    def test_another_build_and_none_at_all_by_the_name_of_the_node(self, cluster, port, tmp_path):
        job = on_ray(job_of(port, OpenLoad(POISSON, requests=30), tmp_path, 1), cluster, 3)
        other = tmp_path / "other"
        shutil.copytree(Path(servemark.__file__).parent, other / "servemark", ignore=lambda *_: {"__pycache__"})
        with next((other / "servemark").glob("_loadgen*.so")).open("ab") as library:
            library.write(b"\0")
        node = cluster.add({"PYTHONPATH": str(other)})
        try:
            own = _loadgen_build()
            refusal = rf"^generators of one run need the same servemark, \S+, build {own}: \S+ has \S+, build (?!{own})"
            with pytest.raises(SetupError, match=refusal):
                executed(job)
            (other / "servemark" / "__init__.py").write_text(
                "raise ModuleNotFoundError(\"No module named 'servemark'\")"
            )
            with pytest.raises(SetupError, match=r"did not start on \S+: that node has no servemark"):
                executed(job)
            shipped = executed(replace(job, spread=replace(job.spread, ship=True)))
            assert len(rows_sent(shipped)) == 30
        finally:
            node.end()
            cluster.nodes.remove(node)

    @pytest.mark.parametrize("other", [{"ray_version": "2.9.0"}, {"python_version": "3.8.1"}], ids=["Ray", "Python"])
    def test_a_cluster_of_another_ray_or_python(self, cluster, port, tmp_path, other):
        from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
        from ray._raylet import GcsClient

        head = GcsClient(address=cluster.address)
        said = head.internal_kv_get(b"CLUSTER_METADATA", KV_NAMESPACE_CLUSTER)
        head.internal_kv_put(
            b"CLUSTER_METADATA", json.dumps(json.loads(said) | other).encode(), True, KV_NAMESPACE_CLUSTER
        )
        try:
            with pytest.raises(SetupError, match=r"is of another Ray or Python: Version mismatch: .*; use the Ray and"):
                executed(on_ray(job_of(port, LONG, tmp_path, 1), cluster))
        finally:
            head.internal_kv_put(b"CLUSTER_METADATA", said, True, KV_NAMESPACE_CLUSTER)


class TestTheCommand:
    """``servemark run --on ray``, and what is left when it is ended."""

    OPEN = ("--on", "ray", "--generators", "2", "--rate", "300", "--duration", "30", "--warmup", "0", "--no-report")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
    def test_a_signal_ends_all_and_keeps_what_was_measured(self, cluster, tmp_path, number):
        with measuring(tmp_path, *self.OPEN, "--ray-address", cluster.address, "-o", "out") as process:
            generators = [pid for node in cluster.nodes for pid in node.generators]
            assert len(generators) == 2
            process.send_signal(number)
            assert process.wait(timeout=LIMIT_S) == 130
        await_end(*generators, within_s=GONE_WITHIN_S)
        assert "***" not in (tmp_path / "stderr").read_text(), "Ray has nothing to say of it"
        (run,) = read(tmp_path / "out")["benchmarks"][0]["runs"]
        assert all(one["recorded"] == one["sent"] > 0 for one in run["generators"])
        assert [one["lost"] for one in run["generators"]] == [None, None]

    def test_two_runs_at_once_share_a_cluster_that_has_room_for_both(self, cluster, port, tmp_path):
        words = ["run", "http", f"http://127.0.0.1:{port}/", "--on", "ray", "--ray-address", cluster.address]
        words += ["-t", "1", "-l", "300", "--think", "5ms", "--no-report", "--allow-invalid", "-o"]
        both = [
            subprocess.Popen([sys.executable, "-m", "servemark", *words, str(tmp_path / name)], stderr=subprocess.PIPE)
            for name in ("a", "b")
        ]
        said = [one.communicate(timeout=LIMIT_S)[1] for one in both]
        assert [one.returncode for one in both] == [0, 0], said
        records = [open_records(tmp_path / name / "records" / "http.bin") for name in ("a", "b")]
        assert list(map(len, records)) == [300, 300]

    def test_a_tokenizer_that_lies_here_counts_on_every_node(self, cluster, tmp_path, monkeypatch):
        words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
        words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        words.save(str(tmp_path / "words.json"))
        monkeypatch.chdir(tmp_path)
        asked = ["--on", "ray", "--ray-address", cluster.address, "--generators", "2", "--tokens", "openai"]
        asked += ["--tokenizer", "words.json", "-t", "2", "-l", "3", "--allow-invalid", "--no-report", "-o", "out"]
        with serving(saying_once(HEAD + ROLE, *TOKENS, sent({}, "length") + DONE + END)) as server:
            assert main(["run", "http", f"http://127.0.0.1:{server.port}/v1/chat/completions", *asked]) == 0
        (step,) = read(tmp_path / "out")["benchmarks"][0]["steps"]
        output = step["tokens"]["output_tokens"]
        assert (output["count"], output["source"]) == (6 * len(TOKENS), "tokenizer")
        assert {path.suffix for path in (tmp_path / "out" / "records").iterdir()} == {".bin", ".hlog"}

    def test_a_driver_that_is_killed_leaves_no_generator(self, cluster, tmp_path):
        heard = Last()
        words = (*self.OPEN, "--ray-address", cluster.address)
        with measuring(tmp_path, *words, serve=heard) as process, waits() as waited:
            generators = [pid for node in cluster.nodes for pid in node.generators]
            assert len(generators) == 2
            process.kill()
            killed_at_s = time.monotonic()
            await_end(*generators, within_s=GONE_WITHIN_S)
        assert heard.at_s - killed_at_s < ALONE_S + waited.noise_s

    def test_a_capacity_an_objective_and_a_comparison_are_those_of_generators_on_a_cluster(
        self, cluster, port, tmp_path, capsys
    ):
        words = ["http", f"http://127.0.0.1:{port}/", "--on", "ray", "--ray-address", cluster.address]
        words += ["--generators", "2", "--no-report", "--no-history", "--allow-invalid"]
        check_capacity_objective_and_comparison(words, tmp_path, capsys, budget_s=20)

    @pytest.fixture
    def temporary(self, monkeypatch):
        """A temporary folder that no other test's clusters are in, with a path that is short enough for sockets."""
        with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
            monkeypatch.setenv("TMPDIR", folder)
            yield Path(folder)

    def test_who_does_not_wait_for_the_start_of_a_cluster_leaves_nothing_of_it(self, temporary, port, tmp_path):
        words = ["run", "http", f"http://127.0.0.1:{port}/", "--on", "ray", "--rate", "10", "--duration", "30"]
        program = [sys.executable, "-m", "servemark", *words, "-o", str(tmp_path / "out")]
        with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
            until_s = time.monotonic() + LIMIT_S
            while not clusters(temporary):
                assert time.monotonic() < until_s
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=LIMIT_S)[1]
        assert (process.returncode, "interrupted" in said) == (130, True)
        assert not clusters(temporary)
        assert not (tmp_path / "out").exists(), "nothing had begun"

    def test_a_cluster_of_this_machine_goes_with_who_started_it(self, temporary, tmp_path):
        with measuring(tmp_path, *self.OPEN) as process:
            (folder,) = clusters(temporary)
            everything = [one.pid for one in members(folder)]
            assert {one.name() for one in members(folder)} >= {"gcs_server", "raylet"}
            process.kill()
            await_end(*everything, within_s=GONE_WITHIN_S)
        until_s = time.monotonic() + GONE_WITHIN_S
        while clusters(temporary):
            assert time.monotonic() < until_s
            time.sleep(0.05)

    def test_a_cluster_of_this_machine_ends_with_the_run(self, temporary, port, tmp_path):
        out = tmp_path / "out"
        words = ["run", "http", f"http://127.0.0.1:{port}/", "--on", "ray", "--generators", "2", "-t", "2", "-l", "20"]
        program = [sys.executable, "-m", "servemark", *words, "--no-report", "--json", "-", "-o", str(out)]
        ended = subprocess.run(program, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert status_but_for_the_machine(ended.returncode, read(out)) == 0
        assert [one["recorded"] for one in read(out)["benchmarks"][0]["runs"][0]["generators"]] == [20, 20]
        assert json.loads(ended.stdout)["benchmarks"], "Ray printed nothing between"
        assert not clusters(temporary)


class TestWhoIsLost:
    """A node that is killed, as if its machine had gone, and a raylet that leaves its generator an orphan.

    The last of all: for seconds Ray goes on to count such a node among those that live.
    """

    @pytest.fixture(autouse=True)
    def _two_nodes(self, cluster):
        """Before each: after the last of all nobody needs them."""
        for node in [one for one in cluster.nodes if one.is_broken]:
            node.end()
            cluster.nodes.remove(node)
            cluster.add()

    def test_a_full_disk_of_one_ends_the_run_and_says_so(self, cluster, port, tmp_path):
        def tamper(place: int, one: Any) -> RemoteGenerator:
            if place == 1:
                resource.prlimit(one.facts.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
            return one

        run = executed(on_ray(job_of(port, LONG, tmp_path, 1), cluster), tamper)
        assert "generator 2 of 2 (" in run.stop_reason
        assert re.search(r"cannot write records to \S+/records\.bin: File too large", run.stop_reason)
        assert run.ended_ns < GONE_WITHIN_S * NS_PER_S
        assert [len(open_records(one.records)) > 20 for one in run.generators] == [True, True]

    def test_before_the_run_it_is_an_error(self, cluster, port, tmp_path):
        def tamper(place: int, one: Any) -> RemoteGenerator:
            if place == 1:
                node_of(cluster, one.facts.pid).fail()
            return one

        with pytest.raises(GeneratorLostError, match=r"^generator 2 of 2 \(\S+\) was lost before the run began: "):
            executed(on_ray(job_of(port, LONG, tmp_path, 1), cluster), tamper)

    def test_a_raylet_that_is_killed_ends_its_generator_and_the_run(self, cluster, tmp_path):
        pids: list[int] = []
        killed_at_s: list[float] = []

        def tamper(_place: int, one: Any) -> RemoteGenerator:
            pids.append(one.facts.pid)
            return one

        def watch(progress: Any, _words: str) -> None:
            if progress.elapsed_ns > 2 * NS_PER_S and not killed_at_s:
                killed_at_s.append(time.monotonic())
                os.kill(node_of(cluster, pids[1]).raylet, signal.SIGKILL)

        heard = Heard()
        with serving(heard) as server, waits() as waited:
            run = executed(on_ray(job_of(server.port, LONG, tmp_path, 1, watch), cluster), tamper)
        await_end(pids[1], within_s=GONE_WITHIN_S)
        assert heard.last_of(1, 2) - killed_at_s[0] < ALONE_S + waited.noise_s
        assert heard.last_of(0, 2) - killed_at_s[0] < LOST_S + waited.noise_s
        assert run.stop_reason.startswith("generator 2 of 2 (")
        assert [bool(one.lost) for one in run.generators] == [False, True]
        assert len(open_records(run.generators[0].records)) == run.generators[0].scheduled
        assert len(open_records(run.generators[1].records)) > 50, "what came before is kept"

    def test_one_whose_node_goes_when_it_has_told_its_outcome_is_no_loss(self, cluster, port, tmp_path):
        class Leaving:
            def __init__(self, one: Any) -> None:
                self._one = one

            def outcome(self) -> Any:
                node = node_of(cluster, self._one.facts.pid)
                told = self._one.outcome()
                told.add_done_callback(lambda _: node.fail())
                return told

            def __getattr__(self, name: str) -> Any:
                return getattr(self._one, name)

        def tamper(place: int, one: Any) -> RemoteGenerator:
            return Leaving(one) if place == 1 else one

        run = executed(on_ray(job_of(port, OpenLoad(POISSON, requests=40), tmp_path, 1), cluster), tamper)
        assert (run.stop_reason, run.interrupted, len(rows_sent(run))) == (None, False, 40)


class TestTheHead:
    """What a cluster is nothing without, killed while its generators, on other nodes, are well."""

    WORDS = ("--on", "ray", "--generators", "2", "--rate", "300", "--warmup", "0", "--no-report", "-o", "out")

    def test_the_raylet_of_the_driver_ends_the_run_and_no_generator_is_blamed(self, tmp_path):
        with ray_cluster(nodes=2) as own:
            words = (*self.WORDS, "--duration", "30", "--ray-address", own.address)
            with measuring(tmp_path, *words) as process:
                generators = [pid for node in own.nodes for pid in node.generators]
                os.kill(own.head.raylet, signal.SIGKILL)
                assert process.wait(timeout=LIMIT_S) == 4
            await_end(*generators, within_s=GONE_WITHIN_S)
        said = (tmp_path / "stderr").read_text()
        assert re.search(r"error: \d+\.\d s into the run: the connection to the Ray cluster is lost: ", said)
        assert ("Traceback" in said, "generator 1" in said) == (False, False)
        (run,) = read(tmp_path / "out")["benchmarks"][0]["runs"]
        assert sum(one["recorded"] for one in run["generators"]) > 0, "what came before is kept"

    def test_a_measurement_that_ends_after_its_control_is_gone_is_whole(self, tmp_path):
        with ray_cluster(nodes=2) as own:
            words = (*self.WORDS, "--duration", "3", "--ray-address", own.address)
            with measuring(tmp_path, *words) as process:
                generators = [pid for node in own.nodes for pid in node.generators]
                (control,) = (one.pid for one in members(own.head.mark) if one.name() == "gcs_server")
                os.kill(control, signal.SIGKILL)
                status = process.wait(timeout=LIMIT_S)
            await_end(*generators, within_s=GONE_WITHIN_S)
        result = read(tmp_path / "out")
        assert status_but_for_the_machine(status, result) == 0
        assert (tmp_path / "stderr").read_text().count("the Ray cluster does not answer, and was not tidied up") == 1
        (run,) = result["benchmarks"][0]["runs"]
        assert all(one["recorded"] == one["sent"] for one in run["generators"])
        assert sum(one["recorded"] for one in run["generators"]) > 600, "also what was sent after it had gone"


def clusters(folder: Path) -> set[Path]:
    """The folders of clusters that servemark has started where `folder` is the temporary one."""
    return set(folder.glob("servemark-ray-*"))


def _loadgen_build() -> str:
    return NativeEngine().versions["build"]
