//! A server's JSON, and its words of why an answer failed.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// So much of a server's words is kept.
const MOST_WORDS: usize = 300;
/// What Python writes for a number that JSON cannot hold, as of a logarithm of 0.
const NO_NUMBERS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
/// The halves of a character beyond the first 65,536, and which of them are the first.
const HALVES: RangeInclusive<u16> = 0xd800..=0xdfff;
const FIRST_HALVES: RangeInclusive<u16> = 0xd800..=0xdbff;
/// Bytes of a character that is written as its number.
const ESCAPE_BYTES: usize = 6;

/// The object that is written there; `None` where it is none, or something stands behind it.
pub(super) fn object_in(text: &[u8]) -> Option<Map<String, Value>> {
    read(text, |text| serde_json::from_slice(text).ok())
}

/// The object that it begins with, whatever stands behind that.
pub(super) fn first_object_in(text: &[u8]) -> Option<Map<String, Value>> {
    read(text, |text| {
        let mut values = serde_json::Deserializer::from_slice(text).into_iter();
        values.next()?.ok()
    })
}

/// What other readers take is taken where JSON is read strictly: bytes that are no UTF-8, and half of a pair of
/// surrogates, are what the standards of streams and of text put there; what is no number is null.
fn read(text: &[u8], parse: impl Fn(&[u8]) -> Option<Value>) -> Option<Map<String, Value>> {
    let object = |text: &[u8]| match parse(text) {
        Some(Value::Object(said)) => Some(said),
        _ => None,
    };
    object(text).or_else(|| object(mended(text).as_bytes()))
}

fn mended(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let (mut mended, mut rest, mut is_within) = (String::with_capacity(text.len()), &*text, false);
    while !rest.is_empty() {
        let (bytes, put) = piece(rest, is_within);
        is_within ^= put == "\"";
        mended.push_str(put);
        rest = &rest[bytes..];
    }
    mended
}

/// The bytes of the next piece of `rest`, which is within a string or not, and what is to stand there.
fn piece(rest: &str, is_within: bool) -> (usize, &str) {
    let character = |at: usize| at + rest[at..].chars().next().map_or(0, char::len_utf8);
    if is_within && rest.starts_with('\\') {
        return match half(rest) {
            None => (character(1), &rest[..character(1)]),
            Some(first) if FIRST_HALVES.contains(&first) && is_second(&rest[ESCAPE_BYTES..]) => {
                (2 * ESCAPE_BYTES, &rest[..2 * ESCAPE_BYTES])
            }
            Some(_) => (ESCAPE_BYTES, "\u{fffd}"),
        };
    }
    let number = NO_NUMBERS
        .iter()
        .find(|number| !is_within && rest.starts_with(**number));
    number.map_or((character(0), &rest[..character(0)]), |number| {
        (number.len(), "null")
    })
}

/// The half of a character that is written there as its number, if one is.
fn half(rest: &str) -> Option<u16> {
    let digits = rest.strip_prefix("\\u")?.get(..ESCAPE_BYTES - 2)?;
    let number = u16::from_str_radix(digits, 16).ok()?;
    HALVES.contains(&number).then_some(number)
}

fn is_second(rest: &str) -> bool {
    half(rest).is_some_and(|second| !FIRST_HALVES.contains(&second))
}

/// What the error says that stands in it; one that is empty is none.
pub(super) fn error_in(said: &Map<String, Value>) -> Option<String> {
    let is_one = |error: &&Value| match error {
        Value::Null | Value::Bool(false) => false,
        Value::String(words) => !words.is_empty(),
        Value::Array(parts) => !parts.is_empty(),
        Value::Object(parts) => !parts.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    };
    said.get("error").filter(is_one).map(words_of)
}

/// What an error object says: its message, or all of it.
pub(super) fn words_of(error: &Value) -> String {
    let message = error.get("message").and_then(Value::as_str);
    let words = message
        .or_else(|| error.as_str())
        .filter(|words| !words.is_empty());
    words.map_or_else(|| shortened(&error.to_string()), shortened)
}

/// The beginning of what it says.
pub(super) fn shortened(words: &str) -> String {
    words.chars().take(MOST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_readers_take_for_json_is_read_and_what_none_takes_is_not() {
        for (text, said) in [
            (&br#"{"said":"a\"b"}"#[..], "a\"b"),
            (&b"{\"said\":\"a\xf0\x9f\"}"[..], "a\u{fffd}"),
            (&br#"{"said":"a\ud83d"}"#[..], "a\u{fffd}"),
            (
                &br#"{"said":"\ud83d\ud83d\ude42\ude42"}"#[..],
                "\u{fffd}\u{1f642}\u{fffd}",
            ),
            (&br#"{"said":"\\ud83d NaN \ude42"}"#[..], "\\ud83d NaN \u{fffd}"),
            (&br#"{"odds":[-Infinity,NaN],"said":"NaN"}"#[..], "NaN"),
        ] {
            let found = object_in(text).unwrap_or_default();
            assert_eq!(
                found.get("said").and_then(Value::as_str),
                Some(said),
                "{}",
                text.escape_ascii()
            );
        }
        for text in [&b"{\"said\":\"a\\"[..], b"", b"\xff", b"{\"a\":\"\\ud83", b"NaN"] {
            assert_eq!(object_in(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn an_error_that_is_empty_is_none_and_one_without_a_message_says_all_that_it_has() {
        let error =
            |written: &str| error_in(&object_in(format!("{{\"error\":{written}}}").as_bytes()).unwrap());
        for nothing in ["null", "false", "\"\"", "{}", "[]"] {
            assert_eq!(error(nothing), None, "{nothing}");
        }
        for (written, said) in [
            ("\"busy\"", "busy"),
            ("{\"message\":\"busy\",\"code\":500}", "busy"),
            ("{\"message\":\"\"}", "{\"message\":\"\"}"),
            ("500", "500"),
            ("true", "true"),
        ] {
            assert_eq!(error(written).as_deref(), Some(said));
        }
        assert_eq!(error_in(&Map::new()), None);
    }
}
