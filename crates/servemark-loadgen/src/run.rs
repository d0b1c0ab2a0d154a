//! A run: its end, and what is known of it meanwhile and afterwards.

mod awake;
mod outcome;
mod room;
mod shared;
mod threads;

use std::any::Any;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::clock::{NS_PER_MS, NS_PER_S};
use crate::driver::Tally;
use crate::error::{BeginError, RunError, StartError};
use crate::plan::Plan;
use crate::realtime::{self, Realtime};
use crate::start::Start;
use crate::table::{Header, Table};
use crate::tls::TlsSetup;
use crate::writer::Writer;

pub use outcome::{Outcome, Progress};
use shared::{Life, Shared};

/// A run in progress. Dropping it ends it at once.
#[derive(Debug)]
pub struct Run {
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
    outcome: Mutex<Option<Result<Outcome, RunError>>>,
}

#[derive(Debug)]
struct Threads {
    generators: Vec<JoinHandle<io::Result<Tally>>>,
    writer: JoinHandle<Option<String>>,
}

impl Run {
    /// Check `plan`, create the record file (and beside it, if the plan has events recorded, one with the extension
    /// `events.bin`, and where a step keeps bodies one with `bodies.bin`), and start the threads: they open connections, wait for each other and send.
    pub fn start(plan: Plan, record_path: &Path) -> Result<Self, StartError> {
        Self::launch(plan, record_path, Start::WhenReady)
    }

    /// The same, but the threads send nothing before [`begin_at`](Self::begin_at) has said when: several generators
    /// begin as one.
    pub fn arm(plan: Plan, record_path: &Path) -> Result<Self, StartError> {
        Self::launch(plan, record_path, Start::WhenTold)
    }

    fn launch(plan: Plan, record_path: &Path, start: Start) -> Result<Self, StartError> {
        plan.validate()?;
        let tls = plan
            .addresses
            .iter()
            .map(|address| address.tls.as_ref().map(TlsSetup::new).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        if plan.realtime == Realtime::On {
            realtime::is_permitted().map_err(StartError::Realtime)?;
        }
        let stamping = shared::stamping(&plan)?;
        let most_open = room::make_room(&plan)?;
        let header = Header {
            table: Table::Records,
            steps: plan.steps.iter().map(|step| step.name.clone()).collect(),
            started_unix_ns: 0,
            warmup_ns: plan.warmup_ns,
        };
        let beside = plan.tables_beside().into_iter().map(|table| {
            let file = File::create(record_path.with_extension(table.extension()))?;
            let header = header.clone();
            Ok((file, Header { table, ..header }))
        });
        let beside = beside.collect::<io::Result<_>>()?;
        let (writer, handle) = Writer::new((File::create(record_path)?, header), beside)?;
        let shared = Arc::new(Shared::new(plan, tls, most_open, stamping, start)?);
        shared.awake.start(shared.plan.keep_awake.as_deref());
        if shared.plan.awake_gives_way && shared.awake.is_on() {
            let watched = Arc::clone(&shared);
            thread::Builder::new()
                .name("keep-awake".into())
                .spawn(move || watched.awake.end_when_busy(|| watched.elapsed_ns()))?;
        }
        let threads = threads::spawn(&shared, writer, handle)?;
        Ok(Self {
            shared,
            threads: Mutex::new(Some(threads)),
            outcome: Mutex::new(None),
        })
    }

    /// Wait until every thread has opened its connections, at most `timeout`. Returns whether they have, or gave up.
    pub fn wait_ready(&self, timeout: Duration) -> bool {
        self.shared.barrier.wait_ready(timeout)
    }

    /// Have a run that is armed and ready begin at an instant of this machine's `CLOCK_MONOTONIC`, in nanoseconds.
    pub fn begin_at(&self, instant_ns: i64) -> Result<(), BeginError> {
        self.shared.barrier.begin_at(instant_ns)
    }

    /// Wait for the run to end, at most `timeout`. Returns whether it has; its records may still be on their way to the disk.
    pub fn wait(&self, timeout: Duration) -> bool {
        let is_running = |life: &mut Life| life.running > 0;
        let waited = self
            .shared
            .ended
            .wait_timeout_while(self.shared.lock_life(), timeout, is_running)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }

    /// Counts at some recent time.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let life = self.shared.lock_life();
        let mut progress = Progress {
            elapsed_ns: if life.running == 0 {
                life.ended_ns
            } else {
                self.shared.elapsed_ns().max(0)
            },
            ..Progress::default()
        };
        for counters in &self.shared.counters {
            progress.scheduled += counters.scheduled.value();
            progress.succeeded += counters.succeeded.value();
            progress.failed += counters.failed.value();
            progress.in_flight += counters.in_flight.value();
            progress.measured_succeeded += counters.measured_succeeded.value();
        }
        progress
    }

    /// Schedule nothing new from `elapsed_ns`, or from now if that is past. Returns the time that took effect.
    ///
    /// "Now" is a millisecond ahead, so that every thread knows before it comes: no record is scheduled later than the
    /// time returned.
    pub fn stop_at(&self, elapsed_ns: i64) -> i64 {
        let soon_ns = self.shared.elapsed_ns().max(0) + NS_PER_MS;
        self.shared.control.stop_at(elapsed_ns.max(soon_ns))
    }

    /// Schedule nothing new from now, and cut off what is in flight after `drain`.
    ///
    /// Before the origin, the run ends without a record.
    pub fn stop(&self, drain: Duration) {
        self.shared.lock_life().was_stopped = true;
        let control = &self.shared.control;
        let now_ns = self.shared.elapsed_ns();
        if now_ns < 0 {
            self.shared.end_at_once();
        } else {
            let drain_ns = i64::try_from(drain.as_nanos()).unwrap_or(i64::MAX);
            control.stop_at(now_ns);
            control.cancel_at(now_ns.saturating_add(drain_ns));
        }
    }

    /// Wait for the run to end and for its records to be written.
    pub fn finish(&self) -> Result<Outcome, RunError> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*outcome {
            return known.clone();
        }
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let joined = threads.map_or_else(
            || Err(RunError("the run has no threads".into())),
            |threads| self.join(threads),
        );
        outcome.insert(joined).clone()
    }

    fn join(&self, threads: Threads) -> Result<Outcome, RunError> {
        let mut total = Tally::default();
        let mut error = None;
        for generator in threads.generators {
            match generator.join() {
                Ok(Ok(tally)) => total.merge(tally),
                Ok(Err(failure)) => error = Some(format!("a generator thread failed: {failure}")),
                Err(panic) => error = Some(format!("a generator thread panicked: {}", words(&*panic))),
            }
        }
        let write_error = threads
            .writer
            .join()
            .unwrap_or_else(|panic| Some(format!("the writer panicked: {}", words(&*panic))));
        match error {
            Some(error) => Err(RunError(error)),
            None => Ok(Outcome::of(&self.shared, total, write_error)),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.shared.end_at_once();
        let _ = self.finish();
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// A duration of `seconds`, none for what is negative or not a number.
#[must_use]
pub fn duration_from_s(seconds: f64) -> Duration {
    let longest_s = (i64::MAX / NS_PER_S) as f64;
    Duration::try_from_secs_f64(seconds.min(longest_s)).unwrap_or(Duration::ZERO)
}
