//! Answers of servers that send tokens: what each response said, and when, read from the bytes that were recorded.
//!
//! One pass over a file of bodies beside one over its records: a body is read as far as it has come, so that memory
//! goes by what was under way at a time. What an event means its [`Format`] says; nothing is made up of what lies
//! between two of them. A record gets the columns of [`row`], and becomes a failure where its answer says that it is one.

mod answer;
mod events;
mod format;
mod oip;
mod openai;
mod parts;
mod row;
mod words;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use servemark_loadgen::error::Kind;
use servemark_loadgen::histogram::EventGaps;

use crate::table::{Row, Table, u32_at, u64_at};

use answer::Answer;
use parts::{Unfinished, opened};
use row::AskedFor;

pub use format::Format;
pub use parts::Texts;
pub use row::{ANSWER_COLUMNS, ANSWER_ROW_BYTES, FINISH_NAMES, Finish, flags};

/// Times between events with content that are longer than this count as this.
const LONGEST_GAP_NS: i64 = 24 * 3600 * 1_000_000_000;
/// The most that is kept of an answer that failed.
const EXAMPLE_BYTES: usize = 2048;
/// So much is shown of a body that is something else.
const SHOWN_BYTES: usize = 40;
/// What a compressed one begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The first failure of a step that an answer told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which step.
    pub step: u16,
    /// The request's number.
    pub seq: u64,
    /// When it ended.
    pub at_ns: i64,
    /// What its answer said, in words.
    pub message: String,
    /// The event, or the body, that said it.
    pub body: Vec<u8>,
}

/// What a pass found beside the columns.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The times between events with content, by step: V2-deflate bytes of a histogram of nanoseconds. Of successes that
    /// were scheduled after the warm-up.
    pub gaps: Vec<(u16, Vec<u8>)>,
    /// The first failure of each step that had one, the earliest first.
    pub failed: Vec<Failed>,
}

/// What is asked of a pass.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'asked> {
    /// By step: how its answers are read; `None` leaves its records without any.
    pub formats: &'asked [Option<Format>],
    /// Tokens that somebody else counted in the text of an answer, by the number of its request.
    pub counted: &'asked HashMap<u64, u32>,
    /// By step: the tokens that each request of its pool asks for, by its place there; 0 of one that asks for none.
    pub tokens: &'asked [Vec<u32>],
    /// Likewise: whether it asks for a stream.
    pub streams: &'asked [Vec<bool>],
    /// Records scheduled before it are the warm-up.
    pub warmup_ns: i64,
}

impl Asked<'_> {
    /// What the request of that place in the pool of a step asks for.
    fn of_request(&self, step: u16, input: u32) -> AskedFor {
        AskedFor {
            tokens: at(self.tokens, step, input).filter(|tokens| *tokens > 0),
            is_stream: at(self.streams, step, input) == Some(true),
        }
    }
}

/// What of each request of a pool is known, of that of a place in that of a step.
fn at<Known: Copy>(known: &[Vec<Known>], step: u16, input: u32) -> Option<Known> {
    let of_step = known.get(usize::from(step))?;
    of_step.get(usize::try_from(input).ok()?).copied()
}

/// Append to the file at `out` each record of `records`, with what its answer said behind it.
///
/// The bodies stand in the file at `bodies`, behind `bodies_header_bytes`. A record without a body, or whose body is not
/// there to its end (a run that was killed), has none of it.
pub fn complete(records: &Table, bodies: (&Path, u64), asked: Asked<'_>, out: &Path) -> io::Result<Found> {
    let file = opened(bodies.0, bodies.1)?;
    let mut unfinished = Unfinished::new(file, asked.formats.to_vec(), false);
    let mut out = BufWriter::with_capacity(1 << 20, OpenOptions::new().append(true).open(out)?);
    let mut gaps = EventGaps::new(asked.formats.len(), LONGEST_GAP_NS);
    let mut failed: HashMap<u16, Failed> = HashMap::new();
    let (seq_at, input_at) = (records.seq_offset(), records.input_offset());
    records.each_raw(|bytes, row| {
        let format = asked.formats.get(usize::from(row.step)).copied().flatten();
        let seq = u64_at(bytes, seq_at);
        let answer = if format.is_some() {
            unfinished.take(seq)?
        } else {
            None
        };
        let (Some(format), Some(answer)) = (format, answer) else {
            return write_row(&mut out, bytes, &row::NONE);
        };
        let counted = asked.counted.get(&seq).copied();
        let asked_for = asked.of_request(row.step, u32_at(bytes, input_at));
        let failure = (row.kind == 0)
            .then(|| failure_of(format, &answer, row))
            .flatten();
        let mut whole = bytes.to_vec();
        if let Some(message) = failure {
            whole[records.kind_offset()] = Kind::Application as u8;
            let body = answer.failing_bytes(EXAMPLE_BYTES);
            note_failed(&mut failed, row, seq, message, body);
        } else if row.kind == 0 && row.scheduled_ns >= asked.warmup_ns {
            for gap_ns in &answer.gaps_ns {
                gaps.note(row.step, *gap_ns, 1);
            }
        }
        write_row(
            &mut out,
            &whole,
            &row::of(&answer, row.is_streamed, counted, asked_for),
        )
    })?;
    out.flush()?;
    let mut failed: Vec<Failed> = failed.into_values().collect();
    failed.sort_by_key(|one| (one.at_ns, one.seq));
    Ok(Found {
        gaps: gaps.into_bytes(),
        failed,
    })
}

fn write_row(out: &mut impl Write, record: &[u8], answer: &[u8; ANSWER_ROW_BYTES]) -> io::Result<()> {
    out.write_all(record)?;
    out.write_all(answer)
}

fn note_failed(failed: &mut HashMap<u16, Failed>, row: &Row, seq: u64, message: String, body: Vec<u8>) {
    let this = Failed {
        step: row.step,
        seq,
        at_ns: row.end_ns,
        message,
        body,
    };
    let first = failed.entry(row.step).or_insert_with(|| this.clone());
    if this.at_ns < first.at_ns {
        *first = this;
    }
}

/// Why an answer is a failure although its status was that of a success.
fn failure_of(format: Format, answer: &Answer, row: &Row) -> Option<String> {
    if let Some(said) = &answer.error {
        return Some(format!("the answer says that it failed: {said}"));
    }
    if answer.is_cut {
        return None;
    }
    if row.is_streamed && !answer.is_complete() {
        let said = format!("{} events with content", answer.contents);
        let unread = if answer.unread > 0 {
            format!(", and {} that were not understood,", answer.unread)
        } else {
            String::new()
        };
        let reason = if answer.finish.is_some() {
            "the finish reason of each of its choices"
        } else {
            "a finish reason"
        };
        return Some(format!(
            "the stream ended after {said}{unread} without {reason} and without its end mark"
        ));
    }
    let api = format.api().filter(|_| answer.says_nothing())?;
    Some(not_an_answer(api, &answer.failing_bytes(SHOWN_BYTES)))
}

/// What is said of a body that is no answer of `api`, and begins with `bytes`.
fn not_an_answer(api: &str, bytes: &[u8]) -> String {
    let shown = String::from_utf8_lossy(bytes);
    let what = if bytes.is_empty() {
        "there is nothing in it that one has".to_owned()
    } else if bytes.starts_with(&GZIP) {
        "it is compressed".to_owned()
    } else {
        let words = shown.trim_end_matches('\u{fffd}').split_whitespace();
        format!("it begins with {}", words.collect::<Vec<_>>().join(" "))
    };
    format!("the answer is none of {api}: {what}")
}

#[cfg(test)]
mod tests;
