//! HTTP/1.1 as a client must read it: the table of difficult responses, any cut, any order, and what fuzzing found.

mod any_cut;
mod any_order;
mod table;

use std::fs;
use std::path::Path;

use servemark_loadgen::error::Kind;

use any_cut::{KEEP_BYTES, Then, feed, feed_every_way};
use table::{Case, cases};

/// Longer responses are not cut at each byte, which takes a time that grows with the square.
const CUT_EVERYWHERE_BYTES: usize = 1000;

#[test]
fn every_response_of_the_table_gives_its_record() {
    let cases = cases();
    assert!(cases.len() > 140, "{}", cases.len());
    for case in &cases {
        println!("{}", case.name);
        check(case);
    }
}

fn check(case: &Case) {
    let bytes = &case.response;
    let lengths: [&[usize]; 5] = [&[2], &[3, 7], &[1000], &[1460], &[65536, 1]];
    let seen = feed_every_way(bytes, &lengths, case.then, case.head_only);
    if bytes.len() <= CUT_EVERYWHERE_BYTES {
        for cut in 1..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(
                feed([first, second], case.then, case.head_only),
                seen,
                "cut at {cut}"
            );
        }
    }
    // Whether a status is a success is for the driver to say, and when it is too late.
    let kind = match case.kind.as_str() {
        "http_status" => Some("ok"),
        "timeout" => None,
        kind => Some(kind),
    };
    let end = seen.end();
    assert_eq!(end.map(|(kind, ..)| kind.name()), kind);
    if let Some((kind, status, received, message)) = end {
        assert_eq!((status, received), (case.status, case.bytes));
        assert!(
            kind == Kind::Ok || kind == Kind::Reset || message.contains(&case.words),
            "{message}"
        );
    }
    if case.then == Then::Fin {
        let cut = feed_every_way(bytes, &lengths, Then::Cut, case.head_only);
        let cut_kind = case.cut_kind.as_deref().or(kind);
        assert_eq!(cut.end().map(|(kind, ..)| kind.name()), cut_kind);
    }
    assert_eq!(seen.kept, case.body[..case.body.len().min(KEEP_BYTES)]);
    assert_eq!(seen.body_bytes, case.body.len() as u64);
    // An end behind the answer is told apart from a close by the driver.
    let ends_behind = case.then != Then::Waits && kind == Some("ok");
    assert_eq!(seen.is_reusable, case.is_reusable && !ends_behind);
}

/// Responses of the table, changed in up to eight places and cut anywhere: a hundred thousand of them.
#[test]
fn any_cut_of_any_response_gives_the_same_events() {
    let cases: Vec<Case> = cases()
        .into_iter()
        .filter(|case| case.response.len() < 400)
        .collect();
    for seed in 0..100_000_u64 {
        let mut random = Random(seed);
        let case = &cases[random.below(cases.len())];
        let mut response = case.response.clone();
        for _ in 0..random.below(9) {
            mutate(&mut response, &cases, &mut random);
        }
        let then = [Then::Waits, Then::Fin, Then::Rst][random.below(3)];
        let head_only = random.below(8) == 0;
        let lengths: Vec<usize> = (0..5).map(|_| 1 + random.below(40)).collect();
        let checked = std::panic::catch_unwind(|| feed_every_way(&response, &[&lengths], then, head_only));
        assert!(
            checked.is_ok(),
            "seed {seed}: {:?}, then {then:?}, head_only {head_only}",
            response.escape_ascii().to_string()
        );
    }
}

/// One change: a byte, a piece that is gone, one that is there twice, or one of another response.
fn mutate(response: &mut Vec<u8>, cases: &[Case], random: &mut Random) {
    const TELLING: &[u8] = b"\r\n\0 \t:,;0129afHT/.-+\xff";
    let at = random.below(response.len() + 1);
    let end = (at + 1 + random.below(12)).min(response.len());
    match random.below(5) {
        0 if at < response.len() => response[at] = TELLING[random.below(TELLING.len())],
        0 | 1 => response.insert(at, TELLING[random.below(TELLING.len())]),
        2 => drop(response.drain(at..end)),
        3 => {
            let again = response[at..end].to_vec();
            drop(response.splice(at..at, again));
        }
        _ => {
            let other = &cases[random.below(cases.len())].response;
            let from = random.below(other.len() + 1);
            let to = (from + random.below(30)).min(other.len());
            drop(response.splice(at..at, other[from..to].iter().copied()));
        }
    }
}

/// Whatever is done in whatever order: a hundred thousand sequences.
#[test]
fn any_order_of_events_keeps_the_promises() {
    for seed in 0..100_000_u64 {
        let mut random = Random(seed);
        let length = random.below(60);
        let data: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        assert!(
            std::panic::catch_unwind(|| any_order::fuzz(&data)).is_ok(),
            "seed {seed}: {data:?}"
        );
    }
}

/// The body of a fuzz target.
type Target = fn(&[u8]);

/// What fuzzing started from, and what it found.
#[test]
fn the_corpus_of_the_fuzz_targets_passes() {
    let targets: [(&str, Target); 2] = [("response", any_cut::fuzz), ("connection", any_order::fuzz)];
    for (name, target) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../fuzz/corpus")
            .join(name);
        let mut files = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
            files += 1;
        }
        assert!(files > 0, "{}", folder.display());
    }
}

/// splitmix64 again: a seed names a failure.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(mixed ^ (mixed >> 31)) * limit as u128) >> 64) as usize
    }
}
