//! The columns that a record has of its answer: behind its own, as wide whatever the format.

use servemark_loadgen::record::Column;

use super::answer::Answer;

/// Bytes of these columns.
pub const ANSWER_ROW_BYTES: usize = 72;

/// The columns, with their places behind a record's own. Times are nanoseconds from the run's origin, and numbers of
/// tokens what was told; -1 is what did not come.
pub const ANSWER_COLUMNS: [Column; 14] = [
    ("first_content", "<i8", 0),
    ("first_said", "<i8", 8),
    ("last_content", "<i8", 16),
    ("longest_gap", "<i8", 24),
    ("contents", "<u4", 32),
    ("reasoning", "<u4", 36),
    ("usage_tokens", "<i4", 40),
    ("counted_tokens", "<i4", 44),
    ("first_tokens", "<i4", 48),
    ("prompt_tokens", "<i4", 52),
    ("asked_tokens", "<i4", 56),
    ("text_bytes", "<u4", 60),
    ("finish", "u1", 64),
    ("answer_flags", "u1", 65),
];

/// Bits of the `answer_flags` column.
pub mod flags {
    /// A body was read.
    pub const READ: u8 = 1;
    /// It had the mark behind the last event, or is of a format without one.
    pub const END_MARK: u8 = 2;
    /// It said that it failed.
    pub const FAILED: u8 = 4;
    /// It was longer than what is kept of one.
    pub const CUT: u8 = 8;
    /// Something in it was not understood.
    pub const UNREAD: u8 = 16;
    /// It said that it had no token, and had content: what it said is none.
    pub const NO_USAGE: u8 = 32;
    /// It came whole, and its request asked for a stream.
    pub const NO_STREAM: u8 = 64;
}

/// Why an answer ended, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// At the end of what there was to say.
    Stop = 1,
    /// At the number of tokens that was asked for, or that fits.
    Length = 2,
    /// With a call of a tool.
    ToolCalls = 3,
    /// What followed was withheld.
    ContentFilter = 4,
    /// For another reason.
    Other = 5,
}

/// The names of the values of the `finish` column; 0 is none.
pub const FINISH_NAMES: [&str; 6] = ["none", "stop", "length", "tool_calls", "content_filter", "other"];

impl Finish {
    pub(super) fn of(reason: &str) -> Self {
        match reason {
            "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" => Self::Stop,
            "length" | "max_tokens" => Self::Length,
            "tool_calls" | "function_call" | "tool_use" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            _ => Self::Other,
        }
    }
}

/// The columns of a record of whose answer nothing was read.
pub(super) const NONE: [u8; ANSWER_ROW_BYTES] = {
    let mut row = [0; ANSWER_ROW_BYTES];
    let mut at = 0;
    while at < 60 {
        if at < 32 || at >= 40 {
            row[at] = 0xff;
        }
        at += 1;
    }
    row
};

/// What the request of an answer asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AskedFor {
    pub(super) tokens: Option<u32>,
    pub(super) is_stream: bool,
}

/// The columns of an answer; one that was not `is_streamed` came all at once, and has no times. `counted` are the tokens
/// that somebody counted in its text.
pub(super) fn of(
    answer: &Answer,
    is_streamed: bool,
    counted: Option<u32>,
    asked: AskedFor,
) -> [u8; ANSWER_ROW_BYTES] {
    let time = |time_ns: Option<i64>| time_ns.filter(|_| is_streamed).unwrap_or(-1);
    let tokens = |tokens: Option<u32>| tokens.and_then(|tokens| i32::try_from(tokens).ok()).unwrap_or(-1);
    let last_ns = answer.first_content_ns.map(|_| answer.last_content_ns);
    let mut row = [0; ANSWER_ROW_BYTES];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        row[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    for time_ns in [
        answer.first_content_ns,
        answer.first_said_ns,
        last_ns,
        answer.longest_gap_ns(),
    ] {
        put(&time(time_ns).to_le_bytes());
    }
    put(&answer.contents.to_le_bytes());
    put(&answer.reasoning.to_le_bytes());
    let usage = answer.usage.filter(|_| !answer.has_empty_usage());
    for count in [
        usage.map(|usage| usage.completion),
        counted,
        answer.first_tokens,
        usage.and_then(|usage| usage.prompt),
        asked.tokens,
    ] {
        put(&tokens(count).to_le_bytes());
    }
    put(&u32::try_from(answer.text_bytes).unwrap_or(u32::MAX).to_le_bytes());
    let is_whole = asked.is_stream && !is_streamed;
    put(&[
        answer.finish.map_or(0, |finish| finish as u8),
        flags_of(answer, is_whole),
    ]);
    row
}

fn flags_of(answer: &Answer, is_whole: bool) -> u8 {
    let bits = [
        (true, flags::READ),
        (answer.has_its_end(), flags::END_MARK),
        (answer.error.is_some(), flags::FAILED),
        (answer.is_cut, flags::CUT),
        (answer.unread > 0, flags::UNREAD),
        (answer.has_empty_usage(), flags::NO_USAGE),
        (is_whole, flags::NO_STREAM),
    ];
    bits.iter().filter(|(is_so, _)| *is_so).map(|(_, bit)| bit).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_follow_one_another_and_fit() {
        let mut end = 0;
        for (name, dtype, offset) in ANSWER_COLUMNS {
            assert_eq!(offset, end, "{name}");
            end += dtype
                .trim_start_matches(['<', 'u', 'i'])
                .parse::<usize>()
                .unwrap();
        }
        assert!(end <= ANSWER_ROW_BYTES);
    }

    #[test]
    fn of_nothing_every_time_and_number_of_tokens_is_minus_one() {
        for (name, dtype, offset) in ANSWER_COLUMNS {
            let width = if dtype == "<i8" { 8 } else { 4 };
            let is_signed = dtype.starts_with("<i");
            let bytes = &NONE[offset..(offset + width).min(ANSWER_ROW_BYTES)];
            assert_eq!(bytes.iter().all(|byte| *byte == 0xff), is_signed, "{name}");
        }
    }
}
