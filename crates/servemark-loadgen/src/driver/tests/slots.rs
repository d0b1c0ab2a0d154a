//! Connections with several slots, slots that come and go, and what requests on one connection do to each other: what a
//! multiplexed protocol will ask of the driver, in whole runs over real sockets.

use super::slotted::{ALLOW, ASK, DATA, END, FREE, PING, PONG, Peer, REFUSE, answer};
use super::slotted_run::{Users, run, run_reading};
use super::*;
use crate::draw::splitmix64;
use crate::record::flags;

#[test]
fn requests_share_a_connection_up_to_its_slots() {
    const USERS: usize = 21;
    let records = run::<3>(Users::new(USERS as u32, 1), 1, |listener| {
        let mut peer = Peer::accept(listener);
        let mut open = Vec::new();
        for remaining in (1..=USERS).rev() {
            while open.len() < remaining.min(3) {
                open.push(peer.asked().0);
            }
            peer.ping();
            // The youngest but one: answers come in any order.
            peer.send(&answer(open.remove(open.len().saturating_sub(2))));
        }
    });
    assert_eq!(records.count(Kind::Ok), USERS);
    assert_eq!(records.column("connection"), [0; USERS]);
    assert_eq!(
        records.column("bytes_received"),
        [6; USERS],
        "without what gives a slot back"
    );
    let connects = records.column("connect_us");
    assert!(connects[0] > 0 && connects[1..].iter().all(|&us| us == 0));
}

#[test]
fn a_slot_may_come_back_later_than_its_response_ends() {
    let records = run::<1>(Users::new(2, 1), 1, |listener| {
        let mut peer = Peer::accept(listener);
        assert_eq!(peer.asked(), (0, 0));
        peer.send(&[[END, 0, 0]]);
        peer.ping();
        peer.send(&[[FREE, 0, 0]]);
        assert_eq!(peer.asked(), (1, 1));
        peer.send(&answer(1));
    });
    assert_eq!(records.count(Kind::Ok), 2);
    let (ready, end) = (records.column("ready"), records.column("end"));
    assert!(
        ready[1] > end[0],
        "ready when there was a slot: {ready:?} {end:?}"
    );
}

#[test]
fn slots_come_and_go_without_a_request() {
    let records = run::<0>(Users::new(3, 1), 1, |listener| {
        let mut peer = Peer::accept(listener);
        peer.ping();
        peer.send(&[[ALLOW, 2, 0]]);
        assert_eq!([peer.asked(), peer.asked()], [(0, 0), (1, 1)]);
        peer.send(&[[ALLOW, 0, 0]]);
        peer.send(&[answer(0), answer(1)].concat());
        peer.ping();
        peer.send(&[[ALLOW, 1, 0]]);
        assert_eq!(peer.asked(), (2, 2));
        peer.send(&answer(2));
    });
    assert_eq!(records.count(Kind::Ok), 3);
    let opened = records
        .column("flags")
        .into_iter()
        .map(|bits| bits & i64::from(flags::OPENED) != 0);
    assert_eq!(opened.collect::<Vec<_>>(), [true, true, false]);
    let (ready, end) = (records.column("ready"), records.column("end"));
    assert!(ready[2] > end[0].max(end[1]), "{ready:?} {end:?}");
}

#[test]
fn who_fails_alone_goes_on_and_so_does_the_connection() {
    const LOOPS: usize = 5;
    let records = run::<4>(Users::new(4, LOOPS as u32), 1, |listener| {
        let mut peer = Peer::accept(listener);
        for _ in 0..LOOPS {
            let asked = [peer.asked(), peer.asked(), peer.asked(), peer.asked()];
            peer.ping();
            let said = asked.map(|(stream, user)| match user % 2 {
                0 => vec![[REFUSE, stream, 0]],
                _ => answer(stream).to_vec(),
            });
            // All are read together.
            peer.send(&said.concat());
        }
    });
    assert_eq!(
        (records.count(Kind::Ok), records.count(Kind::Reset)),
        (2 * LOOPS, 2 * LOOPS)
    );
    let users = (0..4).flat_map(|user| [user; LOOPS]);
    assert_eq!(records.column("user"), users.collect::<Vec<_>>());
    assert_eq!(records.column("connection"), [0; 4 * LOOPS]);
}

