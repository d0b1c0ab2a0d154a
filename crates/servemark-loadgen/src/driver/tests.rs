//! What a driver does in a turn, without a run around it.

mod slots;
mod slots_by_turns;
mod slotted;
mod slotted_run;

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use super::connections::Carried;
use super::*;
use crate::error::{Failure, Kind};
use crate::http1::Http1;
use crate::load::{Next, Retired};
use crate::plan::tests::simple_plan;
use crate::plan::{SharedBytes, Step};
use crate::table::{Header, Table};
use crate::writer::Writer;

/// A load of which nothing becomes due by itself.
struct Nothing;

impl Load for Nothing {
    fn next_due_ns(&self) -> i64 {
        i64::MAX
    }

    fn take_due(&mut self, _now_ns: i64) -> Option<Arrival> {
        None
    }

    fn ended(&mut self, _arrival: &Arrival, _end_ns: i64, _next: Next) -> Option<Arrival> {
        None
    }

    fn take_retired(&mut self) -> Retired {
        Retired::default()
    }

    fn end_scheduling(&mut self, _at_ns: i64) {}

    fn is_exhausted(&self) -> bool {
        true
    }

    fn over_ns(&self) -> Option<i64> {
        None
    }
}

/// What surrounds a driver, of a plan of one address.
struct Around {
    plan: Plan,
    control: Control,
    counters: Counters,
    first_bodies: Vec<Vec<FirstBody>>,
}

impl Around {
    fn new(port: u16) -> Self {
        let plan = simple_plan(port, 1, 1);
        Self {
            control: Control::new(1, plan.foreground(), false).unwrap(),
            counters: Counters::default(),
            first_bodies: vec![Vec::new()],
            plan,
        }
    }

    /// A driver of HTTP/1.1 with `limit` connections of closed loops, and as many of open ones. Nobody writes its records.
    fn driver<L: Load>(&self, load: L, limit: usize) -> Driver<'_, L, Http1<'_>> {
        self.driver_of(load, limit, nowhere())
    }

    /// A driver of any protocol, and where its records go.
    fn driver_of<'plan, L: Load, P: Protocol<'plan>>(
        &'plan self,
        load: L,
        limit: usize,
        recorder: Recorder,
    ) -> Driver<'plan, L, P> {
        let around = Surroundings {
            plan: &self.plan,
            thread: 0,
            tls: &[None],
            control: &self.control,
            counters: &self.counters,
            first_bodies: &self.first_bodies,
            has_stamps: false,
        };
        let prepare = |step: &Step| step.requests.iter().map(P::prepare).collect();
        // It lives as long as the test.
        let prepared = Box::leak(self.plan.steps.iter().map(prepare).collect());
        Driver::new(around, prepared, load, &[limit; 2], recorder).unwrap()
    }
}

fn header() -> Header {
    Header {
        table: Table::Records,
        steps: Vec::new(),
        started_unix_ns: 0,
        warmup_ns: 0,
    }
}

/// A recorder whose records nobody writes.
fn nowhere() -> Recorder {
    let nowhere = File::options().write(true).open("/dev/null").unwrap();
    let (_, writer) = Writer::new((nowhere, header()), Vec::new()).unwrap();
    writer.recorder()
}

fn arrival(user: u32) -> Arrival {
    Arrival {
        scheduled_ns: 0,
        user,
        step: 0,
        group: 0,
        position: 0,
        loop_number: 0,
        is_open: true,
        step_since_ns: 0,
    }
}

impl<'plan, L: Load, P: Protocol<'plan>> Driver<'plan, L, P> {
    fn now(&self) -> Moment {
        Moment::at(self.clocks.now_ns())
    }
}

/// Do it with so little stack that a thousand frames do not fit.
fn on_little_stack(act: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let small = thread::Builder::new().stack_size(64 * 1024);
        small.spawn_scoped(scope, act).unwrap().join().unwrap();
    });
}

#[test]
fn connections_that_cannot_be_watched_fail_one_after_another() {
    const WAITING: u32 = 10_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let around = Around::new(listener.local_addr().unwrap().port());
    on_little_stack(|| {
        let mut driver = around.driver(Nothing, 1);
        let mut moment = driver.now();
        (0..WAITING).for_each(|user| driver.begin(arrival(user), &mut moment));
        driver.connections.refuse_to_watch();
        let (id, _) = driver.connections.sockets()[0];
        driver.fail_opening(id, Failure::new(Kind::Connect, "refused"), &mut moment);
        assert!(driver.requests.is_empty() && driver.connections.sockets().is_empty());
        assert_eq!(around.counters.failed.value(), u64::from(WAITING));
        assert!(!driver.connections.has_waiting(1));
    });
}

