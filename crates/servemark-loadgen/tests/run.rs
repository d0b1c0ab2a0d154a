//! Whole runs against a scripted server in this process.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use servemark_loadgen::arrival::{Arrivals, Gaps, RateSegment, Times};
use servemark_loadgen::error::{Kind, StartError};
use servemark_loadgen::fault::Fault;
use servemark_loadgen::plan::{
    Address, Closed, Draws, Field, Group, GroupLoad, Open, Plan, Request, SharedBytes, Step,
};
use servemark_loadgen::realtime::Realtime;
use servemark_loadgen::receive_clock::ReceiveClock;
use servemark_loadgen::record::{COLUMNS, MAGIC, ROW_BYTES};
use servemark_loadgen::share::Share;
use servemark_loadgen::{Outcome, Run};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server that answers whatever it reads with `response`; it lives until its connections are closed.
fn serve(response: &'static [u8], connections: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming().take(connections).flatten() {
            thread::spawn(move || answer(socket, response));
        }
    });
    port
}

fn answer(mut socket: TcpStream, response: &[u8]) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = socket.read(&mut buffer) {
        if socket.write_all(response).is_err() {
            return;
        }
    }
}

fn plan(port: u16, users: u32, loops: u64) -> Plan {
    Plan {
        addresses: vec![Address {
            ip: IpAddr::from([127, 0, 0, 1]),
            zone: 0,
            port,
            unix: None,
            tls: None,
        }],
        steps: vec![Step {
            name: "ping".into(),
            address: 0,
            requests: vec![Request {
                method: b"GET".to_vec(),
                target: b"/".to_vec(),
                headers: [].into(),
                body: SharedBytes::default(),
                patches: Vec::new(),
            }],
            expect_status: None,
            until: None,
            expect: None,
            draws: Draws::Any,
            keeps_bodies: false,
            is_headline: true,
        }],
        groups: vec![Group {
            steps: vec![0],
            weights: Vec::new(),
            duration_ns: 0,
            load: GroupLoad::Closed(Closed {
                users,
                loops,
                ramp_ns: 0,
                think_ns: 0,
                background: false,
            }),
        }],
        warmup_ns: 0,
        timeout_ns: 5_000_000_000,
        connect_timeout_ns: 5_000_000_000,
        share: Share::WHOLE,
        beside: Vec::new(),
        threads: 1,
        keep_body_bytes: 100,
        seed: 0,
        record_events: false,
        realtime: Realtime::Off,
        receive_clock: ReceiveClock::Auto,
        keep_awake: None,
        awake_gives_way: false,
        fault: None,
    }
}

/// A record file that goes with the test.
struct RecordFile(PathBuf);

impl RecordFile {
    fn new(test: &str) -> Self {
        let name = format!("servemark-{}-{test}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// The values of a column, in the order of the rows.
    fn column(&self, name: &str) -> Vec<i64> {
        let (_, dtype, offset) = COLUMNS[COLUMNS.iter().position(|column| column.0 == name).unwrap()];
        let width: usize = dtype.trim_start_matches(['<', 'u', 'i']).parse().unwrap();
        let bytes = fs::read(&self.0).unwrap();
        assert_eq!(bytes[..16], MAGIC);
        let header_bytes = u32::from_le_bytes(bytes[24..28].try_into().unwrap()) as usize;
        let value = |row: &[u8]| {
            let mut wide = [0; 8];
            wide[..width].copy_from_slice(&row[offset..offset + width]);
            i64::from_le_bytes(wide)
        };
        bytes[header_bytes..].chunks_exact(ROW_BYTES).map(value).collect()
    }
}

impl Drop for RecordFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn run(plan: Plan, file: &RecordFile) -> Outcome {
    let run = Run::start(plan, &file.0).unwrap();
    assert!(run.wait(Duration::from_secs(20)), "the run did not end");
    run.finish().unwrap()
}

#[test]
fn loops_on_several_threads_give_exact_counts() {
    let file = RecordFile::new("loops");
    let mut plan = plan(serve(OK, 7), 7, 100);
    plan.threads = 3;
    let outcome = run(plan, &file);
    assert_eq!(outcome.records, 700);
    assert!(!outcome.is_interrupted);
    let mut users = file.column("user");
    users.sort_unstable();
    assert!(
        users
            .chunks(100)
            .enumerate()
            .all(|(user, own)| own == [user as i64; 100])
    );
    let mut seqs = file.column("seq");
    seqs.dedup();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), 700);
    assert_eq!(
        outcome.scheduling_ended_ns,
        file.column("end").into_iter().max().unwrap()
    );
}

