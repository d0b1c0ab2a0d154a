//! `servemark._loadgen`: the Python side of the load generator, and of the passes over its records. It converts, calls,
//! and nothing else.
//!
//! The interface, with its documentation for users, is `src/servemark/_loadgen.pyi`.

mod answers;
mod plan;
mod records;

mod refusal {
    #![allow(missing_docs, reason = "the macro writes none")]
    pyo3::create_exception!(servemark._loadgen, RealtimeError, pyo3::exceptions::PyException);
    pyo3::create_exception!(
        servemark._loadgen,
        ReceiveClockError,
        pyo3::exceptions::PyException
    );
    pyo3::create_exception!(servemark._loadgen, ShortageError, pyo3::exceptions::PyException);
}

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyTuple};
use servemark_loadgen::arrival;
use servemark_loadgen::beside::{handshake, keep_awake, responder, wake_up};
use servemark_loadgen::error::{Kind, PlanError, RunError, StartError};
use servemark_loadgen::histogram;
use servemark_loadgen::record::{COLUMNS, ROW_BYTES, flags};
use servemark_loadgen::run::{self, duration_from_s};
use servemark_loadgen::tls::TlsSetup;

use refusal::{RealtimeError, ReceiveClockError, ShortageError};

/// The native load generator, and passes over its records. A thin binding: it converts, calls, and nothing else.
#[pymodule]
fn _loadgen(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let record_flags = PyDict::new(module.py());
    for (name, bit) in flags::NAMES {
        record_flags.set_item(name, bit)?;
    }
    module.add("RECORD_COLUMNS", pyo3::types::PyTuple::new(module.py(), COLUMNS)?)?;
    module.add("RECORD_ROW_BYTES", ROW_BYTES)?;
    module.add(
        "ERROR_KINDS",
        pyo3::types::PyTuple::new(module.py(), Kind::NAMES)?,
    )?;
    module.add("RECORD_FLAGS", record_flags)?;
    module.add_class::<Progress>()?;
    module.add_class::<ErrorExample>()?;
    module.add_class::<EventGaps>()?;
    module.add_class::<Outcome>()?;
    module.add_class::<Run>()?;
    module.add_class::<HistogramStatistics>()?;
    module.add_function(wrap_pyfunction!(histogram_statistics, module)?)?;
    module.add("RealtimeError", module.py().get_type::<RealtimeError>())?;
    module.add("ReceiveClockError", module.py().get_type::<ReceiveClockError>())?;
    module.add("ShortageError", module.py().get_type::<ShortageError>())?;
    module.add_class::<Responder>()?;
    module.add_function(wrap_pyfunction!(check_expect, module)?)?;
    module.add_function(wrap_pyfunction!(schedule, module)?)?;
    module.add_function(wrap_pyfunction!(spin_until_eof, module)?)?;
    records::add_to(module)?;
    answers::add_to(module)?;
    module.add_class::<HandshakeFailure>()?;
    module.add_function(wrap_pyfunction!(tls_handshake, module)?)?;
    module.add_function(wrap_pyfunction!(wake_up_lag, module)?)?;
    module.add_function(wrap_pyfunction!(start, module)?)?;
    module.add_function(wrap_pyfunction!(arm, module)?)
}

/// Refuse what cannot be expected.
#[pyfunction]
fn check_expect(expect: plan::EngineExpect) -> PyResult<()> {
    expect.into_expect().map(|_| ())
}

/// The times of arrivals `first..first + count` as little-endian i64 nanoseconds, fewer when the schedule ends.
#[pyfunction]
fn schedule(
    py: Python<'_>,
    arrivals: plan::EngineArrivals,
    seed: u64,
    first: u64,
    count: u64,
) -> PyResult<Cow<'static, [u8]>> {
    let arrivals = arrivals.into_arrivals()?;
    let times_ns = py.detach(move || {
        arrivals.validate()?;
        Ok(arrival::schedule(&arrivals, seed, first, count))
    });
    let times_ns = times_ns.map_err(|error: PlanError| PyValueError::new_err(error.to_string()))?;
    Ok(times_ns
        .iter()
        .flat_map(|time_ns| time_ns.to_le_bytes())
        .collect::<Vec<u8>>()
        .into())
}

/// Keep every CPU from halting until the standard input ends.
#[pyfunction]
fn spin_until_eof(py: Python<'_>) {
    py.detach(keep_awake::spin_until_eof);
}

/// Why a TLS handshake failed.
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct HandshakeFailure {
    cause: &'static str,
    message: String,
}

