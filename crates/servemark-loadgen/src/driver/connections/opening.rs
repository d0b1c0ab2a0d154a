//! Opening a connection: TCP, then TLS, both without waiting.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::{Connection, ConnectionId, Stage};
use super::{Connections, Protocol};
use crate::driver::moment::{Arrived, Moment};
use crate::driver::seconds;
use crate::error::{Failure, Kind, Lack};
use crate::pool::Pool;
use crate::transport::Transport;

/// A connection that could not even begin to be opened.
#[derive(Debug)]
pub(in crate::driver) struct Unopened {
    /// The number that it would have had.
    pub(in crate::driver) number: u32,
    doing: &'static str,
    error: io::Error,
}

impl Unopened {
    fn lacks_descriptor(&self) -> bool {
        Lack::of(&self.error) == Some(Lack::Descriptors)
    }
}

impl From<Unopened> for Failure {
    fn from(unopened: Unopened) -> Self {
        Self::from_io(Kind::Connect, unopened.doing, &unopened.error)
    }
}

/// How far an opening came.
#[derive(Debug)]
pub(in crate::driver) enum Opening {
    /// It waits for the server.
    Pending,
    /// All is agreed on.
    Complete,
    /// It will never be open.
    Failed(Failure),
}

/// A connection that was given up while it was opened.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver) struct GivenUp {
    pub(in crate::driver) pool: usize,
    /// TCP connect time, 0 if not even that was done.
    pub(in crate::driver) connect_us: u32,
}

