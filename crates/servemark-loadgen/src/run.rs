//! A run: its end, and what is known of it meanwhile and afterwards.

mod room;
mod threads;

use std::any::Any;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::beside::keep_awake::{Busyness, KeepAwake};
use crate::clock::{NS_PER_MS, NS_PER_S, monotonic_ns};
use crate::control::{AT_ONCE_NS, Control, Counters};
use crate::driver::Tally;
use crate::error::{BeginError, RunError, StartError};
use crate::example::Example;
use crate::expect::FirstBody;
use crate::plan::{Plan, Step};
use crate::realtime::{self, Realtime};
use crate::receive_clock::{ReceiveClock, ReceiveClockGot, Stamping};
use crate::start::{Start, StartBarrier};
use crate::table::{Header, Table};
use crate::tls::TlsSetup;
use crate::writer::Writer;

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
    /// Records of kind ok that were scheduled after the warm-up, of the headline's steps.
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
    /// What became of real-time priority, e.g. "rr 1" or "dropped after 3.2 s"; empty when it was not asked for.
    pub realtime: String,
    /// Whose time of arrival responses have: "kernel", "user", or why the kernel's could not be had.
    pub receive_clock: String,
    /// How often the wall clock was set meanwhile: responses since then have the time of their reading for a while.
    pub clock_steps: u64,
    /// For how long the thread that rested most did not come back to its work although it had to, together.
    pub paused_ns: i64,
    /// The longest of these times, of any thread.
    pub longest_pause_ns: i64,
    /// When that one had ended.
    pub longest_pause_at_ns: i64,
    /// What became of keeping CPUs awake, e.g. "2 CPUs" or "refused: ..."; empty when it was not asked for.
    pub keep_awake: String,
    /// CPU time that was spun away to keep them awake; in nobody else's.
    pub spun_cpu_ns: i64,
    /// For how long generator threads could have run and did not, in the same time; 0 where the system does not tell.
    pub run_queue_delay_ns: i64,
    /// How often they began to run; 0 where the system does not tell.
    pub run_queue_waits: u64,
    /// Requests that began to be written.
    pub sent: u64,
    /// Requests under way (from the first byte written to their end) by the drivers' own count, summed from the end of the
    /// warm-up to `scheduling_ended_ns`: request-nanoseconds. A stop that takes effect at once is seen microseconds late.
    pub in_flight_ns: u64,
    /// For how long responses that were ready waited for their thread while it did others' work, together.
    pub receive_lag_ns: u64,
    /// Connections to one address that an open loop could have at most, for lack of descriptors; 0 when it lacked none.
    pub reduced_connections: u32,
    /// The first failure of each step, kind and status, the earliest first.
    pub examples: Vec<Example>,
    /// The times between events of streamed responses: for each step that had some, its index and the V2-deflate bytes of
    /// an HDR histogram of nanoseconds. Of requests that were scheduled after the warm-up.
    pub event_gaps: Vec<(u16, Vec<u8>)>,
    /// Why records could not be written.
    pub write_error: Option<String>,
}

/// For so long a machine has to be busy before its CPUs are let sleep.
const BUSY_FOR: Duration = Duration::from_millis(200);

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
    /// By step, then by input.
    first_bodies: Vec<Vec<FirstBody>>,
    /// Connections to one address that descriptors allow an open loop.
    most_open: u32,
    control: Arc<Control>,
    counters: Vec<Counters>,
    barrier: StartBarrier,
    awake: Mutex<Awake>,
    stamping: Option<Stamping>,
    receive_clock_got: ReceiveClockGot,
    life: Mutex<Life>,
    ended: Condvar,
}

#[derive(Debug)]
struct Life {
    running: u32,
    ended_ns: i64,
    was_stopped: bool,
}

/// The CPUs that are kept awake, and what is told of it.
#[derive(Debug, Default)]
struct Awake {
    spinning: Option<KeepAwake>,
    got: String,
    spun_ns: i64,
}

