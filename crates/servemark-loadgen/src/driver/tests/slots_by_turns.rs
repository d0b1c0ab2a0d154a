//! Connections with several slots, a turn of the driver at a time: what it does where only the order of events decides.

use super::slotted::{ALLOW, ASK, DATA, END, FREE, PING, PONG, Peer, RESET, Slotted, answer};
use super::*;
use crate::request::RequestId;

/// A driver without a load.
type Resting<'plan, const SLOTS: usize> = Driver<'plan, Nothing, Slotted<SLOTS>>;

/// One with `limit` connections that rest, and the server's end of each.
fn at_rest<'plan, const SLOTS: usize>(
    around: &'plan Around,
    listener: &TcpListener,
    limit: usize,
) -> (Resting<'plan, SLOTS>, Vec<Peer>) {
    let mut driver = around.driver_of(Nothing, limit, nowhere());
    open_and_rest(&mut driver, limit);
    // Long ago: whoever takes one of them looks at it first.
    driver.connections.note_quiet(i64::MIN);
    (driver, (0..limit).map(|_| Peer::accept(listener)).collect())
}

fn turn_until<const SLOTS: usize>(
    driver: &mut Resting<'_, SLOTS>,
    mut is_so: impl FnMut(&mut Resting<'_, SLOTS>) -> bool,
) {
    let until_ns = monotonic_ns() + 20 * NS_PER_S;
    while !is_so(driver) {
        assert!(monotonic_ns() < until_ns, "it is never so");
        driver.turn().unwrap();
    }
}

/// Wait until a connection of the driver has something to read.
fn wait_until_readable<const SLOTS: usize>(driver: &Resting<'_, SLOTS>, flags: PollFlags) {
    let (_, socket) = driver.connections.sockets()[0];
    poll(&mut [PollFd::from_borrowed_fd(socket, flags)], None).unwrap();
}

fn listener_and_around() -> (TcpListener, Around) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let around = Around::new(listener.local_addr().unwrap().port());
    (listener, around)
}

#[test]
fn connections_are_used_in_turn_as_long_as_they_have_slots() {
    let (listener, around) = listener_and_around();
    let (mut driver, mut peers) = at_rest::<2>(&around, &listener, 2);
    let mut moment = driver.now();
    (0..5).for_each(|user| driver.begin(arrival(user), &mut moment));
    let carriers = carriers(&driver, 5);
    assert_ne!(carriers[0], carriers[1]);
    assert_eq!(carriers[2..], [carriers[0], carriers[1], None]);
    assert!(driver.connections.has_waiting(1));
    let (number, user) = peers[1].asked();
    peers[1].send(&answer(number));
    turn_until(&mut driver, |driver| !driver.connections.has_waiting(1));
    let own = carriers[usize::from(user)];
    assert_eq!(driver.requests.connection_of(RequestId(4)), own);
}

/// The connections of the first `count` requests.
fn carriers<const SLOTS: usize>(driver: &Resting<'_, SLOTS>, count: usize) -> Vec<Option<usize>> {
    let requests = (0..count).map(RequestId);
    requests.map(|id| driver.requests.connection_of(id)).collect()
}

#[test]
fn a_connection_whose_slots_come_back_rests_behind_the_others_and_once() {
    let (listener, around) = listener_and_around();
    let (mut driver, mut peers) = at_rest::<1>(&around, &listener, 2);
    let mut moment = driver.now();
    (0..2).for_each(|user| driver.begin(arrival(user), &mut moment));
    // Which of them the first took, and so the next would.
    let first = usize::from(peers[0].asked().1 == 1);
    peers[1].asked();
    let own = driver.requests.connection_of(RequestId(0));
    for peer in [first, 1 - first] {
        peers[peer].send(&[[ALLOW, 2, 0], [END, 0, 0], [FREE, 0, 0]]);
        turn_until(&mut driver, |driver| {
            driver.requests.len() == usize::from(peer == first)
        });
    }
    for allowed in [0, 2] {
        peers[first].send(&[[ALLOW, allowed, 0], [PING, 0, 0]]);
        turn_until(&mut driver, |_| !peers[first].is_quiet());
        assert_eq!(peers[first].next(), Some([PONG, 0, 0]));
    }
    (0..4).for_each(|user| driver.begin(arrival(user), &mut moment));
    let carriers = carriers(&driver, 4);
    let by_first: Vec<bool> = carriers.into_iter().map(|carrier| carrier == own).collect();
    // The names of the first two, which were had before, may come in any order.
    assert_eq!(by_first.iter().filter(|&&is_first| is_first).count(), 2);
    assert_eq!(by_first[2..], [false, true]);
}