impl<'plan, P: Protocol<'plan>> Connections<'plan, P> {
    /// How many connections are being opened.
    pub(in crate::driver) fn opening_count(&self) -> usize {
        self.pools.iter().map(Pool::opening_count).sum()
    }

    /// When the last one was open, if there was one.
    pub(in crate::driver) fn last_opened_ns(&self) -> Option<i64> {
        self.last_opened_ns
    }

    /// When the next one is late, or `i64::MAX`.
    pub(in crate::driver) fn next_deadline_ns(&self) -> i64 {
        self.deadlines.next_ns()
    }

    /// Whether those who wait in the pool need one more.
    pub(in crate::driver) fn needs_connection(&self, pool: usize) -> bool {
        self.pools[pool].needs_connection()
    }

    /// Whether those who wait in the pool can have one that is there, since no more can be opened. So it is with an open
    /// loop that gets no more descriptors: those that are open are all that there can be.
    pub(in crate::driver) fn can_do_without(&mut self, pool: usize, unopened: &Unopened) -> bool {
        self.is_of_open_loops(pool) && unopened.lacks_descriptor() && self.pools[pool].note_full()
    }

    /// Begin to open a connection at `now_ns`. What fails at once leaves nothing behind.
    pub(in crate::driver) fn open(&mut self, pool: usize, now_ns: i64) -> Result<ConnectionId, Unopened> {
        let id = ConnectionId {
            key: self.by_key.vacant_key(),
            number: self.numbers.take() as u32,
        };
        let transport = self.connect(pool, id)?;
        let mut connection = Connection::new(id.number, pool, transport, P::new(), now_ns);
        connection.is_replacement = self.pools[pool].opening();
        self.by_key.insert(connection);
        self.allow_time(id, now_ns);
        Ok(id)
    }

    /// A connection that is being opened was asked for, at `now_ns` at the latest.
    pub(in crate::driver) fn note_asked(&mut self, id: ConnectionId, now_ns: i64) {
        self.by_key[id.key].asked_ns = now_ns;
    }

    /// Have the time that opening a connection may take begin at `now_ns`.
    pub(in crate::driver) fn allow_time(&mut self, id: ConnectionId, now_ns: i64) {
        let deadline_ns = now_ns.saturating_add(self.connect_timeout_ns);
        self.deadlines.set(id.key, deadline_ns);
    }

    /// Begin to connect a socket, watched as that of the connection `id`.
    fn connect(&mut self, pool: usize, id: ConnectionId) -> Result<Transport, Unopened> {
        let number = id.number;
        let unopened = |doing| move |error| Unopened { number, doing, error };
        let address = pool % self.addresses.len();
        let (target, tls) = (&self.addresses[address], self.tls[address].as_ref());
        let stamps = self.has_stamps;
        let transport = self.sources[address]
            .open(|source| Transport::connect(target, source, tls, stamps))
            .map_err(unopened("connect"))?;
        self.poller
            .watch(transport.as_fd(), id.token())
            .map_err(unopened("epoll"))?;
        Ok(transport)
    }

    /// Whether TLS is, or will be, spoken on a connection.
    pub(in crate::driver) fn has_tls(&self, id: ConnectionId) -> bool {
        matches!(self.by_key[id.key].transport, Transport::Tls(_))
    }

    /// Take the opening as far as it goes.
    ///
    /// A connection is open from when it would be if the thread had nothing else to do, and always ran: what its opening
    /// waits for the thread is the generator's lag. When TCP stood is known by how long the server took to answer, where
    /// the kernel tells, else by when the wait ended that reported it.
    pub(in crate::driver) fn go_on_opening(&mut self, id: ConnectionId, moment: Moment) -> Opening {
        let connection = &mut self.by_key[id.key];
        if connection.stage == Stage::Connecting {
            if let Err(error) = connection.transport.finish_connect() {
                return Opening::Failed(Failure::from_io(Kind::Connect, "connect", &error));
            }
            let answered_ns = connection
                .transport
                .connect_ns()
                .map(|ns| connection.asked_ns + ns);
            let seen_ns = moment.reported_ns();
            let open_ns = answered_ns.map_or(seen_ns, |answered_ns| answered_ns.min(seen_ns));
            let open_ns = open_ns.max(connection.opening_ns);
            connection.connect_us = connection.opening_us(open_ns);
            connection.stage = Stage::Handshaking;
            connection.opening_ns = open_ns;
            connection.waited_ns = moment.now_ns - open_ns;
        } else {
            connection.waited_ns += moment.now_ns - moment.reported_ns();
        }
        match connection.transport.handshake() {
            Ok(false) => Opening::Pending,
            Ok(true) => Opening::Complete,
            Err(error) => Opening::Failed(Failure::from_io(Kind::Tls, "TLS handshake", &error)),
        }
    }

    /// When the kernel received what the last step of a handshake read, by the wall clock, where it tells.
    pub(in crate::driver) fn handshake_stamp_unix_ns(&self, id: ConnectionId) -> Option<i64> {
        self.by_key[id.key].transport.handshake_stamp_unix_ns()
    }

    /// A step of a handshake is done at `now_ns`. What it read had arrived, where the kernel tells, before that was
    /// reported at `reported_ns`: so long it has waited for the thread, too.
    pub(in crate::driver) fn note_step(
        &mut self,
        id: ConnectionId,
        arrived: Option<Arrived>,
        reported_ns: i64,
        now_ns: i64,
    ) {
        let connection = &mut self.by_key[id.key];
        if let Some(arrived) = arrived {
            let since_ns = arrived.at_ns().max(connection.stepped_ns);
            connection.waited_ns += (reported_ns - since_ns).max(0);
        }
        connection.stepped_ns = now_ns;
    }

    /// Opening a connection was complete at `now_ns`.
    pub(in crate::driver) fn finish_opening(&mut self, id: ConnectionId, now_ns: i64) {
        let connection = &mut self.by_key[id.key];
        let open_ns = now_ns - connection.waited_ns;
        if matches!(connection.transport, Transport::Tls(_)) {
            connection.tls_us = connection.opening_us(open_ns);
        }
        connection.stage = Stage::New;
        connection.note_slot(open_ns);
        self.last_opened_ns = Some(now_ns);
        self.deadlines.clear(id.key);
        self.pools[connection.pool].opened();
    }

    /// Whether a connection takes the place of one that died while idle.
    pub(in crate::driver) fn is_replacement(&self, id: ConnectionId) -> bool {
        self.by_key[id.key].is_replacement
    }

    /// A connection whose opening takes too long at `now_ns`, and that in words.
    pub(in crate::driver) fn take_late(&mut self, now_ns: i64) -> Option<(ConnectionId, Failure)> {
        let key = self.deadlines.take_passed(now_ns)?;
        let connection = &self.by_key[key];
        let limit_s = seconds(self.connect_timeout_ns);
        let phase = match connection.stage {
            Stage::Handshaking => "the connect timed out in the TLS handshake",
            Stage::Connecting | Stage::New | Stage::Open => "the connect timed out",
        };
        let number = connection.number;
        let failure = Failure::new(Kind::Timeout, format!("{phase}, after {limit_s} s"));
        Some((ConnectionId { key, number }, failure))
    }

    /// Whether what the opening of a connection waits for is there, of which the last wait did not know.
    pub(in crate::driver) fn has_unseen(&self, id: ConnectionId) -> bool {
        let connection = &self.by_key[id.key];
        let awaited = match connection.stage {
            Stage::Connecting => PollFlags::OUT,
            Stage::Handshaking | Stage::New | Stage::Open => PollFlags::IN,
        };
        let mut polled = [PollFd::new(&connection.transport, awaited)];
        poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Close a connection that is still being opened.
    pub(in crate::driver) fn give_up_opening(&mut self, id: ConnectionId) -> GivenUp {
        let connection = &self.by_key[id.key];
        let given_up = GivenUp {
            pool: connection.pool,
            connect_us: connection.connect_us,
        };
        self.pools[given_up.pool].opened();
        self.close(id);
        given_up
    }

    /// Close all connections that are still being opened.
    pub(in crate::driver) fn give_up_all_opening(&mut self) {
        let unfinished: Vec<ConnectionId> = self
            .by_key
            .iter()
            .filter(|(_, connection)| matches!(connection.stage, Stage::Connecting | Stage::Handshaking))
            .map(|(key, _)| self.id_at(key))
            .collect();
        for id in unfinished {
            self.give_up_opening(id);
        }
    }
}