#[test]
fn a_connection_that_ends_takes_its_requests_along_and_no_others() {
    let records = run::<2>(Users::new(4, 1), 1, |listener| {
        let mut peer = Peer::accept(listener);
        assert_eq!([peer.asked(), peer.asked()], [(0, 0), (1, 1)]);
        drop(peer);
        let mut peer = Peer::accept(listener);
        assert_eq!([peer.asked(), peer.asked()], [(0, 2), (1, 3)]);
        peer.send(&[answer(0), answer(1)].concat());
    });
    let (lost, good) = (Kind::ClosedEarly as i64, Kind::Ok as i64);
    assert_eq!(records.column("kind"), [lost, lost, good, good]);
    assert_eq!(records.column("connection"), [0, 0, 1, 1]);
    // One that died with requests on it is no idle one that has to be replaced.
    let reconnected = records
        .column("flags")
        .into_iter()
        .map(|bits| bits & i64::from(flags::RECONNECTED));
    assert_eq!(reconnected.sum::<i64>(), 0);
}

#[test]
fn whatever_the_server_does_each_request_has_one_record() {
    const USERS: usize = 9;
    const LOOPS: usize = 30;
    for seed in 0..10 {
        let records = run::<2>(Users::new(USERS as u32, LOOPS as u32), 2, |listener| {
            thread::scope(|scope| {
                for connection in 0..2 {
                    let mut peer = Peer::accept(listener);
                    scope.spawn(move || serve_at_random(&mut peer, splitmix64(seed * 2 + connection)));
                }
            });
        });
        let users = (0..USERS as i64).flat_map(|user| [user; LOOPS]);
        assert_eq!(records.column("user"), users.collect::<Vec<_>>(), "seed {seed}");
        let ended = records.count(Kind::Ok) + records.count(Kind::Reset);
        assert_eq!(ended, USERS * LOOPS, "seed {seed}");
    }
}

/// Answer, refuse, ping, and give and take slots in any order, until the client leaves.
fn serve_at_random(peer: &mut Peer, seed: u64) {
    let (mut state, mut open, mut over) = (seed, Vec::new(), Vec::new());
    let mut allowed = 2;
    loop {
        while open.is_empty() && over.is_empty() || !peer.is_quiet() {
            if allowed == 0 {
                allowed = 1;
                peer.send(&[[ALLOW, allowed, 0]]);
            }
            match peer.next() {
                Some([ASK, stream, _]) => open.push(stream),
                Some([kind, ..]) => assert_eq!(kind, PONG),
                None => return,
            }
        }
        state = splitmix64(state);
        let any = |streams: &mut Vec<u8>| streams.swap_remove((state >> 8) as usize % streams.len());
        let frames = match state % 8 {
            0 => vec![[PING, 0, 0]],
            1 => {
                allowed = (state >> 16) as u8 % 4;
                vec![[ALLOW, allowed, 0]]
            }
            2 if !open.is_empty() => vec![[REFUSE, any(&mut open), 0]],
            3 | 4 if !open.is_empty() => {
                let stream = any(&mut open);
                over.push(stream);
                vec![[DATA, stream, 0], [END, stream, 0]]
            }
            5 if !open.is_empty() => answer(any(&mut open)).to_vec(),
            _ if !over.is_empty() => vec![[FREE, any(&mut over), 0]],
            _ => Vec::new(),
        };
        if !frames.is_empty() && !peer.try_send(&frames) {
            return;
        }
    }
}

#[test]
fn what_lies_behind_an_answer_has_its_own_time() {
    let answer_bytes = answer(0).as_flattened().len();
    let records = run_reading::<3>(answer_bytes, Users::new(2, 1), 1, |listener| {
        let mut peer = Peer::accept(listener);
        assert_eq!([peer.asked(), peer.asked()], [(0, 0), (1, 1)]);
        peer.send(&[answer(0), answer(1)].concat());
    });
    let (first_byte, end) = (records.column("first_byte"), records.column("end"));
    assert!(first_byte[1] > end[0], "{first_byte:?} {end:?}");
}
