//! Passes over record files, for Python.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use servemark_records::arrivals::{self, Asked};
use servemark_records::in_flight::{self, in_flight};
use servemark_records::sample;
use servemark_records::table::Table;
use servemark_records::tally;
use servemark_records::timeline;

use crate::plan::EngineArrivals;

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Tally>()?;
    module.add_class::<TallyStep>()?;
    module.add_class::<TallyAnswers>()?;
    module.add_class::<TallySample>()?;
    module.add_class::<TallyStage>()?;
    module.add_class::<ArrivalAccount>()?;
    module.add_class::<Timeline>()?;
    module.add_class::<TimelineStep>()?;
    module.add_function(wrap_pyfunction!(span, module)?)?;
    module.add_function(wrap_pyfunction!(account_for_arrivals, module)?)
}

#[derive(FromPyObject)]
pub(crate) struct RecordFile {
    path: PathBuf,
    header_bytes: u64,
    row_bytes: usize,
    rows: u64,
    offsets: HashMap<String, usize>,
    flags: HashMap<String, u8>,
}

#[derive(FromPyObject)]
struct Window {
    start_ns: i64,
    end_ns: i64,
}

#[derive(FromPyObject)]
struct Question {
    places: Vec<usize>,
    window: Window,
    batches: usize,
    pause: Window,
    accounted: Window,
    stages: Vec<Window>,
    begins: Vec<bool>,
    ends: Vec<bool>,
    users: bool,
    limits: Vec<Vec<(String, i64)>>,
}

impl From<Window> for tally::Span {
    fn from(window: Window) -> Self {
        Self {
            start_ns: window.start_ns,
            end_ns: window.end_ns,
        }
    }
}

pub(crate) fn tables_of(files: Vec<RecordFile>) -> PyResult<Vec<Table>> {
    let tables = files.into_iter().map(|file| {
        Table::new(
            file.path,
            file.header_bytes,
            file.row_bytes,
            file.rows,
            &file.offsets,
            &file.flags,
        )
    });
    tables.collect::<Result<_, _>>().map_err(PyValueError::new_err)
}

pub(crate) fn said(error: io::Error) -> PyErr {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => PyOSError::new_err("it became shorter while it was read"),
        io::ErrorKind::InvalidData => PyOSError::new_err(error.to_string()),
        _ => error.into(),
    }
}

/// The first time at which anything was scheduled, and the last end.
#[pyfunction]
fn span(py: Python<'_>, files: Vec<RecordFile>) -> PyResult<(i64, i64)> {
    let tables = tables_of(files)?;
    let span = py.detach(|| tally::span(&tables)).map_err(said)?;
    Ok((span.start_ns, span.end_ns))
}

/// What records add up to.
#[pyclass(module = "servemark._loadgen", frozen)]
struct Tally(tally::Tally);

/// What one step name adds up to.
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct TallyStep {
    requests: u64,
    closed: u64,
    succeeded: u64,
    bytes_sent: u64,
    bytes_received: u64,
    errors: Vec<(u8, u16, u64)>,
    bytes_of_completed: u64,
    clock_read: u64,
    unsure_sent: u64,
    paused: u64,
    receive_lag_ns: i128,
    streamed: u64,
    events: u64,
    completed_streams: u64,
    batch_measured: Vec<u64>,
    batch_sums_ns: Vec<Vec<f64>>,
    batch_completed: Vec<u64>,
    batch_within: Option<Vec<u64>>,
    batch_events: Vec<u64>,
    batch_first: Vec<u64>,
    batch_first_sums_ns: Vec<f64>,
    answers: Py<TallyAnswers>,
    batch_tokens: Vec<u64>,
    batch_first_token: Vec<u64>,
    batch_first_token_sums_ns: Vec<f64>,
}

