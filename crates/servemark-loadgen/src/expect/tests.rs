//! What each expectation accepts, and what it says of the others.

use super::*;
use crate::body::Watch;

fn body(text: &str) -> Body {
    let watch = Watch {
        keep_bytes: 1024,
        digest: true,
        hands_on: false,
    };
    let mut body = Body::default();
    body.begin(watch);
    body.add(text.as_bytes());
    body
}

fn says(kind: &str, pattern: &str, text: &str) -> Result<(), String> {
    let expect = Expect::new(kind, pattern).unwrap();
    expect.check(&body(text), Some(&FirstBody::new()))
}

#[test]
fn the_same_means_the_first_body_with_that_input() {
    let (first, other) = (FirstBody::new(), FirstBody::new());
    let check = |text, first| Expect::Same.check(&body(text), Some(first));
    assert_eq!(check("a cat", &first), Ok(()));
    assert_eq!(check("a dog", &other), Ok(()));
    assert_eq!(check("a cat", &first), Ok(()));
    assert_eq!(
        check("a dog", &first).unwrap_err(),
        "the body differs from that of the first success with the same input after 2 bytes: \
         \"dog\" instead of \"cat\" (5 and 5 bytes)"
    );
    assert!(check("a cat!", &first).is_err());
    assert!(check("", &first).is_err());
}

#[test]
fn bodies_that_differ_behind_what_was_kept_are_not_the_same() {
    let first = FirstBody::new();
    let long = "x".repeat(5000);
    assert_eq!(Expect::Same.check(&body(&long), Some(&first)), Ok(()));
    assert_eq!(Expect::Same.check(&body(&long), Some(&first)), Ok(()));
    let mut wrong = long.clone();
    wrong.replace_range(4999.., "y");
    let message = Expect::Same.check(&body(&wrong), Some(&first)).unwrap_err();
    assert!(
        message.contains("after 1024 bytes: \"\" instead of \"\" (5000 and 5000 bytes)"),
        "{message}"
    );
}