/// Open `count` connections of open loops, and let them rest.
fn open_and_rest<'plan, L: Load, P: Protocol<'plan>>(driver: &mut Driver<'plan, L, P>, count: usize) {
    let mut moment = driver.now();
    (0..count).for_each(|_| driver.open(1, &mut moment).unwrap());
    while driver.connections.opening_count() > 0 {
        driver.turn().unwrap();
    }
    driver.is_started = true;
}

#[test]
fn a_request_goes_from_one_dead_connection_to_the_next() {
    const RESTING: usize = 400;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, RESTING as i32).unwrap();
    let around = Around::new(listener.local_addr().unwrap().port());
    on_little_stack(|| {
        let mut driver = around.driver(Nothing, RESTING);
        open_and_rest(&mut driver, RESTING);
        for (_, socket) in driver.connections.sockets() {
            rustix::net::shutdown(socket, rustix::net::Shutdown::Write).unwrap();
        }
        let mut moment = driver.now();
        driver.connections.note_quiet(moment.now_ns);
        driver.begin(arrival(0), &mut moment);
        assert_eq!(
            driver.connections.sockets().len(),
            1,
            "one that takes the place of those that died"
        );
        assert_eq!((driver.requests.len(), driver.requests.sent()), (1, 0));
        assert!(driver.connections.has_waiting(1));
    });
}

/// A load of which a request becomes due by itself as soon as another has ended.
#[derive(Default)]
struct DueAfterAnEnd<'test> {
    ended: usize,
    /// How many had ended when it was taken.
    taken_after: Option<&'test Cell<usize>>,
}

impl Load for DueAfterAnEnd<'_> {
    fn next_due_ns(&self) -> i64 {
        match self.taken_after {
            Some(_) if self.ended > 0 => 0,
            _ => i64::MAX,
        }
    }

    fn take_due(&mut self, now_ns: i64) -> Option<Arrival> {
        if self.next_due_ns() > now_ns {
            return None;
        }
        self.taken_after.take()?.set(self.ended);
        Some(arrival(u32::MAX))
    }

    fn ended(&mut self, _arrival: &Arrival, _end_ns: i64, _next: Next) -> Option<Arrival> {
        self.ended += 1;
        None
    }

    fn take_retired(&mut self) -> Retired {
        Retired::default()
    }

    fn end_scheduling(&mut self, _at_ns: i64) {}

    fn is_exhausted(&self) -> bool {
        self.taken_after.is_none()
    }

    fn over_ns(&self) -> Option<i64> {
        None
    }
}

#[test]
fn what_is_due_does_not_wait_for_those_that_had_more_to_do() {
    const BUSY: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let around = Around::new(listener.local_addr().unwrap().port());
    let taken_after = Cell::new(usize::MAX);
    let load = DueAfterAnEnd {
        taken_after: Some(&taken_after),
        ..DueAfterAnEnd::default()
    };
    let mut driver = around.driver(load, BUSY);
    open_and_rest(&mut driver, BUSY);
    let mut moment = driver.now();
    (0..BUSY).for_each(|user| driver.begin(arrival(user as u32), &mut moment));
    assert_eq!(driver.requests.sent(), BUSY as u64);
    let mut sockets = Vec::new();
    for mut socket in listener.incoming().take(BUSY).flatten() {
        let _ = socket.read(&mut [0; 1000]).unwrap();
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        sockets.push(socket);
    }
    let busy = driver.connections.sockets().into_iter().map(|(id, socket)| {
        poll(&mut [PollFd::from_borrowed_fd(socket, PollFlags::IN)], None).unwrap();
        id
    });
    for id in busy.collect::<Vec<_>>() {
        driver.connections.carry(id, Carried::ToRead);
    }
    driver.carry_on(&mut moment);
    assert_eq!(
        taken_after.get(),
        1,
        "the first had its turn, then came what was due"
    );
    assert_eq!(
        driver.connections.carried_count(),
        BUSY - MAX_CARRIED_A_TURN,
        "the others wait until events were looked at"
    );
}

/// Wait until something is so, which comes by itself.
fn await_that(mut is_so: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it did not come");
}

#[test]
fn a_connection_that_stands_is_no_timeout_however_late_that_is_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let around = Around::new(listener.local_addr().unwrap().port());
    let mut driver = around.driver(Nothing, 1);
    let mut moment = driver.now();
    driver.begin(arrival(0), &mut moment);
    let (id, _) = driver.connections.sockets()[0];
    await_that(|| driver.connections.has_unseen(id));
    driver.give_up_late(&mut Moment::at(
        moment.now_ns + 2 * around.plan.connect_timeout_ns,
    ));
    assert_eq!(around.counters.failed.value(), 0);
    assert_eq!(
        (driver.requests.sent(), driver.connections.opening_count()),
        (1, 0)
    );
    assert_eq!(driver.connections.next_deadline_ns(), i64::MAX);
}

