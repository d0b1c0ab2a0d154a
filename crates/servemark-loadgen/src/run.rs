//! A run: its end, and what is known of it meanwhile and afterwards.

mod threads;

use std::any::Any;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock::{NS_PER_MS, NS_PER_S, monotonic_ns};
use crate::control::{AT_ONCE_NS, Control, Counters};
use crate::driver::Tally;
use crate::error::{RunError, StartError};
use crate::example::Example;
use crate::plan::Plan;
use crate::record::Header;
use crate::recorder::Writer;
use crate::start::StartBarrier;
use crate::tls::TlsSetup;

/// A snapshot of a run; counts are over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Since the origin; 0 before it. After the end, its time.
    pub elapsed_ns: i64,
    /// Requests that became due.
    pub scheduled: u64,
    /// Records of kind ok.
    pub succeeded: u64,
    /// Records of other kinds.
    pub failed: u64,
    /// Requests without a record yet.
    pub in_flight: u64,
    /// Records of kind ok that were scheduled after the warm-up.
    pub measured_succeeded: u64,
}

/// What a finished run was.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many records there are.
    pub records: u64,
    /// Wall-clock time of the origin; 0 if the run never came to it.
    pub started_unix_ns: i64,
    /// The duration, the time of a stop, or, when all loops were done before, the last `end`.
    pub scheduling_ended_ns: i64,
    /// A stop cut requests off.
    pub is_interrupted: bool,
    /// User and system time of the generator threads between the start barrier and their last record.
    pub generator_cpu_ns: i64,
    /// The first failure of each step, kind and status, the earliest first.
    pub examples: Vec<Example>,
    /// Why records could not be written.
    pub write_error: Option<String>,
}

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

/// What the threads of a run share.
#[derive(Debug)]
struct Shared {
    plan: Plan,
    tls: Vec<Option<TlsSetup>>,
    control: Arc<Control>,
    counters: Vec<Counters>,
    barrier: StartBarrier,
    life: Mutex<Life>,
    ended: Condvar,
}

#[derive(Debug)]
struct Life {
    running: u32,
    ended_ns: i64,
    was_stopped: bool,
}

impl Run {
    /// Check `plan`, create the record file, and start the threads: they open connections, wait for each other and send.
    pub fn start(plan: Plan, record_path: &Path) -> Result<Self, StartError> {
        plan.validate()?;
        let tls = plan
            .addresses
            .iter()
            .map(|address| address.tls.as_ref().map(TlsSetup::new).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        threads::allow_descriptors(&plan);
        let header = Header {
            steps: plan.steps.iter().map(|step| step.name.clone()).collect(),
            started_unix_ns: 0,
            warmup_ns: plan.warmup_ns,
        };
        let (writer, handle) = Writer::new(File::create(record_path)?, header)?;
        let shared = Arc::new(Shared::new(plan, tls)?);
        let threads = threads::spawn(&shared, writer, handle)?;
        Ok(Self {
            shared,
            threads: Mutex::new(Some(threads)),
            outcome: Mutex::new(None),
        })
    }

    /// Wait for the run to end, at most `timeout`. Returns whether it has; its records may still be on their way to the disk.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut life = self.shared.lock_life();
        while life.running > 0 {
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return false;
            }
            life = self
                .shared
                .ended
                .wait_timeout(life, left.min(Duration::from_secs(3600)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
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
            control.stop_at(AT_ONCE_NS);
            control.cancel_at(AT_ONCE_NS);
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
            None => Ok(self.outcome_of(total, write_error)),
        }
    }

    fn outcome_of(&self, total: Tally, write_error: Option<String>) -> Outcome {
        let natural_end_ns = total.cut_off_ns.unwrap_or(total.last_end_ns);
        let stop_at_ns = self.shared.control.stop_at_ns();
        let was_stopped = self.shared.lock_life().was_stopped;
        let origin = self.shared.barrier.origin();
        Outcome {
            records: total.records,
            started_unix_ns: origin.map_or(0, |origin| origin.unix_ns),
            scheduling_ended_ns: natural_end_ns.min(stop_at_ns).max(0),
            is_interrupted: total.has_cancelled || (was_stopped && natural_end_ns >= stop_at_ns),
            generator_cpu_ns: total.cpu_ns,
            examples: total.examples.into_sorted(),
            write_error,
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.shared.control.stop_at(AT_ONCE_NS);
        self.shared.control.cancel_at(AT_ONCE_NS);
        let _ = self.finish();
    }
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.last_end_ns = self.last_end_ns.max(other.last_end_ns);
        self.cut_off_ns = self.cut_off_ns.max(other.cut_off_ns);
        self.has_cancelled |= other.has_cancelled;
        self.cpu_ns += other.cpu_ns;
        self.examples.merge(other.examples);
    }
}

impl Shared {
    fn new(plan: Plan, tls: Vec<Option<TlsSetup>>) -> io::Result<Self> {
        let has_background = plan.groups.iter().any(|group| group.background);
        Ok(Self {
            control: Arc::new(Control::new(
                plan.threads,
                plan.foreground_users(),
                has_background,
            )?),
            counters: (0..plan.threads).map(|_| Counters::default()).collect(),
            barrier: StartBarrier::new(plan.threads),
            life: Mutex::new(Life {
                running: plan.threads,
                ended_ns: 0,
                was_stopped: false,
            }),
            ended: Condvar::new(),
            tls,
            plan,
        })
    }

    fn lock_life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the origin; negative before it.
    fn elapsed_ns(&self) -> i64 {
        self.barrier
            .origin()
            .map_or(-1, |origin| monotonic_ns() - origin.monotonic_ns)
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