impl Awake {
    /// Let the CPUs sleep, if they are still kept awake.
    fn end(&mut self) -> bool {
        let Some(spinning) = self.spinning.take() else {
            return false;
        };
        self.spun_ns = spinning.spun_ns();
        true
    }
}

impl Run {
    /// Check `plan`, create the record file (and beside it, if the plan has events recorded, one with the extension
    /// `events.bin`), and start the threads: they open connections, wait for each other and send.
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
        let stamping = stamping(&plan)?;
        let most_open = room::make_room(&plan)?;
        let header = Header {
            table: Table::Records,
            steps: plan.steps.iter().map(|step| step.name.clone()).collect(),
            started_unix_ns: 0,
            warmup_ns: plan.warmup_ns,
        };
        let events = if plan.record_events {
            let table = Table::Events;
            let file = File::create(record_path.with_extension("events.bin"))?;
            Some((
                file,
                Header {
                    table,
                    ..header.clone()
                },
            ))
        } else {
            None
        };
        let (writer, handle) = Writer::new((File::create(record_path)?, header), events)?;
        let shared = Arc::new(Shared::new(plan, tls, most_open, stamping, start)?);
        shared.keep_awake();
        if shared.plan.awake_gives_way && shared.is_kept_awake() {
            let watched = Arc::clone(&shared);
            thread::Builder::new()
                .name("keep-awake".into())
                .spawn(move || watched.let_sleep_when_busy())?;
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
            None => Ok(self.outcome_of(total, write_error)),
        }
    }

    fn outcome_of(&self, total: Tally, write_error: Option<String>) -> Outcome {
        let natural_end_ns = total.over_ns.unwrap_or(total.last_end_ns);
        let natural_end_ns = natural_end_ns.min(self.shared.plan.longest_ns());
        let stop_at_ns = self.shared.control.stop_at_ns();
        let was_stopped = self.shared.lock_life().was_stopped;
        let origin = self.shared.barrier.origin();
        let awake = self.shared.lock_awake();
        Outcome {
            records: total.records,
            started_unix_ns: origin.map_or(0, |origin| origin.unix_ns),
            scheduling_ended_ns: natural_end_ns.min(stop_at_ns).max(0),
            is_interrupted: total.has_cancelled || (was_stopped && natural_end_ns >= stop_at_ns),
            generator_cpu_ns: total.cpu_ns,
            realtime: total.realtime.to_string(),
            receive_clock: self.shared.receive_clock_got.to_string(),
            clock_steps: total.clock_steps,
            paused_ns: total.pauses.total_ns,
            longest_pause_ns: total.pauses.longest_ns,
            longest_pause_at_ns: total.pauses.longest_at_ns,
            keep_awake: awake.got.clone(),
            spun_cpu_ns: awake.spun_ns,
            run_queue_delay_ns: total.run_queue.delay_ns,
            run_queue_waits: total.run_queue.waits,
            sent: total.sent,
            in_flight_ns: total.in_flight_ns,
            receive_lag_ns: total.receive_lag_ns,
            reduced_connections: if total.lacked_descriptors {
                u32::try_from(total.most_connections).unwrap_or(u32::MAX)
            } else {
                self.shared.reduced_connections()
            },
            examples: total.examples.into_sorted(),
            event_gaps: total.event_gaps.into_bytes(),
            write_error,
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.shared.end_at_once();
        let _ = self.finish();
    }
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.last_end_ns = self.last_end_ns.max(other.last_end_ns);
        self.over_ns = self.over_ns.max(other.over_ns);
        self.has_cancelled |= other.has_cancelled;
        self.most_connections += other.most_connections;
        self.lacked_descriptors |= other.lacked_descriptors;
        self.cpu_ns += other.cpu_ns;
        self.realtime = std::mem::take(&mut self.realtime).with(other.realtime);
        self.run_queue.delay_ns += other.run_queue.delay_ns;
        self.run_queue.waits += other.run_queue.waits;
        self.sent += other.sent;
        self.in_flight_ns += other.in_flight_ns;
        self.receive_lag_ns += other.receive_lag_ns;
        self.clock_steps = self.clock_steps.max(other.clock_steps);
        self.pauses = self.pauses.with(other.pauses);
        self.examples.merge(other.examples);
        self.event_gaps.merge(other.event_gaps);
    }
}

