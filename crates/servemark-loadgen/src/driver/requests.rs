//! Requests: from being due to their record.
//!
//! They know connections by their names only, and neither the load nor a clock: who is due because of an end, the driver
//! asks the load.

mod ending;
mod judging;
mod stream;

use slab::Slab;

use super::moment::Moment;
use super::telemetry::UnderWay;
use super::{EveryNth, Slot, Surroundings, Tally};
use crate::body::Watch;
use crate::control::{Control, Counters};
use crate::deadline::Deadlines;
use crate::due::Arrival;
use crate::expect::{Expect, FirstBody};
use crate::histogram::EventGaps;
use crate::plan::Plan;
use crate::record::{NEVER_NS, flags};
use crate::recorder::Recorder;
use crate::request::{InFlight, Numbers, RequestId};

pub(super) use ending::{Ended, timed_out};

/// A write that takes longer was interrupted: so much, and so much a byte.
const SURE_WRITE_NS: i64 = 100_000;
const SURE_WRITE_NS_A_BYTE: i64 = 1;

/// A request that was just written.
#[derive(Clone, Copy, Debug)]
struct Sending {
    id: RequestId,
    seq: u64,
    begun_ns: i64,
    /// How long that can take a thread which is not interrupted.
    longest_ns: i64,
}

/// What a protocol starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    pub(super) step: usize,
    /// Which of the step's pool.
    pub(super) input: usize,
    pub(super) numbers: Numbers,
    pub(super) watch: Watch,
}

/// The requests of one generator thread that have no record yet, and what is counted of those that have.
#[derive(Debug)]
pub(super) struct Requests<'plan> {
    plan: &'plan Plan,
    control: &'plan Control,
    counters: &'plan Counters,
    /// By step, then by input; shared by all threads.
    first_bodies: &'plan [Vec<FirstBody>],
    /// By step: this thread's own copy, so that no cache is shared.
    expects: Vec<Option<Expect>>,
    /// By step: what of the bodies is looked at.
    watches: Vec<Watch>,
    by_id: Slab<InFlight>,
    deadlines: Deadlines,
    recorder: Recorder,
    numbers: EveryNth,
    /// The request that was written since the clock was last read.
    sending: Option<Sending>,
    under_way: UnderWay,
    /// What is known of requests, of all that a driver did.
    tally: Tally,
}

impl<'plan> Requests<'plan> {
    /// None yet. They are given `numbers`.
    pub(super) fn new(around: Surroundings<'plan>, recorder: Recorder, numbers: EveryNth) -> Self {
        let plan = around.plan;
        Self {
            plan,
            control: around.control,
            counters: around.counters,
            first_bodies: around.first_bodies,
            expects: plan.steps.iter().map(|step| step.expect.clone()).collect(),
            watches: plan.watches(),
            by_id: Slab::new(),
            deadlines: Deadlines::new(),
            recorder,
            numbers,
            sending: None,
            under_way: UnderWay::new(plan.warmup_ns, plan.longest_ns()),
            tally: Tally {
                event_gaps: EventGaps::new(plan.steps.len(), plan.timeout_ns),
                ..Tally::default()
            },
        }
    }

    /// How many have no record yet.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many were sent.
    #[cfg(test)]
    pub(super) fn sent(&self) -> u64 {
        self.tally.sent
    }

    /// How long the write may take whose end is not known yet.
    #[cfg(test)]
    pub(super) fn longest_write_ns(&self) -> Option<i64> {
        self.sending.map(|sending| sending.longest_ns)
    }

    /// Whether every request has its record.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The run was stopped, and its time is over: those that have no record yet, which are cut off, each with its number.
    pub(super) fn cut_off(&mut self) -> Vec<(RequestId, u64)> {
        self.tally.has_cancelled |= !self.by_id.is_empty();
        let unfinished = self.by_id.iter();
        unfinished
            .map(|(id, request)| (RequestId(id), request.seq))
            .collect()
    }

    /// What was counted. Every request has its record.
    pub(super) fn into_tally(mut self) -> Tally {
        self.recorder.flush();
        Tally {
            records: self.recorder.records(),
            in_flight_ns: self.under_way.sum_ns(),
            ..self.tally
        }
    }

    /// When a deadline passes, or `i64::MAX`.
    pub(super) fn next_deadline_ns(&self) -> i64 {
        self.deadlines.next_ns()
    }

    /// When records are handed over, or `i64::MAX`.
    pub(super) fn next_flush_ns(&self) -> i64 {
        self.recorder.next_flush_ns()
    }

    /// Hand over records if it is time.
    pub(super) fn flush_if_due(&mut self, now_ns: i64) {
        self.recorder.flush_if_due(now_ns);
    }

    /// A request whose time is over at `now_ns`, and its number.
    pub(super) fn take_late(&mut self, now_ns: i64) -> Option<(RequestId, u64)> {
        let id = self.deadlines.take_passed(now_ns)?;
        Some((RequestId(id), self.by_id[id].seq))
    }

    /// Whether the request with that number still has no record.
    pub(super) fn is_unfinished(&self, id: RequestId, seq: u64) -> bool {
        let request = self.by_id.get(id.0);
        request.is_some_and(|request| request.seq == seq)
    }

    /// Key of the connection that carries a request, once it has one.
    pub(super) fn connection_of(&self, id: RequestId) -> Option<usize> {
        self.by_id[id.0].connection
    }

