//! Whole passes over a file of bodies beside a file of records.

use std::fs;

use servemark_loadgen::body_part::{Head, Part};
use servemark_loadgen::record::flags as record_flags;

use super::*;
use crate::table::tests::{TestFile, Times, records_of};

const MS: i64 = 1_000_000;

/// A part of the body that answers `seq`.
fn part(seq: u64, time_ns: i64, text: &str) -> Vec<u8> {
    let head = Head {
        seq,
        time_ns,
        bytes: text.len() as u32,
        step: 0,
        part: Part::Bytes,
    };
    [&head.to_bytes()[..], text.as_bytes()].concat()
}

fn end(seq: u64, time_ns: i64) -> Vec<u8> {
    let head = Head {
        seq,
        time_ns,
        bytes: 0,
        step: 0,
        part: Part::End,
    };
    head.to_bytes().to_vec()
}

fn content(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

const FINISH: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// What a pass gives of records with these numbers and of a file of bodies: the answers' rows, the kinds, what was found.
fn pass(seqs: &[u64], bodies: &[Vec<u8>], streamed: bool) -> (Vec<Row>, Found) {
    pass_of(Format::Openai, seqs, bodies, streamed)
}

/// The same, of answers in that format.
fn pass_of(format: Format, seqs: &[u64], bodies: &[Vec<u8>], streamed: bool) -> (Vec<Row>, Found) {
    let records: Vec<_> = seqs
        .iter()
        .map(|seq| {
            let times = Times {
                end: 1000 * MS,
                ..Times::default()
            };
            let mut record = crate::table::tests::record(&times);
            record.seq = *seq;
            record.flags |= if streamed { record_flags::STREAMED } else { 0 };
            record
        })
        .collect();
    let (file, table) = records_of(&records);
    let bodies_file = TestFile::new(&bodies.concat());
    let out = TestFile::new(&[]);
    let formats = [Some(format)];
    let asked = Asked {
        formats: &formats,
        counted: &HashMap::from([(7, 99)]),
        tokens: &[vec![4]],
        streams: &[vec![true]],
        warmup_ns: 0,
    };
    let found = complete(&table, (bodies_file.path(), 0), asked, out.path()).unwrap();
    drop(file);
    let (_whole, whole) = crate::table::tests::wide(&fs::read(out.path()).unwrap());
    let mut rows = Vec::new();
    whole
        .each_raw(|_, row| {
            rows.push(*row);
            Ok(())
        })
        .unwrap();
    (rows, found)
}

#[test]
fn times_are_those_of_events_with_content_and_of_nothing_else() {
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let empty = "data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n";
    let bodies = [
        part(7, 0, role),
        part(7, 50 * MS, &content("a")),
        part(7, 55 * MS, empty),
        part(7, 60 * MS, &content("b")),
        part(7, 570 * MS, &content("c")),
        part(7, 580 * MS, &[FINISH, usage, DONE].concat()),
        end(7, 580 * MS),
    ];
    let (rows, found) = pass(&[7], &bodies, true);
    let answer = rows[0].answer.unwrap();
    assert_eq!(
        (answer.first_content_ns, answer.last_content_ns),
        (50 * MS, 570 * MS)
    );
    assert_eq!((answer.longest_gap_ns, answer.contents), (510 * MS, 3));
    assert_eq!((answer.usage_tokens, answer.counted_tokens), (3, 99));
    assert_eq!(answer.tokens(), Some(3));
    assert_eq!((answer.asked_tokens, answer.is_short()), (4, Some(true)));
    assert_eq!(answer.time_per_token_ns(), Some(260 * MS));
    assert_eq!((answer.finish, rows[0].kind), (Finish::Length as u8, 0));
    assert_eq!(answer.flags, flags::READ | flags::END_MARK);
    assert_eq!((found.gaps.len(), found.failed), (1, vec![]));
}

#[test]
fn answers_of_requests_that_were_under_way_together_are_told_apart() {
    let bodies = [
        part(1, 10, &content("a")),
        part(2, 20, &content("b")),
        part(1, 30, "data: {\"choices\":[{\"de"),
        part(2, 40, &[FINISH, DONE].concat()),
        end(2, 40),
        part(1, 50, "lta\":{\"content\":\"c\"}}]}\n\n"),
        part(1, 60, &[FINISH, DONE].concat()),
        end(1, 60),
    ];
    // The records of another thread may stand before those whose bodies came first.
    let (rows, _) = pass(&[1, 2, 3], &bodies, true);
    let times = |row: &Row| {
        row.answer
            .map(|answer| (answer.first_content_ns, answer.last_content_ns))
    };
    assert_eq!(
        rows.iter().map(times).collect::<Vec<_>>(),
        [Some((10, 50)), Some((20, 20)), None]
    );
}

#[test]
fn an_answer_that_says_that_it_failed_is_a_failure_and_so_is_one_that_was_broken_off() {
    let error = "event: error\ndata: {\"error\":{\"message\":\"out of memory\"}}\n\n";
    let bodies = [
        part(1, 10, &content("a")),
        part(1, 20, error),
        end(1, 20),
        part(2, 10, &content("a")),
        end(2, 20),
        part(3, 10, &[&content("a"), FINISH].concat()),
        end(3, 20),
        part(4, 10, &[&content("a"), DONE].concat()),
        end(4, 20),
    ];
    let (rows, found) = pass(&[1, 2, 3, 4], &bodies, true);
    let application = Kind::Application as u8;
    let kinds: Vec<_> = rows.iter().map(|row| row.kind).collect();
    assert_eq!(kinds, [application, application, 0, 0]);
    assert_eq!(found.failed.len(), 1);
    assert!(found.failed[0].message.ends_with("out of memory"), "{found:?}");
    assert!(found.failed[0].body.starts_with(b"{\"error\""));
}

#[test]
fn a_stream_whose_reasons_to_end_are_empty_was_broken_off() {
    let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"\"}]}\n\n";
    let bodies = [part(1, 10, &[chunk, chunk].concat()), end(1, 20)];
    let (rows, found) = pass(&[1], &bodies, true);
    assert_eq!(rows[0].kind, Kind::Application as u8);
    assert_eq!(rows[0].answer.unwrap().finish, 0);
    let said = "after 2 events with content without a finish reason and";
    assert!(found.failed[0].message.contains(said), "{found:?}");
}

#[test]
fn without_an_end_mark_each_answer_to_a_request_says_why_it_ended() {
    let of = |number: u32, reason: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":{number},\"text\":\"a\",\"finish_reason\":{reason}}}]}}\n\n"
        )
    };
    let (first, second) = (of(0, "null"), of(1, "null"));
    let (first_stops, second_stops) = (of(0, "\"stop\""), of(1, "\"stop\""));
    let application = Kind::Application as u8;
    for (stream, kind) in [
        ([&first, &second, &first_stops, &second_stops], 0),
        // Usage may come with a choice that has ended.
        ([&first_stops, &second_stops, &second, &first], 0),
        ([&first, &second, &first_stops, &second], application),
        ([&first, &second, &first_stops, &DONE.to_owned()], 0),
    ] {
        let bodies = [part(1, 10, &stream.map(String::as_str).concat()), end(1, 20)];
        let (rows, found) = pass(&[1], &bodies, true);
        assert_eq!(rows[0].kind, kind, "{stream:?}");
        for failed in found.failed {
            let said = "without the finish reason of each of its choices and without its end mark";
            assert!(failed.message.ends_with(said), "{failed:?}");
        }
    }
}

