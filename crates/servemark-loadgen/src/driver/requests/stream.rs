//! Streamed responses: what is noted when server-sent events have come, or a part of a body that is recorded.

use super::Requests;
use crate::body_part::Part;
use crate::driver::moment::Moment;
use crate::record::{NEVER_NS, flags};
use crate::request::{InFlight, RequestId};

impl Requests<'_> {
    /// So many events were read. They share the time of the read, which is that of the last segment that it brought:
    /// nothing tells when each one came.
    ///
    /// The times between events are of all requests that are scheduled after the warm-up, those too that fail later.
    pub(in crate::driver) fn note_events(&mut self, id: RequestId, count: u32, moment: Moment) {
        let request = &mut self.by_id[id.0];
        let noted = request.events;
        request.events = noted.saturating_add(count);
        let arrived_ns = arrived_ns(request, moment);
        let since_ns = std::mem::replace(&mut request.last_event_ns, arrived_ns);
        if since_ns == NEVER_NS {
            request.first_event_ns = arrived_ns;
        }
        if request.flags & flags::WARMUP == 0 {
            let (step, gaps) = (request.arrival.step, &mut self.tally.event_gaps);
            if since_ns != NEVER_NS {
                gaps.note(step, arrived_ns - since_ns, 1);
            }
            if count > 1 {
                gaps.note(step, 0, count - 1);
            }
        }
        self.recorder
            .push_events(request.seq, arrived_ns, noted..request.events);
    }

    /// A part of a body that is recorded was read: it has the time that events have which are complete with it.
    pub(in crate::driver) fn note_body(&mut self, id: RequestId, bytes: &[u8], moment: Moment) {
        let request = &self.by_id[id.0];
        let time_ns = arrived_ns(request, moment);
        let of = (request.seq, request.arrival.step);
        self.recorder.push_body(of, time_ns, Part::Bytes, bytes);
    }
}

/// When what was read of a response arrived: no earlier than what was read before.
fn arrived_ns(request: &InFlight, moment: Moment) -> i64 {
    let happened_ns = moment.happened_ns();
    happened_ns.max(request.first_byte_ns).max(request.last_event_ns)
}
