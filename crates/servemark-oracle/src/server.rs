//! The server: one thread, one epoll, real sockets.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ServerConfig;
use servemark_loadgen::clock::{NS_PER_S, monotonic_ns};
use servemark_loadgen::poller::{self, Poller};
use slab::Slab;

use crate::arguments::Answers;
use crate::http;
use crate::kernel;
use crate::law::{Departures, Law};
use crate::llm::{self, Asked};
use crate::log::{Log, NEVER_NS, Row};
use crate::script::Script;
use crate::stamps::Stamps;
use crate::wire::Wire;

const LISTENER: u64 = u64::MAX;
const STDIN: u64 = u64::MAX - 1;

/// So long before an answer is due the thread stops sleeping: a wake-up takes tens of microseconds.
const SPIN_NS: i64 = 60_000;
const LONGEST_WAIT_NS: i64 = 3600 * NS_PER_S;
/// Connections that wait to be accepted; the kernel lowers it to its own limit.
const BACKLOG: i32 = 8192;

/// Answers that are due, the earliest first: when, and which row; the order of rows decides between equal times.
type Due = BinaryHeap<Reverse<(i64, usize, Answer)>>;

/// What is to be written next for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    /// The connection's place among those that are open.
    key: usize,
    /// Which packet of its script.
    packet: u32,
    /// When the answer was ready, whatever held it back: its script's times count from here.
    ready_ns: i64,
}

struct Connection {
    wire: Wire,
    number: i64,
    /// What was read and not yet taken.
    input: Vec<u8>,
    /// When the first bytes of `input` came.
    arrival: Arrival,
    /// What is sent for the request that waits for its answer: the next one is taken after that.
    script: Option<Rc<Script>>,
}

/// When a request came.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    /// By the kernel, or `read_ns` where it did not say.
    at_ns: i64,
    is_stamped: bool,
    read_ns: i64,
}

impl Arrival {
    fn when_read(read_ns: i64) -> Self {
        Self {
            at_ns: read_ns,
            is_stamped: false,
            read_ns,
        }
    }
}

/// What is sent for requests, each script made once.
struct Scripts {
    /// Whatever is asked; none of an LLM server.
    same: Option<Rc<Script>>,
    asked: HashMap<Asked, Rc<Script>>,
}

impl Scripts {
    fn new(answers: Answers) -> Self {
        let same = match answers {
            Answers::Events { count, every_ns } => Some(Rc::new(Script::of_events(count, every_ns))),
            Answers::Tokens => None,
        };
        Self {
            same,
            asked: HashMap::new(),
        }
    }

    /// The script of a request, or why there is none.
    fn of(&mut self, request: &http::Request, body: &[u8]) -> Result<Rc<Script>, String> {
        if let Some(same) = &self.same {
            return Ok(Rc::clone(same));
        }
        let target = request.target.as_str();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if request.is_look {
            return Ok(Rc::new(llm::look()));
        }
        if path.ends_with("/v1/models") {
            return Ok(Rc::new(llm::models()));
        }
        let asked = Asked::read(path, query, body)?;
        let made = self
            .asked
            .entry(asked)
            .or_insert_with_key(|asked| Rc::new(llm::script(asked)));
        Ok(Rc::clone(made))
    }
}

/// The oracle's server.
pub(crate) struct Server {
    /// What happened so far.
    pub(crate) log: Log,
    departures: Departures,
    stamps: Stamps,
    scripts: Scripts,
    tls: Option<Arc<ServerConfig>>,
    listener: TcpListener,
    poller: Poller,
    connections: Slab<Connection>,
    accepted: i64,
    due: Due,
    /// Connections that were closed because they sent what is no request.
    unreadable: u64,
    buffer: Box<[u8]>,
}

