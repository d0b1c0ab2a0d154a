//! Receiving: connections are opened and read, and what their protocols say of requests is done.

use super::Driver;
use super::connections::{Carried, ConnectionId, Opening, TURN_BYTES};
use super::moment::Moment;
use crate::error::Failure;
use crate::load::Load;
use crate::protocol::{Event, Protocol};
use crate::transport::ReadOutcome;

impl<'plan, L: Load, P: Protocol<'plan>> Driver<'plan, L, P> {
    /// Open as many connections of a pool as its waiting requests need.
    pub(super) fn open_needed(&mut self, pool: usize, moment: &mut Moment) {
        while self.connections.needs_connection(pool) {
            // When this one begins to be opened: those before it took time.
            moment.now_ns = self.clocks.now_ns();
            let Err(unopened) = self.connections.open(pool, moment.now_ns) else {
                continue;
            };
            if self.connections.can_do_without(pool, &unopened) {
                return;
            }
            self.fail_waiting(pool, unopened.number, 0, unopened.into(), *moment);
        }
    }

    /// Take the opening of a connection as far as it goes.
    pub(super) fn go_on_opening(&mut self, id: ConnectionId, moment: &mut Moment) {
        // How long this waited for the thread, behind others' work.
        moment.now_ns = self.clocks.now_ns();
        let opening = self.connections.go_on_opening(id, *moment);
        if !matches!(opening, Opening::Pending) && self.connections.has_tls(id) {
            // A handshake takes the thread's time.
            moment.now_ns = self.clocks.now_ns();
        }
        match opening {
            Opening::Pending => {}
            Opening::Complete => {
                self.connections.finish_opening(id, moment.now_ns);
                self.offer(id, true, moment);
                // Edges that came while it was opened will not come again.
                if self.connections.is_live(id) {
                    self.read(id, moment);
                }
            }
            Opening::Failed(failure) => self.fail_opening(id, failure, moment),
        }
    }

    /// Give a connection that has a slot to the request that waits longest, or let it rest.
    fn offer(&mut self, id: ConnectionId, is_new: bool, moment: &mut Moment) {
        let Some(request) = self.connections.take_waiting(self.connections.pool_at(id)) else {
            return self.connections.rest(id);
        };
        if is_new {
            let is_replacement = self.connections.is_replacement(id);
            self.requests.note_opened(request, is_replacement);
        }
        self.assign(request, id, moment);
    }

    /// A connection could not be opened: the request that waits longest pays for it.
    pub(super) fn fail_opening(&mut self, id: ConnectionId, failure: Failure, moment: &mut Moment) {
        let given_up = self.connections.give_up_opening(id);
        self.fail_waiting(given_up.pool, id.number, given_up.connect_us, failure, *moment);
        self.open_needed(given_up.pool, moment);
    }

    fn fail_waiting(&mut self, pool: usize, number: u32, connect_us: u32, failure: Failure, moment: Moment) {
        if let Some(id) = self.connections.take_waiting(pool) {
            self.requests.note_unconnected(id, number, connect_us);
            self.finish_unsent(id, failure, moment);
        }
    }

    /// Close a connection that died while it carried no request.
    pub(super) fn lose(&mut self, id: ConnectionId, moment: &mut Moment) {
        let pool = self.connections.pool_at(id);
        self.connections.lose(id);
        self.open_needed(pool, moment);
    }

    /// Go on where the last turn left off.
    pub(super) fn take_turn(&mut self, id: ConnectionId, carried: Carried, moment: &mut Moment) {
        self.write_more(id, moment);
        if self.connections.is_live(id) && carried == Carried::ToRead {
            self.read(id, moment);
        }
    }

    /// Write what could not be written before.
    pub(super) fn write_more(&mut self, id: ConnectionId, moment: &mut Moment) {
        let has_more = self.connections.has_output(id);
        if let Err(failure) = self.connections.write(id) {
            self.connections.note_write_failure(id, &failure);
            self.read(id, moment);
        }
        if has_more {
            // Writing a large body took time, and others are due.
            moment.now_ns = self.clocks.now_ns();
        }
    }

    /// Read what is there, as far as the turn allows.
    pub(super) fn read(&mut self, id: ConnectionId, moment: &mut Moment) {
        let mut left = TURN_BYTES;
        while self.connections.is_live(id) {
            if left == 0 {
                return self.connections.carry(id, Carried::ToRead);
            }
            let read = self.connections.read(id);
            // When this was read: the end of a response, where no stamp tells of it.
            moment.now_ns = self.clocks.now_ns();
            self.requests.note_clock(moment.now_ns);
            moment.arrived = None;
            if let Ok(ReadOutcome::Bytes { stamp_unix_ns, .. }) = read {
                moment.arrived = self.clocks.arrived(stamp_unix_ns, moment.now_ns);
                if let Some(fault) = self.plan.fault {
                    fault.before_parse();
                }
            }
            let parsed = self.connections.parse(id, read, &mut self.events);
            left = left.saturating_sub(parsed.bytes);
            self.apply(id, moment);
            if !parsed.has_more {
                return;
            }
        }
    }

    /// Do what the protocol's events ask.
    pub(super) fn apply(&mut self, id: ConnectionId, moment: &mut Moment) {
        if self.events.is_empty() {
            return;
        }
        let mut events = std::mem::take(&mut self.events);
        let (mut next, mut must_close, mut has_ended, mut ended) = (None, false, false, 0);
        for event in events.drain(..) {
            match event {
                Event::FirstByte(request) => self.requests.note_first_byte(request, *moment),
                Event::ServerEvents(request, count) => self.requests.note_events(request, count, *moment),
                Event::Ended(request, exchange) => {
                    self.due.extend(next.take());
                    next = self.finish(request, id, &exchange, None, *moment);
                    has_ended = true;
                    ended += 1;
                }
                Event::Failed(request, exchange, failure) => {
                    self.due.extend(next.take());
                    next = self.finish(request, id, &exchange, Some(failure), *moment);
                    ended += 1;
                }
                Event::MustClose => must_close = true,
            }
        }
        self.events = events;
        let was_idle = self.connections.in_flight(id) == 0;
        self.connections.end_requests(id, ended, moment.happened_ns());
        moment.arrived = None;
        let pool = self.connections.pool_at(id);
        if must_close || (has_ended && self.connections.has_hung_up(id)) {
            self.due.extend(next);
            // A server that hangs up behind its answer, unannounced, has closed an idle connection.
            if must_close && !was_idle {
                self.connections.close(id);
            } else {
                self.connections.lose(id);
            }
            return self.open_needed(pool, moment);
        }
        if !has_ended {
            return;
        }
        match next {
            // Whoever waits comes first.
            Some(arrival) if self.pool_of(&arrival) == pool && !self.connections.has_waiting(pool) => {
                self.begin_on(arrival, id, moment);
            }
            other => {
                self.due.extend(other);
                self.offer(id, false, moment);
            }
        }
    }
}
