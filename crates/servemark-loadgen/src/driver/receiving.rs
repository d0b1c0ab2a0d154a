//! Receiving: connections are opened and read, and what their protocols say of requests is done.

use super::Driver;
use super::connections::{Carried, ConnectionId, Opening, TURN_BYTES, Unopened};
use super::moment::Moment;
use crate::error::Failure;
use crate::load::Load;
use crate::protocol::{Event, Protocol};
use crate::request::RequestId;
use crate::transport::ReadOutcome;

impl<'plan, L: Load, P: Protocol<'plan>> Driver<'plan, L, P> {
    /// Open as many connections of a pool as its waiting requests need.
    pub(super) fn open_needed(&mut self, pool: usize, moment: &mut Moment) {
        while self.connections.needs_connection(pool) {
            // When this one begins to be opened: those before it took time.
            moment.now_ns = self.read_clock();
            let Err(unopened) = self.open(pool, moment) else {
                continue;
            };
            if self.connections.can_do_without(pool, &unopened) {
                return;
            }
            self.fail_waiting(pool, unopened.number, 0, unopened.into(), *moment);
        }
    }

    /// Begin to open a connection of a pool.
    pub(super) fn open(&mut self, pool: usize, moment: &mut Moment) -> Result<(), Unopened> {
        let id = self.connections.open(pool, moment.now_ns)?;
        // When it was asked for at the latest: within connecting, which takes time.
        moment.now_ns = self.read_clock();
        self.connections.note_asked(id, moment.now_ns);
        Ok(())
    }

    /// Take the opening of a connection as far as it goes.
    pub(super) fn go_on_opening(&mut self, id: ConnectionId, moment: &mut Moment) {
        // How long this waited for the thread, behind others' work.
        moment.now_ns = self.read_clock();
        let opening = self.connections.go_on_opening(id, *moment);
        if self.connections.has_tls(id) {
            let reported_ns = moment.reported_ns();
            // A handshake takes the thread's time.
            moment.now_ns = self.read_clock();
            let stamp_unix_ns = self.connections.handshake_stamp_unix_ns(id);
            let arrived = self.clocks.arrived(stamp_unix_ns, moment.now_ns);
            self.connections
                .note_step(id, arrived, reported_ns, moment.now_ns);
        }
        match opening {
            Opening::Pending => {}
            Opening::Complete => {
                self.connections.finish_opening(id, moment.now_ns);
                self.use_slots(id, moment.now_ns, moment);
                // Edges that came while it was opened will not come again.
                if self.connections.is_live(id) {
                    self.read(id, moment);
                }
            }
            Opening::Failed(failure) => self.fail_opening(id, failure, moment),
        }
    }

    /// Give up an opening whose time is over, unless what it waits for is there unseen: a thread that did not run sees the
    /// deadline before what came in time. Then its time begins anew.
    pub(super) fn time_out_opening(&mut self, id: ConnectionId, failure: Failure, moment: &mut Moment) {
        if self.connections.has_unseen(id) {
            self.connections.allow_time(id, moment.now_ns);
            self.go_on_opening(id, moment);
        } else {
            self.fail_opening(id, failure, moment);
        }
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
        self.write(id, moment);
        if has_more {
            // Writing a large body took time, and others are due.
            moment.now_ns = self.read_clock();
            self.use_slots(id, moment.now_ns, moment);
        }
    }

    /// Write what there is. Where that fails, the server may have said why.
    fn write(&mut self, id: ConnectionId, moment: &mut Moment) {
        if let Err(failure) = self.connections.write(id) {
            self.connections.note_write_failure(id, &failure);
            self.read(id, moment);
        }
    }

    /// Read what is there, as far as the turn allows.
    pub(super) fn read(&mut self, id: ConnectionId, moment: &mut Moment) {
        self.read_up_to(TURN_BYTES, id, moment);
    }

    /// Read all that lies there, however much that is.
    pub(super) fn read_all(&mut self, id: ConnectionId, moment: &mut Moment) {
        let bytes = self.connections.unread_bytes(id);
        self.read_up_to(bytes + TURN_BYTES, id, moment);
    }

    /// Read what is there, once so many bytes were read no further.
    fn read_up_to(&mut self, bytes: usize, id: ConnectionId, moment: &mut Moment) {
        let mut left = bytes;
        while self.connections.is_live(id) {
            if left == 0 {
                return self.connections.carry(id, Carried::ToRead);
            }
            let read = self.connections.read(id);
            // When this was read: the end of a response, where no stamp tells of it.
            moment.now_ns = self.read_clock();
            moment.arrived = None;
            if let Ok(ReadOutcome::Bytes { stamp_unix_ns, .. }) = read {
                moment.arrived = self.clocks.arrived(stamp_unix_ns, moment.now_ns);
                if let Some(fault) = self.plan.fault {
                    fault.before_parse();
                }
            }
            let parsed = self.connections.parse(id, read, &mut self.events);
            left = left.saturating_sub(parsed.bytes);
            self.settle(id, moment);
            if !parsed.has_more {
                return;
            }
        }
    }

    /// Something was done to the protocol of a connection: do what its events ask, use its slots, and write what it has to
    /// say.
    pub(super) fn settle(&mut self, id: ConnectionId, moment: &mut Moment) {
        let happened_ns = moment.happened_ns();
        if !self.events.is_empty() {
            self.apply(id, moment);
        }
        moment.arrived = None;
        self.use_slots(id, happened_ns, moment);
    }

    /// Do what the protocol's events ask.
    fn apply(&mut self, id: ConnectionId, moment: &mut Moment) {
        let mut events = std::mem::take(&mut self.events);
        let (mut next, mut must_close, mut ended) = (None, false, 0);
        for event in events.drain(..) {
            match event {
                Event::FirstByte(request) => self.requests.note_first_byte(request, *moment),
                Event::BodyPart(request) => {
                    let bytes = self.connections.body(id, request).part();
                    self.requests.note_body(request, bytes, *moment);
                }
                Event::ServerEvents(request, count) => self.requests.note_events(request, count, *moment),
                Event::Ended(request, exchange) => {
                    self.due.extend(next.take());
                    next = self.finish(request, id, &exchange, None, *moment);
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
        let happened_ns = moment.happened_ns();
        moment.arrived = None;
        let pool = self.connections.pool_at(id);
        let (before, left) = self.connections.note_ended(id, ended);
        // A server that hangs up behind its last answer, unannounced, has closed an idle connection.
        let was_left = ended > 0 && left == 0 && self.connections.has_hung_up(id);
        if must_close || was_left {
            debug_assert_eq!(left, 0, "a protocol gives up its requests before its connection");
            self.due.extend(next);
            if must_close && before > 0 {
                self.connections.close(id);
            } else {
                self.connections.lose(id);
            }
            return self.open_needed(pool, moment);
        }
        match next {
            Some(arrival) if self.pool_of(&arrival) == pool && self.can_begin_on(id, pool, happened_ns) => {
                self.begin_on(arrival, id, moment);
            }
            other => self.due.extend(other),
        }
    }

    /// Whether who comes next can have a slot of a connection that became free at `since_ns`. Whoever waits comes first, and
    /// where the connection rested already, those that rest with it have their turn.
    fn can_begin_on(&mut self, id: ConnectionId, pool: usize, since_ns: i64) -> bool {
        let is_free = self.connections.note_slot(id, since_ns);
        is_free && !self.connections.is_resting(id) && !self.connections.has_waiting(pool)
    }

    /// Give the slots that a connection has since `since_ns` to those that wait longest, or let it rest; and write what
    /// it has to say.
    fn use_slots(&mut self, id: ConnectionId, since_ns: i64, moment: &mut Moment) {
        let mut has_offered = false;
        // What is sent may find it dead.
        while self.connections.is_live(id) {
            if self.connections.note_slot(id, since_ns) {
                has_offered = true;
                if let Some(request) = self.connections.take_waiting(self.connections.pool_at(id)) {
                    self.assign_waiting(request, id, moment);
                    continue;
                }
                self.connections.rest(id);
            }
            if !self.connections.wants_to_write(id) {
                break;
            }
            self.write(id, moment);
        }
        if has_offered {
            self.connections.note_offered(id);
        }
    }

    fn assign_waiting(&mut self, request: RequestId, id: ConnectionId, moment: &mut Moment) {
        if self.connections.is_new(id) {
            let is_replacement = self.connections.is_replacement(id);
            self.requests.note_opened(request, is_replacement);
        }
        self.assign(request, id, moment);
    }
}