impl Server {
    /// A server on a free port of 127.0.0.1, as many connections as the hard limit on descriptors allows.
    pub(crate) fn new(law: Law, answers: Answers, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                ..limit
            },
        )?;
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        // Where there are no stamps, the report counts every arrival as one that lacks it.
        let _ = kernel::stamp_receipts(listener.as_fd());
        rustix::net::listen(&listener, BACKLOG)?;
        let poller = Poller::new()?;
        poller.watch_waker(listener.as_fd(), LISTENER)?;
        Ok(Self {
            log: Log::new(),
            departures: Departures::new(law),
            stamps: Stamps::new(),
            scripts: Scripts::new(answers),
            tls,
            listener,
            poller,
            connections: Slab::new(),
            accepted: 0,
            due: Due::new(),
            unreadable: 0,
            buffer: vec![0; 64 * 1024].into(),
        })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Serve until standard input, a pipe or a terminal, ends.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let stdin = io::stdin();
        self.poller.watch_waker(stdin.as_fd(), STDIN).map_err(|error| {
            io::Error::new(
                error.kind(),
                "standard input must be a pipe, whose end ends the oracle",
            )
        })?;
        let mut ready = poller::Events::new();
        loop {
            self.answer_due();
            self.poller.wait(&mut ready, self.wait_ns())?;
            self.stamps.sample();
            for index in 0..ready.len() {
                let event = ready.at(index);
                match event.token {
                    STDIN if rustix::io::read(&stdin, &mut *self.buffer)? == 0 => return Ok(()),
                    STDIN => {}
                    LISTENER => self.accept()?,
                    key => self.receive(key as usize, event.hang_up),
                }
                self.answer_due();
            }
        }
    }

    /// One line of JSON about the requests, the oracle's own lateness, and when its stalls were.
    pub(crate) fn report(&self) -> String {
        let (answered, [p50_ns, p99_ns, max_ns]) = self.log.lateness_ns();
        let [_, writing_p99_ns, writing_max_ns] = self.log.writing_ns();
        let stalls: Vec<_> = self
            .departures
            .stalls_ns()
            .map(|(begin, end)| [begin, end])
            .collect();
        format!(
            "{{\"requests\": {}, \"answered\": {answered}, \"connections\": {}, \"unreadable\": {}, \
             \"unstamped\": {}, \"clock_steps\": {}, \"late_p50_ns\": {p50_ns}, \"late_p99_ns\": {p99_ns}, \
             \"late_max_ns\": {max_ns}, \"writing_p99_ns\": {writing_p99_ns}, \"writing_max_ns\": {writing_max_ns}, \
             \"stalls_ns\": {stalls:?}}}",
            self.log.rows.len(),
            self.accepted,
            self.unreadable,
            self.log.unstamped(),
            self.stamps.steps,
        )
    }

    fn wait_ns(&self) -> i64 {
        self.due.peek().map_or(LONGEST_WAIT_NS, |Reverse((due_ns, ..))| {
            (due_ns - SPIN_NS - monotonic_ns()).clamp(0, LONGEST_WAIT_NS)
        })
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let wire = Wire::new(stream, self.tls.as_ref())?;
            let entry = self.connections.vacant_entry();
            self.poller.watch(wire.stream.as_fd(), entry.key() as u64)?;
            entry.insert(Connection {
                wire,
                number: self.accepted,
                input: Vec::new(),
                arrival: Arrival::when_read(0),
                script: None,
            });
            self.accepted += 1;
        }
    }

    /// Read what a connection has brought. A read that does not fill the buffer has drained it, unless it has hung up.
    fn receive(&mut self, key: usize, hang_up: bool) {
        loop {
            let Some(connection) = self.connections.get_mut(key) else {
                return;
            };
            match kernel::receive(connection.wire.stream.as_fd(), &mut self.buffer) {
                Ok((0, _)) => return self.close(key),
                Ok((count, stamp_ns)) => {
                    if connection.input.is_empty() {
                        let read_ns = monotonic_ns();
                        let at_ns = stamp_ns.and_then(|ns| self.stamps.monotonic_ns(ns, read_ns));
                        connection.arrival = Arrival {
                            at_ns: at_ns.unwrap_or(read_ns),
                            is_stamped: at_ns.is_some(),
                            read_ns,
                        };
                    }
                    let received = &self.buffer[..count];
                    if connection.wire.receive(received, &mut connection.input).is_err() {
                        return self.close(key);
                    }
                    self.take_request(key);
                    if count < self.buffer.len() && !hang_up {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.close(key),
            }
        }
    }

    /// Let the law decide on the request that a connection has brought, if it is complete and the first.
    fn take_request(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if connection.script.is_some() {
            return;
        }
        let request = match http::parse(&connection.input) {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(http::Unreadable) => {
                self.unreadable += 1;
                return self.close(key);
            }
        };
        let body = &connection.input[request.head_length..request.length];
        let Ok(script) = self.scripts.of(&request, body) else {
            self.unreadable += 1;
            return self.close(key);
        };
        let lasts_ns = script.lasts_ns();
        connection.script = Some(script);
        connection.input.drain(..request.length);
        let row = self.log.rows.len();
        let number = u64::try_from(request.seq).unwrap_or(row as u64);
        let arrival = connection.arrival;
        let (service_ns, ready_ns) = self.departures.add(arrival.at_ns, number);
        self.log.rows.push(Row {
            user: request.user,
            seq: request.seq,
            connection: connection.number,
            arrival_ns: arrival.at_ns,
            service_ns,
            due_ns: self.departures.held_back_ns(ready_ns + lasts_ns),
            first_ns: NEVER_NS,
            departed_ns: NEVER_NS,
            read_ns: arrival.read_ns,
            written_ns: NEVER_NS,
            is_stamped: arrival.is_stamped,
            first_content_ns: NEVER_NS,
            last_content_ns: NEVER_NS,
            longest_gap_ns: 0,
            contents: 0,
            tokens: 0,
        });
        self.expect(
            row,
            Answer {
                key,
                packet: 0,
                ready_ns,
            },
        );
    }

    fn expect(&mut self, row: usize, answer: Answer) {
        let script = self.connections[answer.key].script.as_ref();
        let packet = script.and_then(|script| script.packets.get(answer.packet as usize));
        let after_ns = packet.map_or(0, |packet| packet.after_ns);
        let due_ns = self.departures.held_back_ns(answer.ready_ns + after_ns);
        self.due.push(Reverse((due_ns, row, answer)));
    }

    /// Write every answer that is due.
    fn answer_due(&mut self) {
        while let Some(&Reverse((due_ns, row, answer))) = self.due.peek() {
            if due_ns > monotonic_ns() {
                return;
            }
            self.due.pop();
            self.answer(row, answer);
        }
    }

    fn answer(&mut self, row: usize, answer: Answer) {
        let Some(connection) = self.connections.get_mut(answer.key) else {
            return;
        };
        if connection.number != self.log.rows[row].connection {
            return; // the one that asked has gone, and another has its place
        }
        let Some(script) = connection.script.clone() else {
            return;
        };
        let packet = &script.packets[answer.packet as usize];
        // Before the write, for it wakes the reader, who may take this thread's CPU: that is no time of the server's.
        let first_ns = monotonic_ns();
        let (mut leaving_ns, mut written) = (first_ns, Ok(()));
        for (number, bytes) in packet.writes.iter().enumerate() {
            if number > 0 {
                leaving_ns = monotonic_ns();
            }
            written = written.and_then(|()| connection.wire.send(bytes));
        }
        let written_ns = monotonic_ns();
        if written.is_err() {
            return self.close(answer.key);
        }
        let row_now = &mut self.log.rows[row];
        if answer.packet == 0 {
            row_now.first_ns = first_ns;
        }
        row_now.note_content(leaving_ns, packet.contents, packet.tokens);
        let next = answer.packet + 1;
        if (next as usize) < script.packets.len() {
            return self.expect(
                row,
                Answer {
                    packet: next,
                    ..answer
                },
            );
        }
        row_now.departed_ns = leaving_ns;
        row_now.written_ns = written_ns;
        connection.script = None;
        if !connection.input.is_empty() {
            connection.arrival = Arrival::when_read(written_ns);
            self.take_request(answer.key);
        }
    }

    fn close(&mut self, key: usize) {
        self.connections.remove(key);
    }
}