#[test]
fn an_answer_that_is_no_stream_has_tokens_and_no_times() {
    let whole = r#"{"choices":[{"message":{"content":"a b"},"finish_reason":"stop"}],"usage":{"completion_tokens":2}}"#;
    let bodies = [part(1, 10, &whole[..20]), part(1, 20, &whole[20..]), end(1, 20)];
    let (rows, _) = pass(&[1], &bodies, false);
    let answer = rows[0].answer.unwrap();
    assert_eq!((answer.first_content_ns, answer.last_content_ns), (-1, -1));
    assert_eq!((answer.tokens(), answer.time_per_token_ns()), (Some(2), None));
    let refused = r#"{"error":{"message":"no such model"}}"#;
    let (rows, _) = pass(&[1], &[part(1, 10, refused), end(1, 20)], false);
    assert_eq!(rows[0].kind, Kind::Application as u8);
}

#[test]
fn a_body_that_is_no_answer_is_a_failure_in_its_own_words() {
    for (body, said) in [
        ("<html>Welcome</html>", "it begins with <html>Welcome</html>"),
        (r#"{"detail":"gone"}"#, r#"it begins with {"detail":"gone"}"#),
        ("", "there is nothing in it that one has"),
        (r#"{"choices":[]}"#, "there is nothing in it that one has"),
    ] {
        let (rows, found) = pass(&[1], &[part(1, 10, body), end(1, 20)], false);
        assert_eq!(rows[0].kind, Kind::Application as u8, "{body}");
        assert_eq!(
            found.failed[0].message,
            format!("the answer is none of OpenAI's API: {said}")
        );
        assert!(body.as_bytes().starts_with(&found.failed[0].body));
    }
    assert!(not_an_answer("an API", b"\x1f\x8b\x08\0").ends_with("it is compressed"));
    let nothing_said = r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#;
    let (rows, _) = pass(&[1], &[part(1, 10, nothing_said), end(1, 20)], false);
    assert_eq!(rows[0].kind, 0);
    let long = "x".repeat(5 << 20);
    let (rows, _) = pass(&[1], &[part(1, 10, &long), end(1, 20)], false);
    let answer = rows[0].answer.unwrap();
    assert_eq!(
        (rows[0].kind, answer.flags),
        (0, flags::READ | flags::CUT | flags::NO_STREAM)
    );
}

#[test]
fn what_is_no_answer_of_a_format_without_an_end_is_a_failure_streamed_or_not() {
    let page = "<html>Welcome</html>";
    let event = format!("data: {page}\n\n");
    let begins = "it begins with <html>Welcome</html>";
    for (body, is_streamed, said) in [
        (page, false, begins),
        ("", false, "there is nothing in it that one has"),
        (&event, true, begins),
        ("", true, "there is nothing in it that one has"),
    ] {
        let (rows, found) = pass_of(Format::Oip, &[1], &[part(1, 10, body), end(1, 20)], is_streamed);
        assert_eq!(rows[0].kind, Kind::Application as u8, "{body}");
        assert_eq!(
            found.failed[0].message,
            format!("the answer is none of the Open Inference Protocol: {said}")
        );
        let (rows, _) = pass_of(Format::Text, &[1], &[part(1, 10, body), end(1, 20)], is_streamed);
        assert_eq!(rows[0].kind, 0, "{body}");
    }
}

#[test]
fn an_answer_of_a_format_without_an_end_may_say_nothing_or_more_than_is_looked_at() {
    let long = format!("data: {}\n\n", "x".repeat(2 << 20));
    let nothing = "data: {\"text_output\":\"\"}\n\n";
    for (body, is_streamed) in [
        (long.as_str(), true),
        (nothing, true),
        (&format!("data: ?\n\n{nothing}"), true),
        (r#"{"outputs":[]}"#, false),
        (&"x".repeat(5 << 20), false),
    ] {
        let (rows, _) = pass_of(Format::Oip, &[1], &[part(1, 10, body), end(1, 20)], is_streamed);
        assert_eq!((rows[0].kind, rows[0].answer.unwrap().contents), (0, 0));
    }
}

#[test]
fn a_stream_of_something_else_says_how_much_of_it_was_not_understood() {
    let event = "event: response.output_text.delta\ndata: {\"type\":\"delta\",\"delta\":\"a\"}\n\n";
    let (rows, found) = pass(&[1], &[part(1, 10, event), part(1, 20, event), end(1, 20)], true);
    assert_eq!(rows[0].kind, Kind::Application as u8);
    let said = "after 0 events with content, and 2 that were not understood, without a finish reason";
    assert!(found.failed[0].message.contains(said), "{found:?}");
    assert!(found.failed[0].body.starts_with(b"{\"type\":\"delta\""));
}

#[test]
fn a_usage_of_no_token_beside_content_is_none() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n";
    for (said, prompt, tokens, bits) in [
        (content("a"), 10, Some(99), flags::NO_USAGE),
        (String::new(), 10, Some(0), 0),
    ] {
        let bodies = [
            part(7, prompt, &said),
            part(7, 20, &[FINISH, usage, DONE].concat()),
            end(7, 20),
        ];
        let (rows, _) = pass(&[7], &bodies, true);
        let answer = rows[0].answer.unwrap();
        assert_eq!(answer.tokens(), tokens);
        assert_eq!(answer.flags & flags::NO_USAGE, bits);
    }
}

#[test]
fn a_stream_lacks_an_end_mark_only_where_its_format_has_one() {
    let (rows, _) = pass(&[1], &[part(1, 10, &content("a")), end(1, 20)], true);
    assert_eq!(rows[0].answer.unwrap().flags & flags::END_MARK, 0);
    let event = part(1, 10, "data: {\"text_output\":\"a\"}\n\n");
    let (rows, _) = pass_of(Format::Oip, &[1], &[event, end(1, 20)], true);
    let answer = rows[0].answer.unwrap();
    assert_eq!(answer.flags, flags::READ | flags::END_MARK);
    assert_eq!((answer.contents, rows[0].kind), (1, 0));
}

#[test]
fn a_stream_of_texts_ends_with_its_last_text_and_fails_with_an_error() {
    let bodies = [
        part(1, 10, "data: a\n\n"),
        part(1, 30, "data: b\n\n"),
        part(1, 90, DONE),
        end(1, 90),
        part(2, 10, "data: a\n\n"),
        part(2, 90, "event: error\ndata: CUDA out of memory\n\n"),
        end(2, 90),
    ];
    let (rows, found) = pass_of(Format::Text, &[1, 2], &bodies, true);
    let said = |row: &Row| row.answer.map(|answer| (answer.contents, answer.last_content_ns));
    assert_eq!((said(&rows[0]), rows[0].kind), (Some((2, 30)), 0));
    assert_eq!(
        (said(&rows[1]), rows[1].kind),
        (Some((1, 10)), Kind::Application as u8)
    );
    assert!(
        found.failed[0].message.ends_with("CUDA out of memory"),
        "{found:?}"
    );
}

#[test]
fn an_answer_that_came_whole_where_a_stream_was_asked_for_is_marked() {
    let whole = r#"{"choices":[{"message":{"content":"a b"},"finish_reason":"stop"}]}"#;
    let (rows, _) = pass(&[1], &[part(1, 10, whole), end(1, 20)], false);
    assert_eq!(rows[0].answer.unwrap().flags, flags::READ | flags::NO_STREAM);
    let stream = [&content("a"), FINISH, DONE].concat();
    let (rows, _) = pass(&[1], &[part(1, 10, &stream), end(1, 20)], true);
    assert_eq!(rows[0].answer.unwrap().flags, flags::READ | flags::END_MARK);
}

#[test]
fn the_first_event_has_as_many_tokens_as_the_server_says_or_one() {
    let usage = |so_far: u32| {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}],\"usage\":{{\"completion_tokens\":{so_far}}}}}\n\n"
        )
    };
    let told = [
        part(1, 0, &usage(2)),
        part(1, 20 * MS, &usage(4)),
        part(1, 20 * MS, &[FINISH, DONE].concat()),
        end(1, 20 * MS),
    ];
    let (rows, _) = pass(&[1], &told, true);
    assert_eq!(rows[0].answer.unwrap().time_per_token_ns(), Some(10 * MS));
    let last = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":5}}\n\n";
    let untold = [
        part(1, 0, &content("a")),
        part(1, 20 * MS, &content("b")),
        part(1, 20 * MS, &[FINISH, last, DONE].concat()),
        end(1, 20 * MS),
    ];
    let (rows, _) = pass(&[1], &untold, true);
    assert_eq!(rows[0].answer.unwrap().time_per_token_ns(), Some(5 * MS));
}

