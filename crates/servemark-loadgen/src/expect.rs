//! What the body of a success must be, and in words what it is instead.

mod json;

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::body::{Body, Digest};
use crate::error::PlanError;

use json::JsonPath;

/// The most memory that a compiled regular expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// How much of the first response is kept to show where another differs.
const KEPT_OF_FIRST_BYTES: usize = 2048;

/// In UTF-8.
const LONGEST_CHARACTER_BYTES: usize = 4;

/// How much of a body stands in a message; the example of the failure has more.
const SHOWN_BYTES: usize = 60;

/// What a step expects of the body of each success.
#[derive(Clone, Debug)]
pub enum Expect {
    /// The body of the first success with the same input, byte for byte.
    Same,
    /// A regular expression is found in it. Clone it for each thread: clones share no cache, and so no lock.
    Regex(Regex),
    /// It is JSON, and holds something other than null and false at a path.
    Json(JsonPath),
    /// A regular expression is not found in it.
    NotRegex(Regex),
    /// It is JSON, and holds nothing, null or false at a path.
    NotJson(JsonPath),
    /// The same, or it is longer than what is kept of it: a condition that nobody asked for fails nothing unseen.
    NotJsonIfWhole(JsonPath),
}

/// The first success with one input, which every thread may be the one to bring.
pub type FirstBody = OnceLock<First>;

/// What is remembered of the first body.
#[derive(Debug)]
pub struct First {
    digest: Digest,
    bytes: u64,
    kept: Box<[u8]>,
}

impl Expect {
    /// From how it is written: `kind` is `same`, `regex`, `json`, `not_regex`, `not_json` or `not_json_if_whole`,
    /// `pattern` the expression or the path.
    pub fn new(kind: &str, pattern: &str) -> Result<Self, PlanError> {
        match kind {
            "same" if pattern.is_empty() => Ok(Self::Same),
            "same" => Err(PlanError(format!("\"same\" takes nothing, not {pattern:?}"))),
            "regex" => regex(pattern).map(Self::Regex),
            "json" => JsonPath::new(pattern).map(Self::Json),
            "not_regex" => regex(pattern).map(Self::NotRegex),
            "not_json" => JsonPath::new(pattern).map(Self::NotJson),
            "not_json_if_whole" => JsonPath::new(pattern).map(Self::NotJsonIfWhole),
            other => Err(PlanError(format!(
                "a body is expected to be \"same\", \"regex\", \"json\", \"not_regex\", \"not_json\" or \
                 \"not_json_if_whole\", not {other:?}"
            ))),
        }
    }

    /// Whether it looks into bodies, beyond their digest.
    pub(crate) fn looks(&self) -> bool {
        !matches!(self, Self::Same)
    }

    /// Whether `body` is what it must be; what is wrong, in words, if not.
    ///
    /// `first` belongs to the input of the request. It is set by the first body that is looked at, once; later looks
    /// take no lock.
    pub(crate) fn check(&self, body: &Body, first: Option<&FirstBody>) -> Result<(), String> {
        match self {
            Self::Same => match (first, body.digest()) {
                (Some(first), Some(digest)) => is_same(body, digest, first),
                _ => Err("nothing was kept to compare the body with".into()),
            },
            Self::Regex(regex) if is_found(regex, body) => Ok(()),
            Self::Regex(regex) => Err(format!(
                "the regular expression {:?} is not found in {}, which begins with {}",
                regex.as_str(),
                extent(body),
                shown(body.kept())
            )),
            Self::NotRegex(regex) => is_absent(regex, body),
            Self::NotJsonIfWhole(_) if !body.is_whole() => Ok(()),
            Self::Json(_) | Self::NotJson(_) if !body.is_whole() => Err(format!(
                "the body has {} bytes, and JSON is read up to {} KiB",
                body.bytes(),
                body.kept().len() / 1024
            )),
            Self::Json(path) => path.check(body.kept()),
            Self::NotJson(path) | Self::NotJsonIfWhole(path) => path.check_absent(body.kept()),
        }
    }
}

fn regex(pattern: &str) -> Result<Regex, PlanError> {
    let built = RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build();
    built.map_err(|error| {
        let words = error.to_string();
        // A syntax error is a drawing of several lines, the last of which says it.
        let last = words.lines().last().unwrap_or_default();
        let why = last.strip_prefix("error: ").unwrap_or(last);
        PlanError(format!(
            "the regular expression {pattern:?} cannot be used: {why}"
        ))
    })
}

/// Whether the expression is found in a body whatever follows what was kept of it: the end of that is no end of the body,
/// for `$` and `\b` to be found at. They look at the one character behind them.
fn is_found(regex: &Regex, body: &Body) -> bool {
    let kept = body.kept();
    if body.is_whole() {
        return regex.is_match(kept);
    }
    let found = regex.shortest_match(kept);
    found.is_some_and(|end| end + LONGEST_CHARACTER_BYTES <= kept.len())
}

/// Whether the expression is found nowhere in a body; of one that is longer than what was kept nobody can say.
fn is_absent(regex: &Regex, body: &Body) -> Result<(), String> {
    if let Some(found) = regex.find(body.kept()) {
        return Err(format!(
            "the regular expression {:?} is found in {}, at byte {}: {}",
            regex.as_str(),
            extent(body),
            found.start(),
            shown(found.as_bytes())
        ));
    }
    if body.is_whole() {
        return Ok(());
    }
    Err(format!(
        "the body has {} bytes, and that {:?} is not in it is seen up to {} KiB",
        body.bytes(),
        regex.as_str(),
        body.kept().len() / 1024
    ))
}

fn is_same(body: &Body, digest: Digest, first: &FirstBody) -> Result<(), String> {
    let first = first.get_or_init(|| First {
        digest,
        bytes: body.bytes(),
        kept: body.kept()[..body.kept().len().min(KEPT_OF_FIRST_BYTES)].into(),
    });
    if first.digest == digest {
        return Ok(());
    }
    let alike = body
        .kept()
        .iter()
        .zip(&first.kept)
        .take_while(|(one, other)| one == other);
    let alike = alike.count();
    let rest = |kept: &[u8]| shown(kept.get(alike..).unwrap_or_default());
    Err(format!(
        "the body differs from that of the first success with the same input after {alike} bytes: \
         {} instead of {} ({} and {} bytes)",
        rest(body.kept()),
        rest(&first.kept),
        body.bytes(),
        first.bytes
    ))
}

/// What of the body was looked at, in words.
fn extent(body: &Body) -> String {
    if body.is_whole() {
        format!("the body of {} bytes", body.bytes())
    } else {
        let looked_at = body.kept().len() / 1024;
        format!("the first {looked_at} KiB of the body's {} bytes", body.bytes())
    }
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]);
    let more = if bytes.len() > SHOWN_BYTES { "..." } else { "" };
    format!("{text:?}{more}")
}

#[cfg(test)]
mod tests;
