//! The driver: the one work loop, for every load and every protocol.
//!
//! A turn: see what the outside asks, send what is due, give up what is late, wait for events, and move bytes. No
//! allocation and no lock per request. In the steady state a request costs two system calls, a read and a write: sockets
//! are registered once, edge-triggered; the next request is written as soon as the response is parsed; a read that
//! does not fill the buffer has drained the socket, unless a hang-up was flagged.

mod connections;
mod requests;
mod telemetry;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;

use slab::Slab;

use crate::body::Watch;
use crate::clock::{Clock, NS_PER_MS, NS_PER_S, monotonic_ns, thread_cpu_ns};
use crate::control::{AT_ONCE_NS, Control, Counters};
use crate::deadline::Deadlines;
use crate::due::Arrival;
use crate::error::{Failure, Kind};
use crate::example::Examples;
use crate::expect::{Expect, FirstBody};
use crate::histogram::EventGaps;
use crate::load::Load;
use crate::plan::Plan;
use crate::poller::{Events, Poller};
use crate::pool::Pool;
use crate::protocol::{Event, Protocol};
use crate::realtime::{Got, Priority};
use crate::receive_clock::StampClock;
use crate::recorder::Recorder;
use crate::request::{InFlight, RequestId};
use crate::share::Share;
use crate::source::Source;
use crate::tls::TlsSetup;

use connections::connection::{Connection, Stage};
pub(crate) use telemetry::RunQueue;
use telemetry::{Pauses, UnderWay};

/// The most bytes that one connection reads or writes before the others have their turn.
const TURN_BYTES: usize = 64 * 1024;

/// For how long before an arrival is due the thread no longer sleeps: what waking takes at best.
const SPIN_NS: i64 = 20_000;

/// The most requests that become due before events are looked at again.
const MAX_DUE_A_TURN: usize = 256;

/// The most connections with more to do that have another turn before events are looked at again: an answer to somebody
/// else waits for no more than these.
const MAX_CARRIED_A_TURN: usize = 8;

/// Connections being opened at once by all threads together, before the start: more would overrun a listen backlog.
const MAX_OPENING: usize = 256;

/// For how long after a wait without an event idle connections need not be looked at again before they are used.
const QUIET_NS: i64 = 50_000;
/// The longest wait: a thread that does not come back from it in time was kept from running.
const MAX_WAIT_NS: i64 = 100 * NS_PER_MS;
const WAKE_TOKEN: u64 = u64::MAX;

/// What a driver is given by its run.
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
    pub(crate) realtime: Got,
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

pub(crate) struct Driver<'plan, L, P> {
    around: Surroundings<'plan>,
    load: L,
    recorder: Recorder,
    poller: Poller,
    clock: Clock,
    /// The last reading of the clock.
    now_ns: i64,
    /// When the last wait ended.
    woken_ns: i64,
    /// Moves the kernel's times of arrival to the clock, where there are any.
    stamps: Option<StampClock>,
    /// The request that was written since the clock was last read.
    sending: Option<requests::Sending>,
    /// When the bytes that are being handled arrived, by the kernel; none where it does not tell, and outside of reading.
    arrived_ns: Option<i64>,
    /// When a wait that brought no event had just ended: whatever was idle then was alive.
    quiet_ns: i64,
    is_started: bool,
    /// An open loop is among the loads: its arrivals are waited for more exactly than sleeping can.
    is_paced: bool,
    priority: Priority,
    stop_at_ns: i64,
    last_opened_ns: i64,
    requests: Slab<InFlight<'plan>>,
    request_deadlines: Deadlines,
    connections: Slab<Connection<P>>,
    connect_deadlines: Deadlines,
    /// By address.
    sources: Vec<Source>,
    /// By address: first those of closed loops, then those of open ones.
    pools: Vec<Pool>,
    /// Requests that are due, and were not begun within the event that brought them.
    due: VecDeque<Arrival>,
    /// Connections with more to do than one turn allows: key and number.
    carried: VecDeque<(usize, u32)>,
    /// By step: this thread's own copy, so that no cache is shared.
    expects: Vec<Option<Expect>>,
    /// By step: what of the bodies is looked at.
    watches: Vec<Watch>,
    /// Events of the last wait.
    ready: Events,
    /// Events of the protocol that is being driven.
    events: Vec<Event>,
    buffer: Box<[u8]>,
    /// Whose numbers requests and connections have.
    share: Share,
    next_request: u64,
    next_connection: u32,
    under_way: UnderWay,
    tally: Tally,
}