#[test]
fn a_unix_socket_is_measured_by_the_clock_that_is_read() {
    let path = std::env::temp_dir().join(format!("servemark-{}-unix.sock", std::process::id()));
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                    stream.write_all(OK).unwrap();
                }
            });
        }
    });
    let file = RecordFile::new("unix");
    let mut plan = plan(80, 3, 50);
    plan.addresses[0].unix = Some(path.clone());
    let mut by_kernel = plan.clone();
    by_kernel.receive_clock = ReceiveClock::Kernel;
    assert!(Run::start(by_kernel, &file.0).is_err());
    let outcome = run(plan, &file);
    fs::remove_file(path).unwrap();
    assert_eq!(outcome.records, 150);
    assert_eq!(file.column("status"), [200; 150]);
    assert!(
        outcome
            .receive_clock
            .contains("a Unix socket has no time of arrival")
    );
    let mut connections = file.column("connection");
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections.len(), 3);
}

#[test]
fn a_unix_socket_that_is_not_there_is_a_failure_to_connect() {
    let file = RecordFile::new("no-unix");
    let mut plan = plan(80, 1, 1);
    plan.addresses[0].unix = Some("/nowhere/at/all.sock".into());
    let outcome = run(plan, &file);
    assert_eq!(outcome.examples[0].kind, Kind::Connect);
    assert!(
        outcome.examples[0].message.contains("No such file"),
        "{}",
        outcome.examples[0].message
    );
}

#[test]
fn ramp_and_thinking_are_lower_bounds_of_sending() {
    let file = RecordFile::new("ramp");
    let mut plan = plan(serve(OK, 2), 2, 3);
    let GroupLoad::Closed(closed) = &mut plan.groups[0].load else {
        unreachable!("a closed loop");
    };
    (closed.ramp_ns, closed.think_ns) = (40_000_000, 10_000_000);
    run(plan, &file);
    let (users, scheduled) = (file.column("user"), file.column("scheduled"));
    let (sent, end) = (file.column("sent"), file.column("end"));
    assert!(
        scheduled
            .iter()
            .zip(&sent)
            .all(|(scheduled, sent)| scheduled <= sent)
    );
    for user in 0..2 {
        let own: Vec<usize> = (0..users.len()).filter(|&row| users[row] == user).collect();
        assert_eq!(scheduled[own[0]], user * 20_000_000);
        for pair in own.windows(2) {
            assert_eq!(scheduled[pair[1]], end[pair[0]] + 10_000_000);
        }
    }
}

#[test]
fn the_first_failure_is_kept_as_an_example() {
    let file = RecordFile::new("example");
    let busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
    let outcome = run(plan(serve(busy, 1), 1, 3), &file);
    assert_eq!(file.column("status"), [503; 3]);
    assert_eq!(outcome.examples.len(), 1);
    let example = &outcome.examples[0];
    assert_eq!(
        (example.kind, example.status, example.seq),
        (Kind::HttpStatus, 503, 0)
    );
    assert_eq!(example.body, b"busy");
    assert_eq!(example.at_ns, file.column("end")[0]);
}

#[test]
fn a_stop_wakes_threads_that_wait_for_an_answer() {
    let file = RecordFile::new("stop");
    let mut plan = plan(serve(b"", 2), 2, 1);
    plan.threads = 2;
    let run = Run::start(plan, &file.0).unwrap();
    while run.progress().in_flight < 2 {
        assert!(!run.wait(Duration::from_millis(1)));
    }
    run.stop(Duration::ZERO);
    assert!(run.wait(Duration::from_secs(2)));
    let outcome = run.finish().unwrap();
    assert!(outcome.is_interrupted);
    assert_eq!(file.column("kind"), [Kind::Cancelled as i64; 2]);
    assert_eq!(file.column("first_byte"), [-1, -1]);
}

const MS: i64 = 1_000_000;

/// Groups of every kind whose work ends, by loops, arrivals or a time, the last ones without a request at that time.
fn foregrounds() -> Vec<(&'static str, Group)> {
    let closed = |loops, duration_ns, ramp_ns, think_ns| Group {
        steps: vec![0],
        weights: Vec::new(),
        duration_ns,
        load: GroupLoad::Closed(Closed {
            users: 3,
            loops,
            ramp_ns,
            think_ns,
            background: false,
        }),
    };
    let open = |count, duration_ns| {
        let mut group = closed(0, duration_ns, 0, 0);
        let segment = RateSegment {
            from_per_s: 500.0,
            to_per_s: 500.0,
            duration_ns: 0,
        };
        group.load = GroupLoad::Open(Open {
            arrivals: Arrivals {
                times: Times::Drawn {
                    gaps: Gaps::Constant,
                    profile: vec![segment],
                },
                count,
                stream: 0,
            },
            max_connections: 10,
        });
        group
    };
    vec![
        ("loops", closed(5, 0, 0, 0)),
        ("a duration", closed(0, 20 * MS, 0, 0)),
        ("loops within a duration", closed(5, 20 * MS, 0, 3_600_000 * MS)),
        ("arrivals", open(8, 0)),
        ("arrivals for a duration", open(0, 20 * MS)),
        (
            "users who think beyond the end",
            closed(0, 20 * MS, 0, 3_600_000 * MS),
        ),
        ("users who begin beyond the end", closed(0, 20 * MS, 60 * MS, 0)),
    ]
}