#[test]
fn a_file_that_was_cut_off_is_read_as_far_as_it_goes_and_one_of_something_else_is_refused() {
    let whole = [
        part(1, 10, &[&content("a"), FINISH].concat()),
        end(1, 20),
        part(2, 10, &content("b")),
    ]
    .concat();
    for length in (whole.len() - 60)..whole.len() {
        let (rows, _) = pass(&[1, 2], &[whole[..length].to_vec()], true);
        assert_eq!(
            (rows[0].answer.is_some(), rows[1].answer),
            (true, None),
            "{length}"
        );
    }
    let wrong = TestFile::new(&[0xff; 100]);
    let mut texts = Texts::open(wrong.path(), 0, vec![Some(Format::Openai)]).unwrap();
    assert_eq!(texts.next(1).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn texts_are_what_was_said_whole() {
    let bodies = [
        part(5, 10, &content("a")),
        part(
            5,
            15,
            "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"}}]}\n\n",
        ),
        part(5, 20, &content("b")),
        end(5, 20),
        end(6, 30),
    ];
    let file = TestFile::new(&bodies.concat());
    let mut texts = Texts::open(file.path(), 0, vec![Some(Format::Openai)]).unwrap();
    assert_eq!(texts.next(1).unwrap(), [(5, "abx".to_owned())]);
    assert_eq!(texts.next(9).unwrap(), [(6, String::new())]);
}
