//! The driver: the one work loop, for every load and every protocol.
//!
//! A turn: see what the outside asks, send what is due, give up what is late, wait for events, and move bytes. No
//! allocation and no lock per request. In the steady state a request costs two system calls, a read and a write: sockets
//! are registered once, edge-triggered; the next request is written as soon as the response is parsed; a read that
//! does not fill the buffer has drained the socket, unless a hang-up was flagged.
//!
//! It has two halves, which do not know each other: `connections` says what is ready and which events it means,
//! `requests` keeps what becomes of each. The driver lets the one do what the other says, asks the load, and is the only
//! one that reads a clock.

mod connections;
mod moment;
mod receiving;
mod requests;
mod sending;
mod telemetry;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;

use crate::clock::{Clock, NS_PER_MS, NS_PER_S, monotonic_ns, thread_cpu_ns};
use crate::control::{Control, Counters};
use crate::due::Arrival;
use crate::example::Examples;
use crate::expect::FirstBody;
use crate::histogram::EventGaps;
use crate::load::Load;
use crate::plan::Plan;
use crate::protocol::{Event, Protocol};
use crate::realtime::{Priority, PriorityState};
use crate::recorder::Recorder;
use crate::share::Share;
use crate::tls::TlsSetup;

use connections::{Connections, Task};
use moment::{Clocks, Moment};
use requests::Requests;
use telemetry::Pauses;
pub(crate) use telemetry::RunQueue;

/// What waking takes at best.
const SPIN_NS: i64 = 20_000;

/// The most requests that become due before events are looked at again.
const MAX_DUE_A_TURN: usize = 256;

/// The most connections with more to do that have another turn before events are looked at again: an answer to somebody
/// else waits for no more than these.
const MAX_CARRIED_A_TURN: usize = 8;

/// Connections being opened at once by all threads together, before the start: more would overrun a listen backlog.
const MAX_OPENING: usize = 256;

/// The longest wait: a thread that does not come back from it in time was kept from running.
const MAX_WAIT_NS: i64 = 100 * NS_PER_MS;
const WAKE_TOKEN: u64 = u64::MAX;

/// What a driver is given by its run.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'plan> {
    pub(crate) plan: &'plan Plan,
    /// Number of the generator thread.
    pub(crate) thread: u32,
    /// By address.
    pub(crate) tls: &'plan [Option<TlsSetup>],
    pub(crate) control: &'plan Control,
    pub(crate) counters: &'plan Counters,
    /// By step, then by input; shared by all threads.
    pub(crate) first_bodies: &'plan [Vec<FirstBody>],
    /// Whether the kernel stamps what it receives.
    pub(crate) has_stamps: bool,
}

/// What a driver did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) last_end_ns: i64,
    /// When scheduling was over, by the load.
    pub(crate) over_ns: Option<i64>,
    pub(crate) has_cancelled: bool,
    /// Connections to one address that the thread's part of an open loop could have at most.
    pub(crate) most_connections: usize,
    /// That was for lack of descriptors.
    pub(crate) lacked_descriptors: bool,
    /// What became of real-time priority.
    pub(crate) realtime: PriorityState,
    /// User and system time of the thread since the start barrier.
    pub(crate) cpu_ns: i64,
    /// Of the thread since the start barrier.
    pub(crate) run_queue: RunQueue,
    /// Requests that began to be written.
    pub(crate) sent: u64,
    /// Requests under way, summed from the end of the warm-up to the end of scheduling.
    pub(crate) in_flight_ns: u64,
    /// For how long responses waited for the thread while it did others' work, together.
    pub(crate) receive_lag_ns: u64,
    /// How often the wall clock was set.
    pub(crate) clock_steps: u64,
    /// Times in which the thread did not run although it had to.
    pub(crate) pauses: Pauses,
    pub(crate) examples: Examples,
    pub(crate) event_gaps: EventGaps,
}

/// What a request is told of the connection that it is started on.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Key of the connection.
    connection: usize,
    connection_number: u32,
    /// For the connection's first request; else 0.
    connect_us: u32,
    tls_us: u32,
    /// Since when the connection could have carried it.
    free_since_ns: i64,
}

/// The numbers of one thread: every n-th, where n threads have all of them together.
#[derive(Clone, Copy, Debug)]
struct EveryNth {
    next: u64,
    step: u64,
}

impl EveryNth {
    fn of(share: Share) -> Self {
        Self {
            next: share.index.into(),
            step: share.of.into(),
        }
    }

    fn take(&mut self) -> u64 {
        let taken = self.next;
        self.next += self.step;
        taken
    }
}