#[test]
fn a_background_ends_with_the_others_whatever_ends_them() {
    let kinds = foregrounds();
    let port = serve(OK, usize::MAX);
    let file = RecordFile::new("background");
    let mut case = 0;
    for first in 0..kinds.len() {
        for second in first..kinds.len() {
            let (one, other) = (&kinds[first], &kinds[second]);
            let mut plan = plan(port, 2, 0);
            let GroupLoad::Closed(background) = &mut plan.groups[0].load else {
                unreachable!("a closed loop");
            };
            background.background = true;
            // Some rest when the end comes, some have a time of their own, which is longer.
            background.think_ns = [0, 3_600_000 * MS][case % 2];
            plan.groups[0].duration_ns = [0, 0, 3_600_000 * MS][case % 3];
            plan.threads = [1, 2, 3][case % 3];
            plan.groups.extend([one.1.clone(), other.1.clone()]);
            let has_times = plan.groups[1].duration_ns > 0 && plan.groups[2].duration_ns > 0;
            println!("{} and {}", one.0, other.0);
            let outcome = run(plan, &file);
            assert!(!outcome.is_interrupted);
            let groups = file.column("group");
            assert!(groups.iter().filter(|&&group| group == 0).count() >= 2);
            if has_times {
                assert!(outcome.scheduling_ended_ns <= 20 * MS);
                assert!(file.column("scheduled").iter().all(|&at_ns| at_ns < 20 * MS));
            }
            case += 1;
        }
    }
}

#[test]
fn scheduling_ends_with_the_last_group_not_with_the_first_that_is_cut_off() {
    let file = RecordFile::new("last-group");
    let mut plan = plan(serve(OK, 4), 1, 3);
    let GroupLoad::Closed(closed) = &mut plan.groups[0].load else {
        unreachable!("a closed loop");
    };
    closed.think_ns = 20 * MS;
    let mut short = plan.groups[0].clone();
    short.duration_ns = 5 * MS;
    plan.groups.push(short);
    let outcome = run(plan, &file);
    assert!(outcome.scheduling_ended_ns >= 40 * MS);
    assert_eq!(
        outcome.scheduling_ended_ns,
        file.column("end").into_iter().max().unwrap()
    );
}

/// Answer `requests` on the first connection, and close it a little later; then go on with the others. Returns where it
/// listens, and counts the bytes that it reads.
fn close_after(requests: usize, request_bytes: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    thread::spawn(move || {
        let mut left = requests;
        for mut socket in listener.incoming().flatten() {
            let mut request = vec![0; request_bytes];
            while left > 0 && socket.read_exact(&mut request).is_ok() {
                count.fetch_add(request_bytes, Ordering::SeqCst);
                let _ = socket.write_all(OK);
                left -= 1;
            }
            thread::sleep(Duration::from_millis(20));
            left = usize::MAX;
        }
    });
    (port, read)
}

#[test]
fn a_request_of_which_a_byte_was_written_is_not_sent_again() {
    let file = RecordFile::new("again");
    let mut plan = plan(0, 1, 11);
    // Its body is written after its head; when that is done, as much is left of the request as its head is long.
    let half = 20_000;
    let head_around = "POST / HTTP/1.1\r\nX: \r\nContent-Length: 20000\r\n\r\n".len();
    plan.steps[0].requests[0] = Request {
        method: b"POST".to_vec(),
        target: b"/".to_vec(),
        headers: [Field {
            name: b"X".to_vec(),
            value: vec![b'x'; half - head_around],
        }]
        .into(),
        body: SharedBytes::new(vec![b'x'; half]),
        patches: Vec::new(),
    };
    let (port, read) = close_after(9, 2 * half);
    plan.addresses[0].port = port;
    // Before the tenth request the thread sleeps, and the server closes the connection.
    plan.fault = Some(Fault::LateWakeUp { by_ns: 200_000_000 });
    run(plan, &file);
    let kinds = file.column("kind");
    assert_eq!(kinds[..9], [Kind::Ok as i64; 9]);
    assert_eq!(kinds[9], Kind::Reset as i64);
    assert!(file.column("bytes_sent")[9] > 0);
    assert_eq!(kinds[10], Kind::Ok as i64);
    assert_eq!(read.load(Ordering::SeqCst), 10 * 2 * half);
}

#[test]
fn a_bad_plan_leaves_no_file() {
    let file = RecordFile::new("bad");
    let error = Run::start(plan(1, 0, 1), &file.0).unwrap_err();
    assert!(matches!(error, StartError::Plan(_)));
    assert!(!file.0.exists());
}
