//! Requests: from being due to their record.

mod stream;

use super::connections::connection::Stage;
use super::{Driver, seconds};
use crate::body::Body;
use crate::draw::draw;
use crate::due::Arrival;
use crate::error::{Failure, Kind};
use crate::example::Example;
use crate::load::{Load, Next};
use crate::protocol::{Exchange, Protocol};
use crate::receive_clock::StampClock;
use crate::record::{NEVER_NS, Record, flags};
use crate::request::{InFlight, Numbers, RequestId};

/// A request that was just written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    id: RequestId,
    seq: u64,
    begun_ns: i64,
    /// How long that can take a thread which is not interrupted.
    longest_ns: i64,
}

/// A write that takes longer was interrupted: so much, and so much a byte.
const SURE_WRITE_NS: i64 = 100_000;
const SURE_WRITE_NS_A_BYTE: i64 = 1;

impl<'plan, L: Load, P: Protocol<'plan>> Driver<'plan, L, P> {
    /// Begin a request on whatever connection is free, or wait for one.
    pub(super) fn begin(&mut self, arrival: Arrival) {
        let id = self.admit(arrival);
        self.acquire(id);
    }

    /// Begin a request on the connection that has just become free, if it leads to the right address.
    pub(super) fn begin_on(&mut self, arrival: Arrival, key: usize) {
        let id = self.admit(arrival);
        self.connections[key].stage = Stage::Busy;
        self.assign(id, key);
    }

    fn admit(&mut self, arrival: Arrival) -> RequestId {
        let plan = self.around.plan;
        let seq = self.next_request;
        self.next_request += u64::from(self.share.of);
        if let Some(fault) = plan.fault {
            fault.before_begin(seq);
        }
        let pool = &plan.steps[usize::from(arrival.step)].requests;
        let input = draw(plan.seed, &arrival, pool.len());
        let mut request = InFlight::new(arrival, seq, input, &pool[input as usize], plan.warmup_ns);
        request.noticed_ns = self.now_ns;
        let id = RequestId(self.requests.insert(request));
        self.around.counters.scheduled.increment();
        self.count_in_flight();
        id
    }

    /// Take a free connection that is alive, or wait for one to be opened.
    fn acquire(&mut self, id: RequestId) {
        let pool = self.pool_of(&self.requests[id.0].arrival);
        while let Some(key) = self.pools[pool].take_idle() {
            if !self.is_alive(key) {
                self.close(key);
            } else if self.send(id, key) {
                return;
            }
        }
        self.pools[pool].wait(id);
        if self.pools[pool].has_room() {
            self.read_clock();
            let request = &mut self.requests[id.0];
            // One that a dead connection gave back has asked before, and was ready then.
            request.late_ns = self.now_ns - request.arrival.scheduled_ns.max(request.ready_ns);
        }
        self.open_needed(pool);
    }

    /// The pool of connections that a request may use.
    pub(super) fn pool_of(&self, arrival: &Arrival) -> usize {
        let plan = self.around.plan;
        let address = plan.steps[usize::from(arrival.step)].address;
        if arrival.is_open {
            plan.addresses.len() + address
        } else {
            address
        }
    }

    /// Send a request on a connection that has a slot, or on another if it turns out to be dead.
    pub(super) fn assign(&mut self, id: RequestId, key: usize) {
        if !self.send(id, key) {
            self.acquire(id);
        }
    }

    /// Send a request on a connection that has a slot. Returns false when that had died while it was idle, and took no
    /// byte of the request: nothing has happened yet.
    fn send(&mut self, id: RequestId, key: usize) -> bool {
        let connection = &mut self.connections[key];
        let request = &mut self.requests[id.0];
        if connection.stage == Stage::Idle {
            connection.stage = Stage::Busy;
        }
        request.connection = Some(key);
        request.connection_number = connection.number;
        request.connect_us = std::mem::take(&mut connection.connect_us);
        request.tls_us = std::mem::take(&mut connection.tls_us);
        request.ready_ns = ready_ns(request, connection.free_since_ns);
        let numbers = Numbers {
            user: request.arrival.user,
            seq: request.seq,
        };
        let watch = self.watches[usize::from(request.arrival.step)];
        connection.protocol.start(id, request.request, numbers, watch);
        let deadline_ns = request.ready_ns.saturating_add(self.around.plan.timeout_ns);
        self.request_deadlines.set(id.0, deadline_ns);
        self.now_ns = self.clock.now_ns();
        request.sent_ns = self.now_ns;
        self.tally.sent += 1;
        self.under_way
            .begin(self.now_ns, self.around.control.stop_at_ns());
        let accepted_before = connection.accepted_bytes;
        // What the protocol has to write first: the whole request, but for a large body.
        let wire_bytes = request.request.wire.len();
        let sending = Sending {
            id,
            seq: request.seq,
            begun_ns: request.sent_ns,
            longest_ns: SURE_WRITE_NS + wire_bytes as i64 * SURE_WRITE_NS_A_BYTE,
        };
        self.note_sending(self.now_ns);
        match self.write(key) {
            Ok(()) => self.sending = Some(sending),
            Err(error) => {
                let connection = &self.connections[key];
                if connection.stage == Stage::Busy && connection.accepted_bytes == accepted_before {
                    self.take_back(id, key);
                    return false;
                }
                self.fail_write(key, &error);
            }
        }
        true
    }

    /// The clock was read, for the first time since a request was written: if the thread was interrupted in between, that
    /// one may have left later than its `sent` says.
    pub(super) fn note_sending(&mut self, now_ns: i64) {
        let Some(sending) = self.sending.take() else {
            return;
        };
        if now_ns - sending.begun_ns > sending.longest_ns {
            let request = self.requests.get_mut(sending.id.0);
            if let Some(request) = request.filter(|request| request.seq == sending.seq) {
                request.flags |= flags::UNSURE_SENT;
            }
        }
    }

    /// Take a request back from a connection that took no byte of it, and close that.
    fn take_back(&mut self, id: RequestId, key: usize) {
        self.request_deadlines.clear(id.0);
        let request = &mut self.requests[id.0];
        request.connection = None;
        request.sent_ns = NEVER_NS;
        self.tally.sent -= 1;
        self.under_way.end(self.now_ns, self.around.control.stop_at_ns());
        self.connections[key].stage = Stage::Idle;
        self.close(key);
    }

    /// Give up a request, wherever it stands.
    pub(super) fn give_up(&mut self, id: RequestId, failure: Failure) {
        match self.requests[id.0].connection {
            Some(key) => {
                self.connections[key]
                    .protocol
                    .cancel(id, failure, &mut self.events);
                self.apply(key);
            }
            None => self.finish_unsent(id, failure),
        }
    }

    /// Record a request that never had an open connection.
    pub(super) fn finish_unsent(&mut self, id: RequestId, failure: Failure) {
        self.requests[id.0].ready_ns = NEVER_NS;
        let next = self.finish(id, &Exchange::default(), Some(failure));
        self.due.extend(next);
    }

    /// The run was stopped and its time is over: everything unfinished becomes a cancelled record.
    pub(super) fn cancel_all(&mut self) {
        let unbegun: Vec<Arrival> = self.due.drain(..).collect();
        for arrival in unbegun {
            self.admit(arrival);
        }
        self.pools.iter_mut().for_each(super::Pool::clear_waiting);
        let unfinished: Vec<usize> = self.requests.iter().map(|(id, _)| id).collect();
        self.tally.has_cancelled |= !unfinished.is_empty();
        for id in unfinished {
            let failure = Failure::new(Kind::Cancelled, "the run was stopped");
            self.give_up(RequestId(id), failure);
        }
    }

    /// Write the record of a request that ended now. Returns what is due because of that.
    pub(super) fn finish(
        &mut self,
        id: RequestId,
        exchange: &Exchange,
        failure: Option<Failure>,
    ) -> Option<Arrival> {
        self.request_deadlines.clear(id.0);
        let request = self.requests.remove(id.0);
        let (end_ns, clock_read) = self.end_of(&request);
        let (failure, next) = match failure.or_else(|| self.too_late(&request, end_ns)) {
            Some(failure) => {
                let next = self.after(&failure, &request, exchange);
                (Some(failure), next)
            }
            None => self.judge(id, &request, exchange.status),
        };
        let kind = failure.as_ref().map_or(Kind::Ok, |failure| failure.kind);
        let mut record = self.record_of(&request, exchange, kind, end_ns);
        record.flags |= clock_read;
        if !self
            .around
            .plan
            .fault
            .is_some_and(|fault| fault.loses_record(request.seq))
        {
            self.recorder.push(&record);
        }
        if kind.is_response() {
            self.tally.receive_lag_ns += self.now_ns.abs_diff(self.told_ns());
        }
        if request.sent_ns != NEVER_NS {
            self.under_way.end(self.now_ns, self.around.control.stop_at_ns());
        }
        self.tally.last_end_ns = self.tally.last_end_ns.max(record.end_ns);
        match failure {
            None => self.around.counters.succeeded.increment(),
            Some(failure) => {
                self.around.counters.failed.increment();
                self.note_example(id, &request, &record, failure);
            }
        }
        let is_headline = self.around.plan.steps[usize::from(record.step)].is_headline;
        if kind == Kind::Ok && is_headline && record.flags & flags::WARMUP == 0 {
            self.around.counters.measured_succeeded.increment();
        }
        self.count_in_flight();
        self.observe_stop();
        let due = self.load.ended(&request.arrival, record.end_ns, next);
        self.report_retired(self.now_ns);
        due
    }

    /// What the user of a request does that failed: it goes on, at once unless no server was there. That is so where no
    /// connection was opened for it, or one that gave no answer, as by a proxy with nothing behind it.
    fn after(&self, failure: &Failure, request: &InFlight<'_>, exchange: &Exchange) -> Next {
        let was_dropped = matches!(
            failure.kind,
            Kind::Reset | Kind::ClosedEarly | Kind::Tls | Kind::Local
        );
        let is_unreached = match request.connection.map(|key| self.connections[key].stage) {
            None => true,
            Some(Stage::First) => was_dropped && exchange.bytes_received == 0,
            Some(_) => false,
        };
        if is_unreached { Next::Unreached } else { Next::GoOn }
    }

    /// Whether a complete response is a success, and what its user does next.
    fn judge(&self, id: RequestId, request: &InFlight<'_>, status: u16) -> (Option<Failure>, Next) {
        let step = &self.around.plan.steps[usize::from(request.arrival.step)];
        if let Some(failure) = unsuccessful(status, step.expect_status) {
            return (Some(failure), Next::GoOn);
        }
        let looks = step.until.is_some() || step.expect.is_some();
        let Some(key) = request.connection.filter(|_| looks) else {
            return (None, Next::GoOn);
        };
        let body = self.connections[key].protocol.body(id);
        if let Some(failure) = self.unexpected(request, body) {
            return (Some(failure), Next::GoOn);
        }
        let Some(until) = &step.until else {
            return (None, Next::GoOn);
        };
        match until.is_met_by(body) {
            Ok(true) => return (None, Next::GoOn),
            Ok(false) => {}
            Err(message) => return (Some(Failure::new(Kind::Application, message)), Next::GoOn),
        }
        if self.now_ns - request.arrival.step_since_ns < until.limit_ns {
            let interval_ns = until.interval_ns;
            return (None, Next::Repeat { interval_ns });
        }
        let text = String::from_utf8_lossy(&until.text);
        let message = format!(
            "the body does not hold {text:?} {} times, after repeating",
            until.times
        );
        (Some(Failure::new(Kind::Application, message)), Next::GoOn)
    }

    /// That the body of a success is not what its step expects.
    fn unexpected(&self, request: &InFlight<'_>, body: &Body) -> Option<Failure> {
        let step = usize::from(request.arrival.step);
        let expect = self.expects[step].as_ref()?;
        let first = self.around.first_bodies[step].get(request.input as usize);
        let message = expect.check(body, first).err()?;
        Some(Failure::new(Kind::Application, message))
    }

    /// When a request ended, and the flag of one whose end is a reading of the clock.
    ///
    /// A stamp before `sent` contradicts the clock, and is not believed, unless it could be off by so much.
    fn end_of(&self, request: &InFlight<'_>) -> (i64, u8) {
        let latest_ns = request
            .first_byte_ns
            .max(request.last_event_ns)
            .max(request.sent_ns);
        let tolerance_ns = self.stamps.as_ref().map_or(0, StampClock::tolerance_ns);
        match self.arrived_ns {
            Some(arrived_ns) if arrived_ns + tolerance_ns >= request.sent_ns => {
                (arrived_ns.max(latest_ns), 0)
            }
            _ => (self.now_ns, flags::CLOCK_READ),
        }
    }

    /// That a response came, but after its time: a busy thread may read it before it sees the deadline.
    fn too_late(&self, request: &InFlight<'_>, end_ns: i64) -> Option<Failure> {
        let limit_ns = self.around.plan.timeout_ns;
        (end_ns - request.ready_ns > limit_ns).then(|| timed_out(limit_ns))
    }

    fn record_of(&self, request: &InFlight<'_>, exchange: &Exchange, kind: Kind, end_ns: i64) -> Record {
        let streamed = if exchange.is_stream { flags::STREAMED } else { 0 };
        let was_cut = kind.is_response() && exchange.bytes_sent < request.request.len() as u64;
        Record {
            seq: request.seq,
            scheduled_ns: request.arrival.scheduled_ns,
            ready_ns: request.ready_ns,
            sent_ns: request.sent_ns,
            first_byte_ns: request.first_byte_ns,
            end_ns,
            connect_us: request.connect_us,
            tls_us: request.tls_us,
            user: request.arrival.user,
            connection: request.connection_number,
            bytes_sent: u32::try_from(exchange.bytes_sent).unwrap_or(u32::MAX),
            bytes_received: u32::try_from(exchange.bytes_received).unwrap_or(u32::MAX),
            input: request.input,
            events: request.events,
            status: exchange.status,
            step: request.arrival.step,
            kind,
            flags: request.flags | streamed | if was_cut { flags::CUT_BODY } else { 0 },
            group: request.arrival.group,
            first_event_ns: request.first_event_ns,
            last_event_ns: request.last_event_ns,
            read_ns: self.now_ns,
        }
    }

    fn note_example(&mut self, id: RequestId, request: &InFlight<'_>, record: &Record, failure: Failure) {
        let connections = &self.connections;
        let keep_bytes = self.around.plan.keep_body_bytes;
        self.tally.examples.note(record, || Example {
            kind: record.kind,
            status: record.status,
            step: record.step,
            seq: record.seq,
            at_ns: record.end_ns,
            message: failure.message.into_owned(),
            body: request.connection.map_or_else(Vec::new, |key| {
                kept_of(&connections[key].protocol, id, keep_bytes)
            }),
        });
    }

    fn count_in_flight(&self) {
        self.around.counters.in_flight.set(self.requests.len() as u64);
    }
}