pub(crate) struct Driver<'plan, L, P: Protocol<'plan>> {
    plan: &'plan Plan,
    control: &'plan Control,
    load: L,
    connections: Connections<'plan, P>,
    requests: Requests<'plan>,
    clocks: Clocks,
    /// Requests that are due, and were not begun within the event that brought them.
    due: VecDeque<Arrival>,
    /// Events of the protocol that is being driven.
    events: Vec<Event>,
    is_started: bool,
    /// For how long before an arrival is due the thread no longer sleeps.
    spin_ns: i64,
    /// How many connections may be being opened at once, before the start.
    most_opening: usize,
    stop_at_ns: i64,
    /// When the last wait ended.
    woken_ns: i64,
    pauses: Pauses,
    priority: Priority,
}

impl<'plan, L: Load, P: Protocol<'plan>> Driver<'plan, L, P> {
    /// A driver of requests that are `prepared`, by step and input, with pools of as many connections as `load` may use at
    /// most.
    pub(crate) fn new(
        around: Surroundings<'plan>,
        prepared: &'plan [Vec<P::Prepared>],
        load: L,
        connection_limits: &[usize],
        recorder: Recorder,
    ) -> io::Result<Self> {
        let plan = around.plan;
        let numbers = EveryNth::of(plan.share_of(around.thread));
        Ok(Self {
            plan,
            control: around.control,
            load,
            connections: Connections::new(around, prepared, connection_limits, numbers)?,
            requests: Requests::new(around, recorder, numbers),
            clocks: Clocks::new(Clock::from_origin(monotonic_ns()), around.has_stamps),
            due: VecDeque::new(),
            events: Vec::new(),
            is_started: false,
            // An open loop's arrivals are waited for more exactly than sleeping can.
            spin_ns: if plan.is_open() { SPIN_NS } else { 0 },
            most_opening: (MAX_OPENING / plan.threads as usize).max(1),
            stop_at_ns: i64::MAX,
            woken_ns: 0,
            pauses: Pauses::of_a_thread(),
            priority: Priority::new(false, 0),
        })
    }

    /// Open connections, wait for `start` to give the origin, and work until nothing is left to do.
    pub(crate) fn run(mut self, wanted: &[usize], start: impl FnOnce() -> i64) -> io::Result<Tally> {
        self.open_before_start(wanted)?;
        self.clocks = self.clocks.counted_from(start());
        let (cpu_before_ns, queue_before) = (thread_cpu_ns(), RunQueue::of_this_thread());
        self.connections.begin_at_origin();
        self.is_started = true;
        // The start: pauses and the share of the CPU are counted from here.
        let mut moment = Moment::at(self.clocks.now_ns());
        self.woken_ns = moment.now_ns;
        self.priority = Priority::new(self.plan.asks_realtime(), moment.now_ns);
        self.observe_control(&mut moment);
        self.report_retired(moment.now_ns);
        while !self.is_done() {
            self.turn()?;
        }
        let (most_connections, lacked_descriptors) = self.connections.most_of_open_loops();
        Ok(Tally {
            over_ns: self.load.over_ns(),
            most_connections,
            lacked_descriptors,
            realtime: self.priority.state(),
            cpu_ns: thread_cpu_ns() - cpu_before_ns,
            run_queue: RunQueue::of_this_thread().since(queue_before),
            clock_steps: self.clocks.steps(),
            pauses: self.pauses,
            ..self.requests.into_tally()
        })
    }

    fn is_done(&self) -> bool {
        self.load.is_exhausted() && self.due.is_empty() && self.requests.is_empty()
    }

    /// Open `wanted` connections of each pool, as far as that is possible.
    ///
    /// A failure is not reported: the request that misses the connection opens one itself, and its record shows what
    /// happens. Ends when no connection could be opened for as long as the connect timeout.
    fn open_before_start(&mut self, wanted: &[usize]) -> io::Result<()> {
        let mut pools = wanted
            .iter()
            .enumerate()
            .flat_map(|(pool, &count)| std::iter::repeat_n(pool, count));
        let begun_ns = self.clocks.now_ns();
        loop {
            while self.connections.opening_count() < self.most_opening {
                let Some(pool) = pools.next() else {
                    break;
                };
                // When this one begins to be opened, which takes time.
                let mut moment = Moment::at(self.read_clock());
                let _ = self.open(pool, &mut moment);
            }
            // Whether patience is at an end, once all that the last wait brought was seen.
            let since_ns = self.connections.last_opened_ns().unwrap_or(begun_ns);
            let is_hopeless = self.woken_ns.saturating_sub(since_ns) > self.plan.connect_timeout_ns;
            if self.connections.opening_count() == 0 || is_hopeless || self.control.stop_at_ns() <= 0 {
                break;
            }
            self.turn()?;
        }
        self.connections.give_up_all_opening();
        Ok(())
    }

    /// Report who has done their work; the last of them ends what goes on in the background.
    fn report_retired(&mut self, now_ns: i64) {
        self.control.retire(self.load.take_retired(), now_ns);
    }

    /// One turn of the loop.
    fn turn(&mut self) -> io::Result<()> {
        // What is due, and what is late, after all that the last turn did.
        let mut moment = Moment::at(self.read_clock());
        if self.connections.events() == 0 {
            self.connections.note_quiet(moment.now_ns);
        }
        if self.is_started {
            self.observe_control(&mut moment);
            self.begin_due(&mut moment);
            self.requests.flush_if_due(moment.now_ns);
            self.priority.observe(moment.now_ns);
        }
        self.give_up_late(&mut moment);
        let timeout_ns = self.wait_ns();
        self.connections.wait(timeout_ns)?;
        let mut moment = self.wake(timeout_ns);
        for index in 0..self.connections.events() {
            self.begin_if_due(&mut moment);
            match self.connections.task(index) {
                None => {}
                Some(Task::Open(id)) => self.go_on_opening(id, &mut moment),
                Some(Task::Move {
                    id,
                    writable,
                    readable,
                }) => {
                    if writable {
                        self.write_more(id, &mut moment);
                    }
                    if readable && self.connections.is_live(id) {
                        self.read(id, &mut moment);
                    }
                }
            }
        }
        self.carry_on(&mut moment);
        Ok(())
    }

    /// A wait of at most `asked_ns` has ended. Returns when: that is when its events were reported.
    fn wake(&mut self, asked_ns: i64) -> Moment {
        let before_ns = self.woken_ns;
        self.woken_ns = self.read_clock();
        if let Some(fault) = self.plan.fault {
            self.clocks.shift(fault.clock_shift_ns(self.woken_ns));
        }
        if self.is_started {
            self.pauses.note(before_ns, self.woken_ns, asked_ns);
        }
        Moment::woken(self.woken_ns, self.connections.events())
    }

    /// Read the clock. Whatever has passed since the last reading, a request may have been written in it.
    fn read_clock(&mut self) -> i64 {
        let now_ns = self.clocks.now_ns();
        self.requests.note_clock(now_ns);
        now_ns
    }

    /// How long to wait for events: until something else is to be done, or not at all when no event can come.
    fn wait_ns(&mut self) -> i64 {
        let is_idle = if self.is_started {
            self.is_done()
        } else {
            self.connections.opening_count() == 0
        };
        if is_idle || !self.due.is_empty() || self.connections.carried_count() > 0 {
            return 0;
        }
        let mut next_ns = self
            .requests
            .next_deadline_ns()
            .min(self.connections.next_deadline_ns());
        if self.is_started {
            next_ns = next_ns
                .min(self.load.next_due_ns().saturating_sub(self.spin_ns))
                .min(self.requests.next_flush_ns())
                .min(self.control.cancel_at_ns());
        }
        // What was begun since the turn began took time that is not waited for again.
        let now_ns = self.read_clock();
        next_ns.saturating_sub(now_ns).min(MAX_WAIT_NS)
    }

    /// Do what was asked from outside.
    fn observe_control(&mut self, moment: &mut Moment) {
        self.observe_stop();
        if self.control.cancel_at_ns() <= moment.now_ns {
            self.cancel_all(moment);
        }
    }

    fn observe_stop(&mut self) {
        let stop_at_ns = self.control.stop_at_ns();
        if stop_at_ns != self.stop_at_ns {
            self.stop_at_ns = stop_at_ns;
            self.load.end_scheduling(stop_at_ns);
        }
    }

    /// Begin what is due: first what events brought, then what time brings.
    fn begin_due(&mut self, moment: &mut Moment) {
        for _ in 0..self.due.len() {
            if let Some(arrival) = self.due.pop_front() {
                self.begin(arrival, moment);
            }
        }
        for _ in 0..MAX_DUE_A_TURN {
            // The thread may have rested in between, for longer than a stop is told ahead.
            self.observe_stop();
            let Some(arrival) = self.load.take_due(moment.now_ns) else {
                break;
            };
            if !self.plan.fault.is_some_and(|fault| fault.skips(&arrival)) {
                self.begin(arrival, moment);
            }
        }
    }

    /// Between one connection's turn and the next: what is due waits for neither events nor large bodies.
    fn begin_if_due(&mut self, moment: &mut Moment) {
        if self.is_started && (!self.due.is_empty() || self.load.next_due_ns() <= moment.now_ns) {
            self.begin_due(moment);
        }
    }

    /// Give up connections that take too long to open, and requests that take too long.
    fn give_up_late(&mut self, moment: &mut Moment) {
        while let Some((id, failure)) = self.connections.take_late(moment.now_ns) {
            self.time_out_opening(id, failure, moment);
        }
        while let Some((id, seq)) = self.requests.take_late(moment.now_ns) {
            self.time_out(id, seq, moment);
        }
    }

    /// Give connections that had more to do another turn.
    fn carry_on(&mut self, moment: &mut Moment) {
        for _ in 0..self.connections.carried_count().min(MAX_CARRIED_A_TURN) {
            self.begin_if_due(moment);
            if let Some((id, carried)) = self.connections.take_carried() {
                self.take_turn(id, carried, moment);
            }
        }
    }
}

fn seconds(time_ns: i64) -> f64 {
    time_ns as f64 / NS_PER_S as f64
}
