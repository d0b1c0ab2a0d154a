//! `servemark._loadgen`: the Python side of the load generator. It converts, calls, and nothing else.
//!
//! The interface, with its documentation for users, is `src/servemark/_loadgen.pyi`.

mod plan;

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use servemark_loadgen::error::{Kind, RunError, StartError};
use servemark_loadgen::record::{COLUMNS, ROW_BYTES, flags};
use servemark_loadgen::run::{self, duration_from_s};

/// The native load generator. A thin binding: it converts, calls, and nothing else.
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
    module.add_class::<Outcome>()?;
    module.add_class::<Run>()?;
    module.add_function(wrap_pyfunction!(start, module)?)
}

/// Open connections, wait for the start barrier, and start sending.
#[pyfunction]
fn start(py: Python<'_>, plan: plan::EnginePlan, record_path: PathBuf) -> PyResult<Run> {
    let plan = plan.into_plan()?;
    let started = py.detach(move || run::Run::start(plan, &record_path));
    match started {
        Ok(run) => Ok(Run(Arc::new(run))),
        Err(StartError::Plan(error)) => Err(PyValueError::new_err(error.to_string())),
        Err(StartError::Io(error)) => Err(error.into()),
    }
}

/// A run in progress.
#[pyclass(module = "servemark._loadgen", frozen)]
struct Run(Arc<run::Run>);

#[pymethods]
impl Run {
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
    body: std::borrow::Cow<'static, [u8]>,
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
    write_error: Option<String>,
    examples: Vec<servemark_loadgen::example::Example>,
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
}

impl From<run::Outcome> for Outcome {
    fn from(outcome: run::Outcome) -> Self {
        Self {
            records: outcome.records,
            started_unix_ns: outcome.started_unix_ns,
            scheduling_ended_ns: outcome.scheduling_ended_ns,
            interrupted: outcome.is_interrupted,
            generator_cpu_ns: outcome.generator_cpu_ns,
            write_error: outcome.write_error,
            examples: outcome.examples,
        }
    }
}