/// Shake hands with the server at `address` as a run would; what it failed of, or None.
#[pyfunction]
fn tls_handshake(
    py: Python<'_>,
    address: plan::Address,
    timeout_s: f64,
) -> PyResult<Option<HandshakeFailure>> {
    let address = address.into_address()?;
    let Some(tls) = &address.tls else {
        return Err(PyValueError::new_err("that address does not speak TLS"));
    };
    let setup = TlsSetup::new(tls).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let timeout = duration_from_s(timeout_s);
    let failed = py.detach(|| handshake::shake_hands(address.socket(), &setup, timeout).err());
    Ok(failed.map(|failure| HandshakeFailure {
        cause: failure.cause.name(),
        message: failure.message,
    }))
}

/// How late a thread that sleeps is woken: median and 99th percentile, in nanoseconds.
#[pyfunction]
fn wake_up_lag(py: Python<'_>) -> PyResult<(i64, i64)> {
    Ok(py.detach(wake_up::wake_up_lag)?)
}

/// Open connections, wait for the start barrier, and start sending.
#[pyfunction]
fn start(py: Python<'_>, plan: plan::EnginePlan, record_path: PathBuf) -> PyResult<Run> {
    let plan = plan.into_plan(py)?;
    launched(py.detach(move || run::Run::start(plan, &record_path)))
}

/// The same, but nothing is sent before `Run.begin_at` has said when.
#[pyfunction]
fn arm(py: Python<'_>, plan: plan::EnginePlan, record_path: PathBuf) -> PyResult<Run> {
    let plan = plan.into_plan(py)?;
    launched(py.detach(move || run::Run::arm(plan, &record_path)))
}

fn launched(launched: Result<run::Run, StartError>) -> PyResult<Run> {
    match launched {
        Ok(run) => Ok(Run(Arc::new(run))),
        Err(StartError::Plan(error)) => Err(PyValueError::new_err(error.to_string())),
        Err(error @ StartError::Realtime(_)) => Err(RealtimeError::new_err(error.to_string())),
        Err(error @ StartError::ReceiveClock(_)) => Err(ReceiveClockError::new_err(error.to_string())),
        Err(StartError::Shortage(short)) => {
            Err(ShortageError::new_err((short.resource, short.needed, short.had)))
        }
        Err(StartError::Io(error)) => Err(error.into()),
    }
}

/// A run in progress.
#[pyclass(module = "servemark._loadgen", frozen)]
struct Run(Arc<run::Run>);

#[pymethods]
impl Run {
    /// Wait until every thread has opened its connections, at most `timeout_s`; True when they have, or gave up.
    fn wait_ready(&self, py: Python<'_>, timeout_s: f64) -> bool {
        py.detach(|| self.0.wait_ready(duration_from_s(timeout_s)))
    }

    /// Have a run that is armed and ready begin at that instant of `CLOCK_MONOTONIC`.
    fn begin_at(&self, py: Python<'_>, monotonic_ns: i64) -> PyResult<()> {
        py.detach(|| self.0.begin_at(monotonic_ns))
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Wait for the run to end, at most `timeout_s`; True when it has.
    fn wait(&self, py: Python<'_>, timeout_s: f64) -> bool {
        py.detach(|| self.0.wait(duration_from_s(timeout_s)))
    }

    /// A snapshot of the run.
    fn progress(&self, py: Python<'_>) -> Progress {
        let progress = py.detach(|| self.0.progress());
        Progress {
            elapsed_ns: progress.elapsed_ns,
            scheduled: progress.scheduled,
            succeeded: progress.succeeded,
            failed: progress.failed,
            in_flight: progress.in_flight,
            measured_succeeded: progress.measured_succeeded,
        }
    }

    /// Schedule nothing new from `elapsed_ns`; returns the time that took effect.
    fn stop_at(&self, py: Python<'_>, elapsed_ns: i64) -> i64 {
        py.detach(|| self.0.stop_at(elapsed_ns))
    }

    /// Schedule nothing new from now; cancel what is in flight after `drain_s`.
    fn stop(&self, py: Python<'_>, drain_s: f64) {
        py.detach(|| self.0.stop(duration_from_s(drain_s)));
    }

    /// Wait for the end and return what the run was.
    fn finish(&self, py: Python<'_>) -> PyResult<Outcome> {
        py.detach(|| self.0.finish())
            .map(Outcome::from)
            .map_err(|RunError(message)| PyRuntimeError::new_err(message))
    }
}

/// Answers every request with the same bytes, on a port of 127.0.0.1.
#[pyclass(module = "servemark._loadgen", frozen)]
struct Responder {
    #[pyo3(get)]
    port: u16,
    responder: Mutex<responder::Responder>,
}

#[pymethods]
impl Responder {
    /// Listen and answer, until `stop`.
    #[new]
    fn new() -> PyResult<Self> {
        let responder = responder::Responder::start()?;
        Ok(Self {
            port: responder.port(),
            responder: Mutex::new(responder),
        })
    }

    /// Close its sockets and end its thread.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let stopped = py.detach(|| {
            let mut responder = self.responder.lock().unwrap_or_else(PoisonError::into_inner);
            responder.stop()
        });
        Ok(stopped?)
    }

    fn __enter__(own: PyRef<'_, Self>) -> PyRef<'_, Self> {
        own
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.stop(py)
    }
}

