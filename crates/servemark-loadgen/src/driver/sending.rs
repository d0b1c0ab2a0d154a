//! Sending: a request that is due is put on a connection and written, or waits for one.

use super::Driver;
use super::connections::ConnectionId;
use super::moment::Moment;
use super::requests::{self, Ended};
use crate::due::Arrival;
use crate::error::{Failure, Kind};
use crate::load::Load;
use crate::protocol::{Exchange, Protocol};
use crate::request::RequestId;

impl<'plan, L: Load, P: Protocol<'plan>> Driver<'plan, L, P> {
    /// Begin a request on whatever connection is free, or wait for one.
    pub(super) fn begin(&mut self, arrival: Arrival, moment: &mut Moment) {
        let id = self.requests.admit(arrival, moment.now_ns);
        self.acquire(id, moment);
    }

    /// Begin a request on a connection that has a slot and does not rest, and leads to the right address.
    pub(super) fn begin_on(&mut self, arrival: Arrival, connection: ConnectionId, moment: &mut Moment) {
        let id = self.requests.admit(arrival, moment.now_ns);
        self.assign(id, connection, moment);
    }

    /// Take a free connection that is alive, or wait for one to be opened.
    fn acquire(&mut self, id: RequestId, moment: &mut Moment) {
        let pool = self.pool_of(self.requests.arrival(id));
        loop {
            let (now_ns, events) = (moment.now_ns, &mut self.events);
            let Some(connection) = self.connections.take_free(pool, now_ns, events) else {
                break;
            };
            if self.send(id, connection, moment) {
                return self.connections.rest(connection);
            }
        }
        if self.connections.wait_for_slot(pool, id) {
            // When it asks for a connection: behind what others were sent meanwhile.
            moment.now_ns = self.read_clock();
            self.requests.note_asking(id, moment.now_ns);
        }
        self.open_needed(pool, moment);
    }

    /// The pool of connections that a request may use.
    pub(super) fn pool_of(&self, arrival: &Arrival) -> usize {
        let address = self.plan.steps[usize::from(arrival.step)].address;
        self.connections.pool_of(address, arrival.is_open)
    }

    /// Send a request on a connection that has a slot, or on another if it turns out to be dead.
    pub(super) fn assign(&mut self, id: RequestId, connection: ConnectionId, moment: &mut Moment) {
        if !self.send(id, connection, moment) {
            self.acquire(id, moment);
        }
    }

    /// Send a request on a connection that has a slot. Returns false when that had died while it was idle, and took no
    /// byte of the request: nothing has happened yet.
    fn send(&mut self, id: RequestId, connection: ConnectionId, moment: &mut Moment) -> bool {
        let slot = self.connections.take_slot(connection);
        let outgoing = self.requests.assign(id, slot);
        self.connections.start(connection, id, outgoing);
        // `sent`: just before the first byte is written.
        moment.now_ns = self.read_clock();
        self.requests.note_sent(id, moment.now_ns);
        match self.connections.write(connection) {
            Ok(bytes) => self.requests.note_written(id, bytes),
            Err(failure) if !failure.took_some && self.was_idle(id, connection) => {
                self.requests.take_back(id, moment.now_ns);
                self.lose(connection, moment);
                return false;
            }
            Err(failure) => {
                self.connections.note_write_failure(connection, &failure);
                self.read(connection, moment);
            }
        }
        true
    }

    /// Whether a connection carried nothing, and was not opened for it, when that request was started on it.
    fn was_idle(&self, id: RequestId, connection: ConnectionId) -> bool {
        self.connections.in_flight(connection) == 1 && !self.requests.was_opened_for(id)
    }

    /// Give up a request, wherever it stands.
    fn give_up(&mut self, id: RequestId, failure: Failure, moment: &mut Moment) {
        match self.requests.connection_of(id) {
            Some(key) => {
                let connection = self.connections.cancel(key, id, failure, &mut self.events);
                self.settle(connection, moment);
            }
            None => self.finish_unsent(id, failure, *moment),
        }
    }

    /// Give up a request whose time is over, unless its response lies there unread: a thread that did not run sees the
    /// deadline before what came in time.
    pub(super) fn time_out(&mut self, id: RequestId, seq: u64, moment: &mut Moment) {
        if let Some(key) = self.requests.connection_of(id) {
            self.read_all(self.connections.id_at(key), moment);
        }
        if self.requests.is_unfinished(id, seq) {
            self.give_up(id, requests::timed_out(self.plan.timeout_ns), moment);
        }
    }

    /// The run was stopped and its time is over: everything unfinished becomes a cancelled record.
    pub(super) fn cancel_all(&mut self, moment: &mut Moment) {
        let unbegun: Vec<Arrival> = self.due.drain(..).collect();
        for arrival in unbegun {
            self.requests.admit(arrival, moment.now_ns);
        }
        self.connections.clear_waiting();
        for (id, seq) in self.requests.cut_off() {
            // Those that another's cancellation has not ended.
            if self.requests.is_unfinished(id, seq) {
                let failure = Failure::new(Kind::Cancelled, "the run was stopped");
                self.give_up(id, failure, moment);
            }
        }
    }

    /// A request never had an open connection: write its record.
    pub(super) fn finish_unsent(&mut self, id: RequestId, failure: Failure, moment: Moment) {
        let ended = self.requests.finish_unsent(id, failure, moment);
        let next = self.ask_load(&ended, moment.now_ns);
        self.due.extend(next);
    }

    /// A request ended on its connection: write its record. Returns what is due because of that.
    pub(super) fn finish(
        &mut self,
        id: RequestId,
        connection: ConnectionId,
        exchange: &Exchange,
        failure: Option<Failure>,
        moment: Moment,
    ) -> Option<Arrival> {
        let body = self.connections.body(connection, id);
        let ended = self.requests.finish(id, exchange, failure, Some(body), moment);
        self.ask_load(&ended, moment.now_ns)
    }

    /// Tell the load of an end. Returns what is due because of that.
    fn ask_load(&mut self, ended: &Ended, now_ns: i64) -> Option<Arrival> {
        self.observe_stop();
        let due = self.load.ended(&ended.arrival, ended.end_ns, ended.next);
        self.report_retired(now_ns);
        due
    }
}