/// What the answers of one step name add up to.
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct TallyAnswers {
    count: u64,
    streamed: u64,
    contents: u64,
    usage: (u64, u64),
    counted: (u64, u64),
    both: (u64, u64),
    tokens_of_contents: (u64, u64),
    first_told: u64,
    finishes: Vec<u64>,
    asked: u64,
    short: Vec<u64>,
    unmarked: u64,
    unread: u64,
    cut: u64,
    empty: u64,
    whole: u64,
    uncounted: u64,
}

/// The moments of a sample.
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct TallySample {
    count: u64,
    sum: i128,
    squares: i128,
    min: i64,
    max: i64,
}

/// What one stage adds up to.
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct TallyStage {
    requests: u64,
    failed: u64,
    begun: u64,
    ended: u64,
}

#[pymethods]
impl Tally {
    #[new]
    fn new(py: Python<'_>, files: Vec<RecordFile>, question: Question) -> PyResult<Self> {
        let tables = tables_of(files)?;
        let question = tally::Question {
            places: question.places,
            window: question.window.into(),
            batches: question.batches.max(1),
            pause: question.pause.into(),
            accounted: question.accounted.into(),
            stages: question.stages.into_iter().map(Into::into).collect(),
            begins: question.begins,
            ends: question.ends,
            users: question.users,
            limits: limits_of(&question.limits)?,
        };
        let tally = py.detach(|| tally::Tally::new(tables, question));
        Ok(Self(tally.map_err(said)?))
    }

    #[getter]
    fn steps(&self, py: Python<'_>) -> PyResult<Vec<TallyStep>> {
        self.0.steps.iter().map(|step| TallyStep::of(py, step)).collect()
    }

    #[getter]
    fn samples(&self) -> Vec<TallySample> {
        self.0.samples.iter().map(TallySample::from).collect()
    }

    #[getter]
    fn stages(&self) -> Vec<TallyStage> {
        let stages = self.0.stages.iter().map(|stage| TallyStage {
            requests: stage.requests,
            failed: stage.failed,
            begun: stage.begun,
            ended: stage.ended,
        });
        stages.collect()
    }

    #[getter]
    fn begun(&self) -> (u64, i64, i64) {
        (self.0.begun.count, self.0.begun.first_ns, self.0.begun.last_ns)
    }

    #[getter]
    fn under_way(&self) -> (u64, i128, u64) {
        let under_way = self.0.under_way;
        (under_way.sent, under_way.in_flight_ns, under_way.completions)
    }

    #[getter]
    fn busy_ns(&self) -> (i64, i64) {
        (self.0.busy.start_ns, self.0.busy.end_ns)
    }

    /// The values of samples that have the given ranks, from 0.
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 makes owned values of a list")]
    fn order_statistics(
        &self,
        py: Python<'_>,
        wanted: Vec<(usize, Vec<u64>)>,
    ) -> PyResult<Vec<Vec<Option<i64>>>> {
        if wanted.iter().any(|(sample, _)| *sample >= self.0.samples.len()) {
            return Err(PyValueError::new_err("there is no such sample"));
        }
        py.detach(|| self.0.order_statistics(&wanted)).map_err(said)
    }

    /// Of samples, by number, how many values each batch has, and how many lie above each threshold.
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 makes owned values of a list")]
    fn above(&self, py: Python<'_>, wanted: Vec<(usize, Vec<i64>)>) -> PyResult<Vec<tally::Above>> {
        let is_wrong = |(sample, thresholds): &(usize, Vec<i64>)| {
            *sample >= self.0.samples.len() || !thresholds.is_sorted()
        };
        if wanted.iter().any(is_wrong) {
            return Err(PyValueError::new_err(
                "there is no such sample, or its thresholds do not rise",
            ));
        }
        py.detach(|| self.0.above(&wanted)).map_err(said)
    }

    /// How many values of each sample, by number, fall into which bin, which is told by its middle.
    fn binned(&self) -> Vec<tally::Binned> {
        self.0.binned()
    }