#[test]
fn an_idle_connection_answers_at_once() {
    let (listener, around) = listener_and_around();
    let (mut driver, mut peers) = at_rest::<2>(&around, &listener, 1);
    thread::scope(|scope| {
        let pinging = scope.spawn(|| peers[0].ping());
        turn_until(&mut driver, |_| pinging.is_finished());
        pinging.join().unwrap();
    });
}

#[test]
fn an_idle_connection_that_was_spoken_to_is_alive() {
    let (listener, around) = listener_and_around();
    let (mut driver, mut peers) = at_rest::<2>(&around, &listener, 1);
    peers[0].send(&[[PING, 7, 8]]);
    wait_until_readable(&driver, PollFlags::IN);
    let mut moment = driver.now();
    driver.begin(arrival(3), &mut moment);
    assert_eq!(peers[0].next(), Some([PONG, 7, 8]));
    assert_eq!(peers[0].next(), Some([ASK, 0, 3]));
}

#[test]
fn an_idle_connection_whose_slots_were_taken_away_is_not_used_and_not_dead() {
    let (listener, around) = listener_and_around();
    let (mut driver, mut peers) = at_rest::<2>(&around, &listener, 1);
    peers[0].send(&[[ALLOW, 0, 0], [PING, 7, 8]]);
    wait_until_readable(&driver, PollFlags::IN);
    let mut moment = driver.now();
    driver.begin(arrival(3), &mut moment);
    assert!(driver.connections.has_waiting(1));
    driver.turn().unwrap();
    assert_eq!(peers[0].next(), Some([PONG, 7, 8]));
    peers[0].send(&[[ALLOW, 1, 0]]);
    turn_until(&mut driver, |driver| !driver.connections.has_waiting(1));
    assert_eq!(peers[0].next(), Some([ASK, 0, 3]));
    assert_eq!(driver.connections.sockets().len(), 1);
}

#[test]
fn a_cancellation_may_end_a_sibling() {
    let (listener, around) = listener_and_around();
    let (mut driver, mut peers) = at_rest::<4>(&around, &listener, 1);
    let mut moment = driver.now();
    (0..3).for_each(|user| driver.begin(arrival(user), &mut moment));
    driver.time_out(RequestId(0), 0, &mut moment);
    assert_eq!((driver.requests.len(), around.counters.failed.value()), (1, 2));
    driver.begin(arrival(3), &mut moment);
    let came: Vec<_> = (0..6).map_while(|_| peers[0].next()).collect();
    let expected = [
        [ASK, 0, 0],
        [ASK, 1, 1],
        [ASK, 2, 2],
        [RESET, 0, 0],
        [RESET, 1, 0],
        [ASK, 3, 3],
    ];
    assert_eq!(came, expected);
    driver.cancel_all(&mut moment);
    assert!(driver.requests.is_empty());
    assert_eq!(
        (around.counters.failed.value(), around.counters.in_flight.value()),
        (4, 0)
    );
    assert_eq!(driver.connections.sockets().len(), 1, "the connection goes on");
}

#[test]
fn a_connection_that_will_say_no_more_is_given_no_request() {
    let (listener, around) = listener_and_around();
    let (mut driver, mut peers) = at_rest::<2>(&around, &listener, 1);
    driver.connections.read_at_most(60);
    let mut moment = driver.now();
    (0..3).for_each(|user| driver.begin(arrival(user), &mut moment));
    let body = [[DATA, 1, b'y']; 100];
    peers[0].send(&[answer(0).as_slice(), &body, &answer(1)].concat());
    peers[0].end();
    wait_until_readable(&driver, PollFlags::RDHUP);
    turn_until(&mut driver, |driver| driver.requests.len() == 1);
    let mut peer = Peer::accept(&listener);
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(peer.asked(), (0, 2));
            peer.send(&answer(0));
        });
        turn_until(&mut driver, |driver| driver.requests.is_empty());
    });
    assert_eq!(around.counters.succeeded.value(), 3);
}

#[test]
fn what_lies_behind_an_answer_is_a_siblings_and_is_read_to_its_end() {
    for server_ends in [false, true] {
        let (listener, around) = listener_and_around();
        let (mut driver, mut peers) = at_rest::<2>(&around, &listener, 1);
        driver.connections.read_at_most(60);
        let mut moment = driver.now();
        (0..2).for_each(|user| driver.begin(arrival(user), &mut moment));
        let body = [[DATA, 1, b'y']; 100];
        peers[0].send(&[answer(0).as_slice(), &body, &answer(1)].concat());
        let came = if server_ends {
            peers[0].end();
            PollFlags::RDHUP
        } else {
            PollFlags::IN
        };
        wait_until_readable(&driver, came);
        turn_until(&mut driver, |driver| driver.requests.is_empty());
        assert_eq!(around.counters.succeeded.value(), 2, "ends: {server_ends}");
    }
}