/// Begin to have the kernel's time of arrival, and tell what became of it.
fn stamping(plan: &Plan) -> Result<(Option<Stamping>, ReceiveClockGot), StartError> {
    let asked = plan.receive_clock;
    if asked == ReceiveClock::User {
        return Ok((None, ReceiveClockGot::User));
    }
    let has_unix = plan.addresses.iter().any(|address| address.unix.is_some());
    let begun = if has_unix {
        Err(io::Error::other("a Unix socket has no time of arrival"))
    } else {
        Stamping::begin()
    };
    match begun {
        Ok(stamping) => Ok((Some(stamping), ReceiveClockGot::Kernel)),
        Err(error) if asked == ReceiveClock::Auto => Ok((None, ReceiveClockGot::Refused(error.to_string()))),
        Err(error) => Err(StartError::ReceiveClock(error)),
    }
}

impl Shared {
    fn new(
        plan: Plan,
        tls: Vec<Option<TlsSetup>>,
        most_open: u32,
        (stamping, receive_clock_got): (Option<Stamping>, ReceiveClockGot),
        start: Start,
    ) -> io::Result<Self> {
        let control = Control::new(plan.threads, plan.foreground(), plan.has_background())?;
        Ok(Self {
            control: Arc::new(control),
            stamping,
            receive_clock_got,
            most_open,
            counters: (0..plan.threads).map(|_| Counters::default()).collect(),
            barrier: StartBarrier::new(plan.threads, start),
            life: Mutex::new(Life {
                running: plan.threads,
                ended_ns: 0,
                was_stopped: false,
            }),
            ended: Condvar::new(),
            first_bodies: plan.steps.iter().map(Step::first_bodies).collect(),
            awake: Mutex::default(),
            tls,
            plan,
        })
    }

    /// End without another request, whether or not it has begun.
    fn end_at_once(&self) {
        self.control.stop_at(AT_ONCE_NS);
        self.control.cancel_at(AT_ONCE_NS);
        self.barrier.release();
    }

    fn reduced_connections(&self) -> u32 {
        let wanted = self.plan.open_connections().into_iter().max().unwrap_or(0);
        if wanted > self.most_open {
            self.most_open
        } else {
            0
        }
    }

    /// Keep the CPUs awake, if the plan says so, from now until [`let_sleep`](Self::let_sleep).
    fn keep_awake(&self) {
        let Some(command) = &self.plan.keep_awake else {
            return;
        };
        let mut awake = self.lock_awake();
        match KeepAwake::start(command) {
            Ok(spinning) => {
                let cpus = spinning.cpus();
                awake.got = format!("{cpus} CPU{}", if cpus == 1 { "" } else { "s" });
                awake.spinning = Some(spinning);
            }
            Err(error) => awake.got = format!("refused: {error}"),
        }
    }

    fn is_kept_awake(&self) -> bool {
        self.lock_awake().spinning.is_some()
    }

    /// Watch the machine, until the CPUs are let sleep: because it is busy by itself, or by others.
    fn let_sleep_when_busy(&self) {
        let mut before = Busyness::now();
        while self.is_kept_awake() {
            thread::sleep(BUSY_FOR);
            let now = Busyness::now();
            if let (Some(before), Some(now)) = (before, now) {
                let mut awake = self.lock_awake();
                if now.is_too_busy_since(before) && awake.end() {
                    let at_s = self.elapsed_ns().max(0) as f64 / NS_PER_S as f64;
                    awake.got = format!(
                        "{} until {at_s:.1} s, when the machine was busy by itself",
                        awake.got
                    );
                }
            }
            before = now;
        }
    }

    fn let_sleep(&self) {
        self.lock_awake().end();
    }

    fn lock_awake(&self) -> MutexGuard<'_, Awake> {
        self.awake.lock().unwrap_or_else(PoisonError::into_inner)
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