    /// The same of some samples, by number, and batch.
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 makes owned values of a list")]
    fn binned_by_batch(&self, py: Python<'_>, wanted: Vec<usize>) -> PyResult<Vec<tally::BinnedInBatch>> {
        if wanted.iter().any(|sample| *sample >= self.0.samples.len()) {
            return Err(PyValueError::new_err("there is no such sample"));
        }
        py.detach(|| self.0.binned_by_batch(&wanted)).map_err(said)
    }

    /// The fewest requests under way after a response of that time, and for how long places were taken.
    fn in_flight(
        &self,
        py: Python<'_>,
        start_ns: i64,
        stop_ns: i64,
        places: u64,
    ) -> PyResult<(Option<u64>, i128)> {
        let asked = in_flight::Asked {
            start_ns,
            stop_ns,
            places,
        };
        let found = py.detach(|| in_flight(self.0.tables(), &self.0.latest_ends, asked));
        found.map(|found| (found.least, found.taken_ns)).map_err(said)
    }
}

fn limits_of(of_steps: &[Vec<(String, i64)>]) -> PyResult<Vec<Vec<tally::Limit>>> {
    let limit = |(latency, below_ns): &(String, i64)| {
        tally::Limit::new(latency, *below_ns)
            .ok_or_else(|| PyValueError::new_err(format!("no record has a time called {latency}")))
    };
    let of_step = |limits: &Vec<(String, i64)>| limits.iter().map(limit).collect();
    of_steps.iter().map(of_step).collect()
}

impl From<tally::Answers> for TallyAnswers {
    fn from(answers: tally::Answers) -> Self {
        Self {
            count: answers.count,
            streamed: answers.streamed,
            contents: answers.contents,
            usage: answers.usage,
            counted: answers.counted,
            both: answers.both,
            tokens_of_contents: answers.tokens_of_contents,
            first_told: answers.first_told,
            finishes: answers.finishes.to_vec(),
            asked: answers.asked,
            short: answers.short.to_vec(),
            unmarked: answers.unmarked,
            unread: answers.unread,
            cut: answers.cut,
            empty: answers.empty,
            whole: answers.whole,
            uncounted: answers.uncounted,
        }
    }
}

impl TallyStep {
    fn of(py: Python<'_>, step: &tally::Step) -> PyResult<Self> {
        let as_floats = |sums: &Vec<i128>| sums.iter().map(|sum| *sum as f64).collect::<Vec<f64>>();
        Ok(Self {
            requests: step.requests,
            closed: step.closed,
            succeeded: step.succeeded,
            bytes_sent: step.bytes_sent,
            bytes_received: step.bytes_received,
            errors: step
                .errors
                .iter()
                .map(|((kind, status), count)| (*kind, *status, *count))
                .collect(),
            bytes_of_completed: step.bytes_of_completed,
            clock_read: step.clock_read,
            unsure_sent: step.unsure_sent,
            paused: step.paused,
            receive_lag_ns: step.receive_lag_ns,
            streamed: step.streamed,
            events: step.events,
            completed_streams: step.completed_streams,
            batch_measured: step.batch_measured.clone(),
            batch_sums_ns: step.batch_sums.iter().map(as_floats).collect(),
            batch_completed: step.batch_completed.clone(),
            batch_within: step.batch_within.clone(),
            batch_events: step.batch_events.clone(),
            batch_first: step.batch_first.clone(),
            batch_first_sums_ns: as_floats(&step.batch_first_sums),
            answers: Py::new(py, TallyAnswers::from(step.answers))?,
            batch_tokens: step.batch_tokens.clone(),
            batch_first_token: step.batch_first_token.clone(),
            batch_first_token_sums_ns: as_floats(&step.batch_first_token_sums),
        })
    }
}

impl From<&sample::Sample> for TallySample {
    fn from(sample: &sample::Sample) -> Self {
        Self {
            count: sample.count,
            sum: sample.sum,
            squares: sample.squares,
            min: sample.min,
            max: sample.max,
        }
    }
}

