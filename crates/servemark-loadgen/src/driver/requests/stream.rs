//! Streamed responses: what is noted when server-sent events have come.

use crate::driver::Driver;
use crate::load::Load;
use crate::protocol::Protocol;
use crate::record::{NEVER_NS, flags};
use crate::request::RequestId;

impl<'plan, L: Load, P: Protocol<'plan>> Driver<'plan, L, P> {
    /// So many events were read. They share the time of the read, which is that of the last segment that it brought:
    /// nothing tells when each one came.
    ///
    /// The times between events are of all requests that are scheduled after the warm-up, those too that fail later.
    pub(in crate::driver) fn note_events(&mut self, id: RequestId, count: u32) {
        let moment_ns = self.moment_ns();
        let request = &mut self.requests[id.0];
        let noted = request.events;
        request.events = noted.saturating_add(count);
        let now_ns = moment_ns.max(request.first_byte_ns).max(request.last_event_ns);
        let since_ns = std::mem::replace(&mut request.last_event_ns, now_ns);
        if since_ns == NEVER_NS {
            request.first_event_ns = now_ns;
        }
        if request.flags & flags::WARMUP == 0 {
            let (step, gaps) = (request.arrival.step, &mut self.tally.event_gaps);
            if since_ns != NEVER_NS {
                gaps.note(step, now_ns - since_ns, 1);
            }
            if count > 1 {
                gaps.note(step, 0, count - 1);
            }
        }
        self.recorder
            .push_events(request.seq, now_ns, noted..request.events);
    }
}