    /// When a request was due, whose it is and which step.
    pub(super) fn arrival(&self, id: RequestId) -> &Arrival {
        &self.by_id[id.0].arrival
    }

    /// A request that is due was noticed at `now_ns`.
    pub(super) fn admit(&mut self, arrival: Arrival, now_ns: i64) -> RequestId {
        let plan = self.plan;
        let seq = self.numbers.take();
        if let Some(fault) = plan.fault {
            fault.before_begin(seq);
        }
        let input = plan.input_of(&arrival);
        let mut request = InFlight::new(arrival, seq, input, plan.warmup_ns);
        request.noticed_ns = now_ns;
        let id = RequestId(self.by_id.insert(request));
        self.counters.scheduled.increment();
        self.count_in_flight();
        id
    }

    /// A connection is opened for a request, which asks for it at `now_ns`.
    pub(super) fn note_asking(&mut self, id: RequestId, now_ns: i64) {
        let request = &mut self.by_id[id.0];
        // One that a dead connection gave back has asked before, and was ready then.
        request.late_ns = now_ns - request.arrival.scheduled_ns.max(request.ready_ns);
    }

    /// A request waited while its connection was opened, which may take the place of one that died.
    pub(super) fn note_opened(&mut self, id: RequestId, is_replacement: bool) {
        let replaced = if is_replacement { flags::RECONNECTED } else { 0 };
        self.by_id[id.0].flags |= flags::OPENED | replaced;
    }

    /// Whether a request waited while its connection was opened.
    pub(super) fn was_opened_for(&self, id: RequestId) -> bool {
        self.by_id[id.0].flags & flags::OPENED != 0
    }

    /// Give a request to a connection that has a slot. Returns what is started there.
    pub(super) fn assign(&mut self, id: RequestId, slot: Slot) -> Outgoing {
        let request = &mut self.by_id[id.0];
        request.connection = Some(slot.connection);
        request.connection_number = slot.connection_number;
        request.connect_us = slot.connect_us;
        request.tls_us = slot.tls_us;
        request.ready_ns = ready_ns(request, slot.free_since_ns);
        let step = usize::from(request.arrival.step);
        Outgoing {
            step,
            input: request.input as usize,
            numbers: Numbers {
                user: request.arrival.user,
                seq: request.seq,
            },
            watch: self.watches[step],
        }
    }

    /// A request is about to be written, at `now_ns`: its time begins.
    pub(super) fn note_sent(&mut self, id: RequestId, now_ns: i64) {
        self.by_id[id.0].sent_ns = now_ns;
        self.deadlines
            .set(id.0, now_ns.saturating_add(self.plan.timeout_ns));
        self.tally.sent += 1;
        self.under_way.begin(now_ns, self.control.stop_at_ns());
    }

    /// A request was written, as far as that goes at once: so many bytes.
    pub(super) fn note_written(&mut self, id: RequestId, bytes: usize) {
        let request = &self.by_id[id.0];
        self.sending = Some(Sending {
            id,
            seq: request.seq,
            begun_ns: request.sent_ns,
            longest_ns: SURE_WRITE_NS + bytes as i64 * SURE_WRITE_NS_A_BYTE,
        });
    }

    /// The clock was read, for the first time since a request was written: if the thread was interrupted in between, that
    /// one may have left later than its `sent` says.
    pub(super) fn note_clock(&mut self, now_ns: i64) {
        let Some(sending) = self.sending.take() else {
            return;
        };
        if now_ns - sending.begun_ns > sending.longest_ns {
            let request = self.by_id.get_mut(sending.id.0);
            if let Some(request) = request.filter(|request| request.seq == sending.seq) {
                request.flags |= flags::UNSURE_SENT;
            }
        }
    }

    /// Take a request back from a connection that took no byte of it, as is known at `now_ns`.
    pub(super) fn take_back(&mut self, id: RequestId, now_ns: i64) {
        self.deadlines.clear(id.0);
        let request = &mut self.by_id[id.0];
        request.connection = None;
        request.sent_ns = NEVER_NS;
        self.tally.sent -= 1;
        self.under_way.end(now_ns, self.control.stop_at_ns());
    }

    /// The head of a response begins.
    pub(super) fn note_first_byte(&mut self, id: RequestId, moment: Moment) {
        let request = &mut self.by_id[id.0];
        request.first_byte_ns = moment.happened_ns().max(request.sent_ns);
    }

    /// No connection could be opened for a request: the one with `number` failed, `connect_us` after it was connected.
    pub(super) fn note_unconnected(&mut self, id: RequestId, number: u32, connect_us: u32) {
        let request = &mut self.by_id[id.0];
        request.connection_number = number;
        request.connect_us = connect_us;
    }

    fn count_in_flight(&self) {
        self.counters.in_flight.set(self.by_id.len() as u64);
    }
}

/// When a request could first have been sent on a connection that is free since `free_since_ns`.
///
/// In an open loop by a generator that is never late; in a closed one by this one, when it had learnt of it.
fn ready_ns(request: &InFlight, free_since_ns: i64) -> i64 {
    let scheduled_ns = request.arrival.scheduled_ns;
    if request.arrival.is_open {
        scheduled_ns.max(free_since_ns.saturating_sub(request.late_ns))
    } else {
        scheduled_ns.max(free_since_ns).max(request.noticed_ns)
    }
}