#[derive(FromPyObject)]
struct TimelineQuestion {
    places: Vec<usize>,
    whole: Window,
    bins: usize,
    window: Window,
}

/// What happened over time.
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct Timeline {
    width_ns: i64,
    under_way_ns: Vec<i64>,
    steps: Vec<Py<TimelineStep>>,
}

/// What happened to the requests of one step name.
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct TimelineStep {
    scheduled: Vec<u64>,
    succeeded: Vec<u64>,
    failed: Vec<(u8, u16, Vec<u64>)>,
    latencies: Vec<(u32, u32, u32)>,
    distribution: Vec<(u32, u64, [i64; 4])>,
}

#[pymethods]
impl Timeline {
    #[new]
    fn new(py: Python<'_>, files: Vec<RecordFile>, question: TimelineQuestion) -> PyResult<Self> {
        let tables = tables_of(files)?;
        let question = timeline::Question {
            places: question.places,
            whole: question.whole.into(),
            bins: question.bins.max(1),
            window: question.window.into(),
        };
        let found = py
            .detach(|| timeline::Timeline::new(&tables, &question))
            .map_err(said)?;
        let steps = found
            .steps
            .iter()
            .map(|step| Py::new(py, TimelineStep::from(step)));
        Ok(Self {
            width_ns: question.width_ns(),
            under_way_ns: found.under_way_ns,
            steps: steps.collect::<PyResult<_>>()?,
        })
    }
}

impl From<&timeline::Step> for TimelineStep {
    fn from(step: &timeline::Step) -> Self {
        let failed = step.failed.iter();
        let latencies = step.latencies.iter();
        let distribution = step.distribution.iter();
        let mut made = Self {
            scheduled: step.scheduled.clone(),
            succeeded: step.succeeded.clone(),
            failed: failed
                .map(|((kind, status), bins)| (*kind, *status, bins.clone()))
                .collect(),
            latencies: latencies
                .map(|((time, latency), count)| (*time, *latency, *count))
                .collect(),
            distribution: distribution
                .map(|(bin, slice)| (*bin, slice.count, slice.spent_ns))
                .collect(),
        };
        made.failed.sort_unstable();
        made.latencies.sort_unstable();
        made.distribution.sort_unstable();
        made
    }
}

/// The arrivals of one group, as the schedule and the records have them.
#[pyclass(module = "servemark._loadgen", frozen, get_all)]
struct ArrivalAccount {
    due: u64,
    due_of: Vec<u64>,
    made: u64,
    more: u64,
    wrong: u64,
    most_off_ns: i64,
}

/// Hold records against an arrival process.
#[pyfunction]
#[pyo3(signature = (files, arrivals, *, seed, group, first_step, repeats, ended_ns))]
#[expect(clippy::too_many_arguments, reason = "they have names in Python")]
fn account_for_arrivals(
    py: Python<'_>,
    files: Vec<RecordFile>,
    arrivals: EngineArrivals,
    seed: u64,
    group: u16,
    first_step: Option<u16>,
    repeats: bool,
    ended_ns: Vec<i64>,
) -> PyResult<ArrivalAccount> {
    if ended_ns.is_empty() {
        return Err(PyValueError::new_err("a schedule is some generator's"));
    }
    let (tables, arrivals) = (tables_of(files)?, arrivals.into_arrivals()?);
    arrivals
        .validate()
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let asked = Asked {
        group,
        first_step,
        repeats,
        ended_ns,
        seed,
    };
    let found = py
        .detach(|| arrivals::account(&tables, &arrivals, asked))
        .map_err(said)?;
    Ok(ArrivalAccount {
        due: found.due.iter().sum(),
        due_of: found.due,
        made: found.made,
        more: found.more,
        wrong: found.wrong,
        most_off_ns: found.most_off_ns,
    })
}