#[test]
fn one_thread_of_many_brings_the_first_body() {
    let first = FirstBody::new();
    let refused: usize = std::thread::scope(|scope| {
        let checks = (0..8).map(|thread| {
            let (first, text) = (&first, format!("thread {}", thread % 2));
            scope.spawn(move || {
                (0..1000)
                    .filter(|_| Expect::Same.check(&body(&text), Some(first)).is_err())
                    .count()
            })
        });
        let threads: Vec<_> = checks.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(
        refused, 4000,
        "one of the two texts was first, and the other never right"
    );
}

#[test]
fn an_expression_is_found_anywhere_in_the_bytes() {
    assert_eq!(says("regex", "ca+t", "a caaat"), Ok(()));
    assert_eq!(says("regex", r"(?-u)\xff", "ÿ"), Err(
        "the regular expression \"(?-u)\\\\xff\" is not found in the body of 2 bytes, which begins with \"ÿ\"".into()
    ));
    assert_eq!(says("regex", "", ""), Ok(()));
    let message = says("regex", "z$", &"x".repeat(5000)).unwrap_err();
    assert!(
        message.contains("in the first 1 KiB of the body's 5000 bytes"),
        "{message}"
    );
}

#[test]
fn what_was_kept_of_a_longer_body_is_not_taken_for_its_end() {
    let long = "x".repeat(1023) + "y" + &"z".repeat(4000);
    for (pattern, holds) in [
        ("^x{9}", true),
        ("", true),
        ("x*", true),
        ("y$", false),
        (r"y\b", false),
        ("(?m)^x+y$", false),
    ] {
        assert_eq!(says("regex", pattern, &long).is_ok(), holds, "{pattern}");
        let whole = says("regex", pattern, &long[..1024]);
        assert_eq!(whole, Ok(()), "{pattern}");
    }
}

#[test]
fn a_path_leads_to_something() {
    for (path, text) in [
        ("", "{}"),
        ("", " 0 "),
        ("a", r#"{"a": 0}"#),
        ("a", r#"{"a": ""}"#),
        ("a", r#"{"a": []}"#),
        ("a", r#"{"b": {"a": 1}, "a": {}}"#),
        ("0", "[1]"),
        ("0", r#"{"0": true}"#),
        (
            "predictions.1.class",
            r#"{"predictions": [{"class": null}, {"x": 1, "class": "cat"}, 3]}"#,
        ),
        (r"a\.b.c", r#"{"a": 1, "a.b": {"c": -1.5e3}}"#),
        ("ä", "{\"\\u00e4\": 1}"),
        ("a", r#"{"a": null, "a": 2}"#),
    ] {
        assert_eq!(says("json", path, text), Ok(()), "{path} in {text}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    for (path, text, words) in [
        (
            "",
            "",
            "the body is no JSON: EOF while parsing a value at line 1 column 0",
        ),
        (
            "",
            "<html>",
            "the body is no JSON: expected value at line 1 column 1",
        ),
        ("a", r#"{"a": 1} x"#, "the body is no JSON: trailing characters"),
        (
            "a",
            r#"{"a": 1, "b": [1,]}"#,
            "the body is no JSON: expected value",
        ),
        (
            "a",
            "{\"a\": \"\u{1}\"}",
            "the body is no JSON: control character",
        ),
        ("", "null", "the body is JSON, but it is null"),
        (
            "a.b",
            r#"{"a": {"b": false}}"#,
            "the body is JSON, but a.b is false",
        ),
        (
            "a.b",
            r#"{"a": {"b": null}}"#,
            "the body is JSON, but a.b is null",
        ),
        ("a.b.c", r#"{"a": {"c": 1}}"#, "the body is JSON, but has no a.b"),
        ("a.b.c", r#"{"a": 7}"#, "the body is JSON, but has no a.b"),
        ("a.2", r#"{"a": [1, 2]}"#, "the body is JSON, but has no a.2"),
        ("a.b", r#"{"a": [1, 2]}"#, "the body is JSON, but has no a.b"),
        ("0", "7", "the body is JSON, but has no 0"),
    ] {
        let message = says("json", path, text).unwrap_err();
        assert!(message.starts_with(words), "{path} in {text}: {message}");
    }
    let deep = "[".repeat(100_000);
    assert!(
        says("json", "", &deep)
            .unwrap_err()
            .contains("the body has 100000 bytes")
    );
    assert!(
        says("json", "0.0", &deep[..1000])
            .unwrap_err()
            .contains("EOF while parsing")
    );
}

#[test]
fn what_cannot_be_expected_is_refused_in_one_line() {
    for (kind, pattern, words) in [
        (
            "regex",
            "(",
            "the regular expression \"(\" cannot be used: unclosed group",
        ),
        ("regex", "a{1000}{1000}{1000}", "size limit"),
        ("regex", r"\p{Greek}", "cannot be used"),
        ("json", "a..b", "a key between its dots is empty"),
        ("json", ".", "a key between its dots is empty"),
        ("json", "a\\", "nothing follows its last backslash"),
        ("same", "x", "\"same\" takes nothing"),
        ("equal", "x", "not \"equal\""),
    ] {
        let PlanError(message) = Expect::new(kind, pattern).unwrap_err();
        assert!(message.contains(words) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn what_must_not_be_there_is_said_where_it_is() {
    assert_eq!(says("not_regex", "err(or)?", "a cat"), Ok(()));
    assert_eq!(
        says("not_regex", "err(or)?", "an error").unwrap_err(),
        "the regular expression \"err(or)?\" is found in the body of 8 bytes, at byte 3: \"error\""
    );
    assert_eq!(says("not_json", "error", "{\"error\": null, \"a\": 1}"), Ok(()));
    assert_eq!(says("not_json", "error", "[]"), Ok(()));
    assert_eq!(
        says("not_json", "error", "{\"error\": \"busy\"}").unwrap_err(),
        "the body is JSON, and has error"
    );
    assert!(
        says("not_json", "error", "busy")
            .unwrap_err()
            .starts_with("the body is no JSON")
    );
}

#[test]
fn that_something_is_nowhere_in_a_body_is_not_told_from_its_beginning() {
    let long = "x".repeat(5000);
    let unseen = says("not_regex", "y", &long).unwrap_err();
    assert_eq!(
        unseen,
        "the body has 5000 bytes, and that \"y\" is not in it is seen up to 1 KiB"
    );
    assert!(
        says("not_regex", "x", &long)
            .unwrap_err()
            .contains("is found in the first 1 KiB")
    );
    assert!(says("not_json", "a", &format!("\"{long}\"")).is_err());
}

#[test]
fn a_condition_that_nobody_asked_for_fails_what_can_be_read_and_nothing_longer() {
    let says = |text: &str| says("not_json_if_whole", "error", text);
    assert_eq!(says("{\"a\": 1}"), Ok(()));
    assert_eq!(
        says("{\"error\": \"busy\"}").unwrap_err(),
        "the body is JSON, and has error"
    );
    assert!(says("busy").unwrap_err().starts_with("the body is no JSON"));
    assert_eq!(says(&format!("{{\"a\": \"{}\"}}", "x".repeat(5000))), Ok(()));
}

#[test]
fn all_but_the_comparison_looks_into_bodies() {
    let looks = [
        "same",
        "regex",
        "json",
        "not_regex",
        "not_json",
        "not_json_if_whole",
    ]
    .map(|kind| {
        let pattern = if kind == "same" { "" } else { "a" };
        Expect::new(kind, pattern).unwrap().looks()
    });
    assert_eq!(looks, [false, true, true, true, true, true]);
}
