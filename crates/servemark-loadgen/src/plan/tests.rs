//! Plans for tests, and which plans are refused.

use super::*;
use crate::arrival::{Gaps, RateSegment, Times};
use crate::due::Arrival;

/// `GET /`.
pub(crate) fn get() -> Request {
    Request {
        method: b"GET".to_vec(),
        target: b"/".to_vec(),
        headers: [Field {
            name: b"Host".to_vec(),
            value: b"x".to_vec(),
        }]
        .into(),
        body: SharedBytes::default(),
        patches: Vec::new(),
    }
}

/// One group of `users` that sends `GET /` to 127.0.0.1:`port`, `loops` times.
pub(crate) fn simple_plan(port: u16, users: u32, loops: u64) -> Plan {
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
            requests: vec![get()],
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
        connect_timeout_ns: 2_000_000_000,
        share: Share::WHOLE,
        beside: Vec::new(),
        threads: 1,
        keep_body_bytes: 2048,
        seed: 0,
        record_events: false,
        realtime: Realtime::Off,
        receive_clock: ReceiveClock::Auto,
        keep_awake: None,
        awake_gives_way: false,
        fault: None,
    }
}

/// The users of the plan's first group.
pub(crate) fn closed_of(plan: &mut Plan) -> &mut Closed {
    match &mut plan.groups[0].load {
        GroupLoad::Closed(closed) => closed,
        GroupLoad::Open(_) => panic!("an open loop"),
    }
}

/// An open loop of `count` arrivals at `rate_per_s`, evenly.
pub(crate) fn evenly(rate_per_s: f64, count: u64) -> Open {
    let segment = RateSegment {
        from_per_s: rate_per_s,
        to_per_s: rate_per_s,
        duration_ns: 0,
    };
    Open {
        arrivals: Arrivals {
            times: Times::Drawn {
                gaps: Gaps::Constant,
                profile: vec![segment],
            },
            count,
            stream: 0,
        },
        max_connections: 10,
    }
}

#[test]
fn a_sound_plan_is_accepted() {
    assert_eq!(simple_plan(80, 3, 1).validate(), Ok(()));
}

#[test]
fn a_share_has_its_part_of_users_and_connections() {
    let mut plan = simple_plan(80, 5, 1);
    let mut second = plan.groups[0].clone();
    second.load = GroupLoad::Open(evenly(1.0, 1));
    plan.groups.push(second);
    plan.groups.push(plan.groups[0].clone());
    plan.threads = 2;
    let shares = (0..3).map(|index| {
        plan.share = Share { index, of: 3 };
        assert_eq!(plan.validate(), Ok(()));
        (
            plan.closed_connections()[0],
            plan.open_connections()[0],
            plan.foreground(),
        )
    });
    // Users 0 to 4 and 5 to 9; both threads report an open loop.
    assert_eq!(shares.collect::<Vec<_>>(), [(4, 4, 6), (3, 3, 5), (3, 3, 5)]);
}

#[test]
fn each_inconsistency_is_refused() {
    let breaks: [fn(&mut Plan); 19] = [
        |plan| plan.steps[0].requests[0].method.clear(),
        |plan| plan.steps[0].requests[0].target = b"/\r\nX: y".to_vec(),
        |plan| {
            plan.steps[0].requests[0].headers = [Field {
                name: b"X".to_vec(),
                value: b"a\nb".to_vec(),
            }]
            .into();
        },
        |plan| plan.share = Share { index: 2, of: 2 },
        |plan| closed_of(plan).users = 1_048_577,
        |plan| plan.fault = Some(Fault::LostRecord { every: 0 }),
        |plan| plan.groups[0].weights = vec![1, 1],
        |plan| plan.groups[0].weights = vec![0],
        |plan| closed_of(plan).background = true,
        |plan| plan.threads = 0,
        |plan| plan.timeout_ns = 0,
        |plan| plan.connect_timeout_ns = -1,
        |plan| plan.groups.clear(),
        |plan| plan.groups[0].steps = vec![7],
        |plan| closed_of(plan).loops = 0,
        |plan| closed_of(plan).think_ns = -1,
        |plan| plan.steps[0].address = 1,
        |plan| plan.steps[0].requests.clear(),
        |plan| {
            plan.steps[0].requests[0].patches.push(Patch {
                part: Part::Target,
                offset: usize::MAX,
                width: 2,
                value: PatchValue::Seq,
            });
        },
    ];
    for break_it in breaks {
        let mut plan = simple_plan(80, 1, 1);
        break_it(&mut plan);
        assert!(plan.validate().is_err());
    }
}

#[test]
fn an_open_loop_that_cannot_be_is_refused() {
    type Change = fn(&mut Open);
    let open = |change: Change| {
        let mut plan = simple_plan(80, 1, 1);
        plan.threads = 2;
        let mut open = evenly(10.0, 5);
        change(&mut open);
        plan.groups[0].load = GroupLoad::Open(open);
        plan.validate()
    };
    assert_eq!(open(|_| ()), Ok(()));
    let refused: [(Change, &str); 3] = [
        (
            |open| open.arrivals.count = 0,
            "neither a number of arrivals nor a duration",
        ),
        (
            |open| open.max_connections = 1,
            "1 connections, but each of 2 threads",
        ),
        (
            |open| open.arrivals.times = Times::Recorded(Vec::new()),
            "group 0: a trace without a time",
        ),
    ];
    for (change, message) in refused {
        let error = open(change).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_pool_in_order_gives_each_arrival_the_request_of_its_number_and_begins_again() {
    let mut plan = simple_plan(1, 1, 0);
    plan.steps[0].requests = vec![get(); 3];
    plan.steps[0].draws = Draws::InOrder;
    let arrival = |user| Arrival {
        scheduled_ns: 0,
        user,
        loop_number: 0,
        step: 0,
        group: 0,
        position: 0,
        is_open: true,
        step_since_ns: 0,
    };
    let inputs: Vec<u32> = (0..5).map(|user| plan.input_of(&arrival(user))).collect();
    assert_eq!(inputs, [0, 1, 2, 0, 1]);
    assert_eq!(Draws::named("in_order"), Some(Draws::InOrder));
    assert_eq!(Draws::named("sorted"), None);
}