#[test]
fn a_request_that_leaves_late_has_its_whole_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let around = Around::new(listener.local_addr().unwrap().port());
    let mut driver = around.driver(Nothing, 1);
    open_and_rest(&mut driver, 1);
    driver.connections.begin_at_origin();
    let mut moment = driver.now();
    let due = Arrival {
        scheduled_ns: moment.now_ns - 2 * around.plan.timeout_ns,
        ..arrival(0)
    };
    driver.begin(due, &mut moment);
    assert_eq!(driver.requests.sent(), 1);
    driver.give_up_late(&mut moment);
    assert_eq!(around.counters.failed.value(), 0);
    driver.give_up_late(&mut Moment::at(moment.now_ns + around.plan.timeout_ns));
    assert_eq!(around.counters.failed.value(), 1);
}

#[test]
fn a_connection_that_nobody_takes_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let port = listener.local_addr().unwrap().port();
    // As many as it takes; what comes after them is not answered.
    let _taken = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let around = Around::new(port);
    let mut driver = around.driver(Nothing, 1);
    let mut moment = driver.now();
    driver.begin(arrival(0), &mut moment);
    driver.give_up_late(&mut Moment::at(
        moment.now_ns + 2 * around.plan.connect_timeout_ns,
    ));
    assert_eq!((around.counters.failed.value(), driver.requests.sent()), (1, 0));
}

#[test]
fn a_response_that_lies_there_whole_is_no_timeout_however_long_it_is() {
    const BODY_BYTES: usize = 3 * connections::TURN_BYTES;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let around = Around::new(listener.local_addr().unwrap().port());
    let mut driver = around.driver(Nothing, 1);
    open_and_rest(&mut driver, 1);
    let (id, socket) = driver.connections.sockets()[0];
    rustix::net::sockopt::set_socket_recv_buffer_size(socket, 4 * BODY_BYTES).unwrap();
    let mut moment = driver.now();
    driver.begin(arrival(0), &mut moment);
    let (mut server, _) = listener.accept().unwrap();
    let _ = server.read(&mut [0; 1000]).unwrap();
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n").into_bytes();
    response.resize(response.len() + BODY_BYTES, b'x');
    server.write_all(&response).unwrap();
    await_that(|| driver.connections.unread_bytes(id) == response.len());
    driver.give_up_late(&mut Moment::at(moment.now_ns + 2 * around.plan.timeout_ns));
    let counters = &around.counters;
    assert_eq!((counters.succeeded.value(), counters.failed.value()), (1, 0));
}

/// Something that reads the clock.
type Act = for<'a> fn(&mut Driver<'a, Nothing, Http1<'a>>, &mut Moment);

#[test]
fn a_write_ends_when_the_clock_is_read_for_whatever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let around = Around::new(listener.local_addr().unwrap().port());
    let acts: [Act; 3] = [
        |driver, moment| driver.begin(arrival(1), moment),
        |driver, _| {
            driver.wake(0);
        },
        |driver, moment| {
            let (id, _) = driver.connections.sockets()[0];
            driver.read(id, moment);
        },
    ];
    for act in acts {
        let mut driver = around.driver(Nothing, 2);
        open_and_rest(&mut driver, 1);
        let mut moment = driver.now();
        driver.begin(arrival(0), &mut moment);
        assert!(driver.requests.longest_write_ns().is_some());
        act(&mut driver, &mut moment);
        assert_eq!(driver.requests.longest_write_ns(), None);
    }
}

#[test]
fn a_write_may_take_as_long_as_all_its_bytes_do() {
    const BODY_BYTES: usize = 40_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut around = Around::new(listener.local_addr().unwrap().port());
    around.plan.steps[0].requests[0].body = SharedBytes::new(vec![b'x'; BODY_BYTES]);
    let mut driver = around.driver(Nothing, 1);
    open_and_rest(&mut driver, 1);
    let mut moment = driver.now();
    driver.begin(arrival(0), &mut moment);
    let longest_ns = driver.requests.longest_write_ns().unwrap();
    assert!(longest_ns > 100_000 + BODY_BYTES as i64, "{longest_ns}");
}

#[test]
fn a_connection_stands_from_when_the_server_said_so_however_late_that_is_seen() {
    const LATE: Duration = Duration::from_millis(300);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let around = Around::new(listener.local_addr().unwrap().port());
    let mut driver = around.driver(Nothing, 1);
    let mut moment = driver.now();
    driver.open(1, &mut moment).unwrap();
    thread::sleep(LATE);
    driver.turn().unwrap();
    let (id, _) = driver.connections.sockets()[0];
    let slot = driver.connections.take_slot(id);
    assert!(slot.connect_us > 0);
    let late_ns = driver.now().now_ns - slot.free_since_ns;
    assert!(late_ns > LATE.as_nanos() as i64 / 2, "{late_ns}");
}