/// A snapshot of a run.
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct Progress {
    elapsed_ns: i64,
    scheduled: u64,
    succeeded: u64,
    failed: u64,
    in_flight: u64,
    measured_succeeded: u64,
}

/// The first failure of its kind (and status, and step).
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct ErrorExample {
    kind: &'static str,
    status: u16,
    step: u16,
    seq: u64,
    at_ns: i64,
    message: String,
    body: Cow<'static, [u8]>,
}

/// The times between the events of a step's streamed responses.
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct EventGaps {
    step: u16,
    histogram: Cow<'static, [u8]>,
}

/// What several histograms show together.
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct HistogramStatistics {
    count: u64,
    mean: f64,
    max: u64,
    quantiles: Vec<u64>,
}

/// The statistics of the sum of histograms in V2-deflate bytes.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 makes owned values of a list")]
fn histogram_statistics(
    histograms: Vec<PyBackedBytes>,
    quantiles: Vec<f64>,
) -> PyResult<HistogramStatistics> {
    let histograms: Vec<&[u8]> = histograms.iter().map(|bytes| &**bytes).collect();
    let found = histogram::statistics(&histograms, &quantiles).map_err(PyValueError::new_err)?;
    Ok(HistogramStatistics {
        count: found.count,
        mean: found.mean,
        max: found.max,
        quantiles: found.quantiles,
    })
}

/// What a finished run was.
#[pyclass(module = "servemark._loadgen", frozen)]
struct Outcome {
    #[pyo3(get)]
    records: u64,
    #[pyo3(get)]
    started_unix_ns: i64,
    #[pyo3(get)]
    scheduling_ended_ns: i64,
    #[pyo3(get)]
    interrupted: bool,
    #[pyo3(get)]
    generator_cpu_ns: i64,
    #[pyo3(get)]
    realtime: String,
    #[pyo3(get)]
    receive_clock: String,
    #[pyo3(get)]
    clock_steps: u64,
    #[pyo3(get)]
    paused_ns: Vec<i64>,
    #[pyo3(get)]
    pauses_ns: Vec<Vec<(i64, i64)>>,
    #[pyo3(get)]
    keep_awake: String,
    #[pyo3(get)]
    spun_cpu_ns: i64,
    #[pyo3(get)]
    run_queue_delay_ns: i64,
    #[pyo3(get)]
    run_queue_waits: u64,
    #[pyo3(get)]
    sent: u64,
    #[pyo3(get)]
    in_flight_ns: u64,
    #[pyo3(get)]
    receive_lag_ns: u64,
    #[pyo3(get)]
    reduced_connections: u32,
    #[pyo3(get)]
    write_error: Option<String>,
    examples: Vec<servemark_loadgen::example::Example>,
    event_gaps: Vec<(u16, Vec<u8>)>,
}

#[pymethods]
impl Outcome {
    /// The first failure of each step, kind and status, the earliest first.
    #[getter]
    fn examples(&self) -> Vec<ErrorExample> {
        let examples = self.examples.iter().cloned();
        examples
            .map(|example| ErrorExample {
                kind: example.kind.name(),
                status: example.status,
                step: example.step,
                seq: example.seq,
                at_ns: example.at_ns,
                message: example.message,
                body: example.body.into(),
            })
            .collect()
    }

    /// The times between the events of streamed responses, of each step that had some.
    #[getter]
    fn event_gaps(&self) -> Vec<EventGaps> {
        let gaps = self.event_gaps.iter().cloned();
        gaps.map(|(step, histogram)| EventGaps {
            step,
            histogram: histogram.into(),
        })
        .collect()
    }
}

impl From<run::Outcome> for Outcome {
    fn from(outcome: run::Outcome) -> Self {
        Self {
            records: outcome.records,
            started_unix_ns: outcome.started_unix_ns,
            scheduling_ended_ns: outcome.scheduling_ended_ns,
            interrupted: outcome.is_interrupted,
            generator_cpu_ns: outcome.generator_cpu_ns,
            realtime: outcome.realtime,
            receive_clock: outcome.receive_clock,
            clock_steps: outcome.clock_steps,
            paused_ns: outcome.paused_ns,
            pauses_ns: outcome.pauses_ns,
            keep_awake: outcome.keep_awake,
            spun_cpu_ns: outcome.spun_cpu_ns,
            run_queue_delay_ns: outcome.run_queue_delay_ns,
            run_queue_waits: outcome.run_queue_waits,
            sent: outcome.sent,
            in_flight_ns: outcome.in_flight_ns,
            receive_lag_ns: outcome.receive_lag_ns,
            reduced_connections: outcome.reduced_connections,
            write_error: outcome.write_error,
            examples: outcome.examples,
            event_gaps: outcome.event_gaps,
        }
    }
}