/// When a request could first have been sent on a connection that is free since `free_since_ns`.
///
/// In an open loop by a generator that is never late; in a closed one by this one, when it had learnt of it.
fn ready_ns(request: &InFlight<'_>, free_since_ns: i64) -> i64 {
    let scheduled_ns = request.arrival.scheduled_ns;
    if request.arrival.is_open {
        scheduled_ns.max(free_since_ns.saturating_sub(request.late_ns))
    } else {
        scheduled_ns.max(free_since_ns).max(request.noticed_ns)
    }
}

fn kept_of<'plan>(protocol: &impl Protocol<'plan>, id: RequestId, at_most: usize) -> Vec<u8> {
    let kept = protocol.body(id).kept();
    kept[..kept.len().min(at_most)].to_vec()
}

/// That a request took longer than `limit_ns`.
pub(super) fn timed_out(limit_ns: i64) -> Failure {
    let message = format!("no complete response within {} s", seconds(limit_ns));
    Failure::new(Kind::Timeout, message)
}

/// Why a complete response with `status` is a failure, if it is one.
fn unsuccessful(status: u16, expected: Option<u16>) -> Option<Failure> {
    let is_success = (200..=299).contains(&status);
    match expected {
        Some(expected) if status == expected => None,
        Some(expected) if is_success => {
            let message = format!("status {status}, not {expected}");
            Some(Failure::new(Kind::UnexpectedStatus, message))
        }
        _ => (!is_success).then(|| Failure::new(Kind::HttpStatus, format!("status {status}"))),
    }
}
