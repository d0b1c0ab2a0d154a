//! The end of a request: when it was, and its record.

use super::{Requests, judging};
use crate::body::Body;
use crate::body_part::Part;
use crate::driver::moment::Moment;
use crate::driver::seconds;
use crate::due::Arrival;
use crate::error::{Failure, Kind};
use crate::load::Next;
use crate::protocol::Exchange;
use crate::record::{NEVER_NS, Record, flags};
use crate::request::{InFlight, RequestId};

/// That a request ended, as the load is told.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver) struct Ended {
    pub(in crate::driver) arrival: Arrival,
    pub(in crate::driver) end_ns: i64,
    pub(in crate::driver) next: Next,
}

impl Requests<'_> {
    /// Write the record of a request that never had an open connection.
    pub(in crate::driver) fn finish_unsent(
        &mut self,
        id: RequestId,
        failure: Failure,
        moment: Moment,
    ) -> Ended {
        self.by_id[id.0].ready_ns = NEVER_NS;
        self.finish(id, &Exchange::default(), Some(failure), None, moment)
    }

    /// Write the record of a request that ended. A `body` answers it if it had a connection.
    pub(in crate::driver) fn finish(
        &mut self,
        id: RequestId,
        exchange: &Exchange,
        failure: Option<Failure>,
        body: Option<&Body>,
        moment: Moment,
    ) -> Ended {
        self.deadlines.clear(id.0);
        let request = self.by_id.remove(id.0);
        let (end_ns, clock_read) = end_of(&request, moment);
        let (failure, next) = match failure.or_else(|| self.too_late(&request, end_ns)) {
            Some(failure) => {
                let next = judging::after(&failure, &request, exchange);
                (Some(failure), next)
            }
            None => self.judge(&request, exchange.status, body, moment.now_ns),
        };
        let kind = failure.as_ref().map_or(Kind::Ok, |failure| failure.kind);
        let mut record = record_of(&request, exchange, kind, end_ns, moment.now_ns);
        record.flags |= clock_read;
        if !self
            .plan
            .fault
            .is_some_and(|fault| fault.loses_record(request.seq))
        {
            self.recorder.push(&record);
        }
        if self.plan.steps[usize::from(record.step)].keeps_bodies {
            let is_cut = body.is_some_and(Body::is_cut);
            let part = if is_cut { Part::CutEnd } else { Part::End };
            let of = (record.seq, record.step);
            self.recorder.push_body(of, record.end_ns, part, &[]);
        }
        if kind.is_response() {
            self.tally.receive_lag_ns += moment.now_ns.abs_diff(moment.reported_ns());
        }
        if request.sent_ns != NEVER_NS {
            self.under_way.end(moment.now_ns, self.control.stop_at_ns());
        }
        self.tally.last_end_ns = self.tally.last_end_ns.max(record.end_ns);
        match failure {
            None => self.counters.succeeded.increment(),
            Some(failure) => {
                self.counters.failed.increment();
                self.note_example(&record, failure, body);
            }
        }
        let is_headline = self.plan.steps[usize::from(record.step)].is_headline;
        if kind == Kind::Ok && is_headline && record.flags & flags::WARMUP == 0 {
            self.counters.measured_succeeded.increment();
        }
        self.count_in_flight();
        Ended {
            arrival: request.arrival,
            end_ns: record.end_ns,
            next,
        }
    }

    /// That a response came, but after its time: a busy thread may read it before it sees the deadline.
    fn too_late(&self, request: &InFlight, end_ns: i64) -> Option<Failure> {
        let limit_ns = self.plan.timeout_ns;
        (end_ns - request.sent_ns > limit_ns).then(|| timed_out(limit_ns))
    }
}

/// When a request ended, and the flag of one whose end is a reading of the clock.
fn end_of(request: &InFlight, moment: Moment) -> (i64, u8) {
    let latest_ns = request
        .first_byte_ns
        .max(request.last_event_ns)
        .max(request.sent_ns);
    match moment.arrived_after_ns(request.sent_ns) {
        Some(arrived_ns) => (arrived_ns.max(latest_ns), 0),
        None => (moment.now_ns, flags::CLOCK_READ),
    }
}

/// The record of a request whose end was read at `read_ns`.
fn record_of(request: &InFlight, exchange: &Exchange, kind: Kind, end_ns: i64, read_ns: i64) -> Record {
    let streamed = if exchange.is_stream { flags::STREAMED } else { 0 };
    let was_cut = kind.is_response() && !exchange.is_sent_whole;
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
        read_ns,
    }
}

/// That a request took longer than `limit_ns`.
pub(in crate::driver) fn timed_out(limit_ns: i64) -> Failure {
    let message = format!("no complete response within {} s", seconds(limit_ns));
    Failure::new(Kind::Timeout, message)
}