impl<'plan, L: Load, P: Protocol<'plan>> Driver<'plan, L, P> {
    /// A driver with pools of as many connections as `load` may use at most.
    pub(crate) fn new(
        around: Surroundings<'plan>,
        load: L,
        connection_limits: &[usize],
        recorder: Recorder,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.watch_waker(around.control.waker(around.thread), WAKE_TOKEN)?;
        let pools = connection_limits.iter().copied().map(Pool::new);
        let clock = Clock::from_origin(monotonic_ns());
        let share = around.plan.share_of(around.thread);
        Ok(Self {
            is_paced: around.plan.is_open(),
            priority: Priority::new(false, 0),
            load,
            recorder,
            poller,
            clock,
            now_ns: 0,
            woken_ns: 0,
            stamps: around.has_stamps.then(|| StampClock::new(clock)),
            arrived_ns: None,
            sending: None,
            quiet_ns: i64::MIN,
            is_started: false,
            stop_at_ns: i64::MAX,
            last_opened_ns: 0,
            requests: Slab::new(),
            request_deadlines: Deadlines::new(),
            connections: Slab::new(),
            connect_deadlines: Deadlines::new(),
            sources: around.plan.addresses.iter().map(Source::to).collect(),
            pools: pools.collect(),
            due: VecDeque::new(),
            carried: VecDeque::new(),
            expects: around.plan.steps.iter().map(|step| step.expect.clone()).collect(),
            watches: around.plan.watches(),
            ready: Events::new(),
            events: Vec::new(),
            buffer: vec![0; TURN_BYTES].into(),
            next_request: share.index.into(),
            next_connection: share.index,
            share,
            under_way: UnderWay::new(around.plan.warmup_ns, around.plan.longest_ns()),
            tally: Tally {
                event_gaps: EventGaps::new(around.plan.steps.len(), around.plan.timeout_ns),
                ..Tally::default()
            },
            around,
        })
    }

    /// Open connections, wait for `start` to give the origin, and work until nothing is left to do.
    pub(crate) fn run(mut self, wanted: &[usize], start: impl FnOnce() -> i64) -> io::Result<Tally> {
        self.open_before_start(wanted)?;
        self.clock = Clock::from_origin(start());
        self.stamps = self.around.has_stamps.then(|| StampClock::new(self.clock));
        let (cpu_before_ns, queue_before) = (thread_cpu_ns(), RunQueue::of_this_thread());
        for (_, connection) in &mut self.connections {
            connection.free_since_ns = AT_ONCE_NS;
        }
        self.is_started = true;
        self.quiet_ns = i64::MIN;
        self.read_clock();
        self.woken_ns = self.now_ns;
        self.priority = Priority::new(self.around.plan.asks_realtime(), self.now_ns);
        self.observe_control();
        self.report_retired(self.now_ns);
        while !self.is_done() {
            self.turn()?;
        }
        self.recorder.flush();
        self.tally.records = self.recorder.records();
        self.tally.over_ns = self.load.over_ns();
        self.tally.cpu_ns = thread_cpu_ns() - cpu_before_ns;
        self.tally.realtime = self.priority.got();
        self.tally.run_queue = RunQueue::of_this_thread().since(queue_before);
        self.tally.in_flight_ns = self.under_way.sum_ns();
        self.tally.clock_steps = self.stamps.as_ref().map_or(0, StampClock::steps);
        let of_open = &self.pools[self.around.plan.addresses.len()..];
        self.tally.most_connections = of_open.iter().map(Pool::most).max().unwrap_or(0);
        self.tally.lacked_descriptors = of_open.iter().any(Pool::was_full);
        Ok(self.tally)
    }

    fn is_done(&self) -> bool {
        self.load.is_exhausted() && self.due.is_empty() && self.requests.is_empty()
    }

    /// Open `wanted` connections of each pool, as far as that is possible.
    ///
    /// A failure is not reported: the request that misses the connection opens one itself, and its record shows what
    /// happens. Ends when no connection could be opened for as long as the connect timeout.
    fn open_before_start(&mut self, wanted: &[usize]) -> io::Result<()> {
        let at_once = (MAX_OPENING / self.around.plan.threads as usize).max(1);
        let mut pools = wanted
            .iter()
            .enumerate()
            .flat_map(|(pool, &count)| std::iter::repeat_n(pool, count));
        self.read_clock();
        self.last_opened_ns = self.now_ns;
        loop {
            while self.opening() < at_once {
                let Some(pool) = pools.next() else {
                    break;
                };
                let _ = self.open(pool);
            }
            let patience_ns = self.around.plan.connect_timeout_ns;
            let is_hopeless = self.now_ns.saturating_sub(self.last_opened_ns) > patience_ns;
            if self.opening() == 0 || is_hopeless || self.around.control.stop_at_ns() <= 0 {
                break;
            }
            self.turn()?;
        }
        let unfinished: Vec<usize> = self
            .connections
            .iter()
            .filter(|(_, connection)| !connection.stage.is_open())
            .map(|(key, _)| key)
            .collect();
        for key in unfinished {
            self.abandon(key);
        }
        Ok(())
    }

    /// Report who has done their work; the last of them ends what goes on in the background.
    fn report_retired(&mut self, now_ns: i64) {
        self.around.control.retire(self.load.take_retired(), now_ns);
    }

    fn opening(&self) -> usize {
        self.pools.iter().map(Pool::opening_count).sum()
    }

    /// One turn of the loop.
    fn turn(&mut self) -> io::Result<()> {
        self.read_clock();
        if self.ready.is_empty() {
            self.quiet_ns = self.now_ns;
        }
        if self.is_started {
            self.observe_control();
            self.begin_due();
            self.recorder.flush_if_due(self.now_ns);
            self.priority.observe(self.now_ns);
        }
        self.give_up_late();
        let timeout_ns = self.wait_ns();
        self.poller.wait(&mut self.ready, timeout_ns)?;
        self.note_waking(timeout_ns);
        self.now_ns = self.woken_ns;
        for index in 0..self.ready.len() {
            self.begin_if_due();
            let ready = self.ready.at(index);
            if ready.token != WAKE_TOKEN {
                self.handle(ready);
            }
        }
        self.carry_on();
        Ok(())
    }

    /// A wait of at most `asked_ns` has ended.
    fn note_waking(&mut self, asked_ns: i64) {
        let before_ns = self.woken_ns;
        if let (Some(fault), Some(stamps)) = (self.around.plan.fault, &mut self.stamps) {
            stamps.shift(fault.clock_shift_ns(self.now_ns));
        }
        self.woken_ns = self.clock.now_ns();
        if self.is_started {
            self.tally.pauses.note(before_ns, self.woken_ns, asked_ns);
        }
    }

    /// When that happened which is being handled: when the bytes arrived that tell of it, else now.
    fn moment_ns(&self) -> i64 {
        self.arrived_ns.unwrap_or(self.now_ns)
    }

    /// When the wait ended that told of the event at hand, whatever this thread did for others since; now, if it told of
    /// no other.
    fn told_ns(&self) -> i64 {
        if self.ready.len() > 1 {
            self.woken_ns.min(self.now_ns)
        } else {
            self.now_ns
        }
    }

    fn read_clock(&mut self) {
        self.now_ns = self.clock.now_ns();
    }

    /// How long to wait for events: until something else is to be done, or not at all when no event can come.
    fn wait_ns(&mut self) -> i64 {
        let is_idle = if self.is_started {
            self.is_done()
        } else {
            self.opening() == 0
        };
        if is_idle || !self.due.is_empty() || !self.carried.is_empty() {
            return 0;
        }
        let mut next_ns = self
            .request_deadlines
            .next_ns()
            .min(self.connect_deadlines.next_ns());
        if self.is_started {
            let spin_ns = if self.is_paced { SPIN_NS } else { 0 };
            next_ns = next_ns
                .min(self.load.next_due_ns().saturating_sub(spin_ns))
                .min(self.recorder.next_flush_ns())
                .min(self.around.control.cancel_at_ns());
        }
        let now_ns = self.clock.now_ns();
        self.note_sending(now_ns);
        next_ns.saturating_sub(now_ns).min(MAX_WAIT_NS)
    }

    /// Do what was asked from outside.
    fn observe_control(&mut self) {
        self.observe_stop();
        if self.around.control.cancel_at_ns() <= self.now_ns {
            self.cancel_all();
        }
    }

    fn observe_stop(&mut self) {
        let stop_at_ns = self.around.control.stop_at_ns();
        if stop_at_ns != self.stop_at_ns {
            self.stop_at_ns = stop_at_ns;
            self.load.end_scheduling(stop_at_ns);
        }
    }

    /// Begin what is due: first what events brought, then what time brings.
    fn begin_due(&mut self) {
        for _ in 0..self.due.len() {
            if let Some(arrival) = self.due.pop_front() {
                self.begin(arrival);
            }
        }
        for _ in 0..MAX_DUE_A_TURN {
            // The thread may have rested in between, for longer than a stop is told ahead.
            self.observe_stop();
            let Some(arrival) = self.load.take_due(self.now_ns) else {
                break;
            };
            if !self.around.plan.fault.is_some_and(|fault| fault.skips(&arrival)) {
                self.begin(arrival);
            }
        }
    }

    /// Between one connection's turn and the next: what is due waits for neither events nor large bodies.
    fn begin_if_due(&mut self) {
        if self.is_started && (!self.due.is_empty() || self.load.next_due_ns() <= self.now_ns) {
            self.begin_due();
        }
    }

    /// Give up connections that take too long to open, and requests that take too long.
    fn give_up_late(&mut self) {
        while let Some(key) = self.connect_deadlines.take_passed(self.now_ns) {
            let limit_s = seconds(self.around.plan.connect_timeout_ns);
            let phase = match self.connections[key].stage {
                Stage::Handshaking => "the connect timed out in the TLS handshake",
                _ => "the connect timed out",
            };
            let failure = Failure::new(Kind::Timeout, format!("{phase}, after {limit_s} s"));
            self.fail_opening(key, failure);
        }
        while let Some(id) = self.request_deadlines.take_passed(self.now_ns) {
            self.time_out(RequestId(id));
        }
    }

    /// Give up a request whose time is over, unless its response lies there unread: a thread that did not run sees the
    /// deadline before what came in time.
    fn time_out(&mut self, id: RequestId) {
        let seq = self.requests[id.0].seq;
        if let Some(key) = self.requests[id.0].connection {
            self.read(key);
        }
        if self.requests.get(id.0).is_some_and(|request| request.seq == seq) {
            self.give_up(id, requests::timed_out(self.around.plan.timeout_ns));
        }
    }

    /// Give connections that had more to do another turn.
    fn carry_on(&mut self) {
        for _ in 0..self.carried.len().min(MAX_CARRIED_A_TURN) {
            self.begin_if_due();
            let Some((key, number)) = self.carried.pop_front() else {
                return;
            };
            self.take_turn(key, number);
        }
    }
}

fn seconds(time_ns: i64) -> f64 {
    time_ns as f64 / NS_PER_S as f64
}
