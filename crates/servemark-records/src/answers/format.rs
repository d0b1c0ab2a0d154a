//! What an event means: one enum of the ways in which servers tell it.

use super::oip;
use super::openai;
use super::row::Finish;
use super::words::shortened;

/// What stands behind the last event of a stream, where something does.
const END: &[u8] = b"[DONE]";

/// How the answers of a step are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenAI`'s API, chat and completions, streamed or not: what it is, each chunk says itself.
    Openai,
    /// The Open Inference Protocol: Triton's `generate_stream`, `MLServer`'s `infer_stream`.
    Oip,
    /// Each event's data is text, and no more is known of it.
    Text,
}

impl Format {
    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "openai" => Some(Self::Openai),
            "oip" => Some(Self::Oip),
            "text" => Some(Self::Text),
            _ => None,
        }
    }

    /// What an event means, whose type is `kind` and whose data is `data`.
    pub(super) fn event(self, kind: &[u8], data: &[u8]) -> Meaning {
        if data.trim_ascii() == END {
            return Meaning {
                is_end: true,
                ..Meaning::default()
            };
        }
        self.whole(data).typed(kind, data)
    }

    /// What a body means that is no stream, and the data of an event by themselves.
    pub(super) fn whole(self, body: &[u8]) -> Meaning {
        match self {
            Self::Openai => openai::whole(body),
            Self::Oip => oip::whole(body),
            Self::Text => Meaning {
                text: String::from_utf8_lossy(body).into_owned(),
                ..Meaning::default()
            },
        }
    }

    /// Of whose API its answers are; `None` where anything is one.
    pub(super) fn api(self) -> Option<&'static str> {
        match self {
            Self::Openai => Some("OpenAI's API"),
            Self::Oip => Some("the Open Inference Protocol"),
            Self::Text => None,
        }
    }

    /// Whether a stream of this format says that it is complete; of another any end is as good.
    pub(super) fn has_end(self) -> bool {
        self == Self::Openai
    }
}

/// Tokens as the server counted them, so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt: Option<u32>,
    pub(super) completion: u32,
}

/// What one event means; it may be several things, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// What was said; of several answers to one request the first.
    pub(super) text: String,
    /// What was said in the others, with their numbers.
    pub(super) others: Vec<(u64, String)>,
    /// What was thought.
    pub(super) reasoning: String,
    /// A call of a tool, or a piece of one.
    pub(super) has_tool_call: bool,
    pub(super) usage: Option<Usage>,
    /// Of which of several answers to one request it tells, and of each whether it says why it ended.
    pub(super) choices: Vec<(u64, bool)>,
    pub(super) finish: Option<Finish>,
    /// That the answer failed, in the server's words.
    pub(super) error: Option<String>,
    /// The mark behind the last event.
    pub(super) is_end: bool,
    /// It is not what this format can hold.
    pub(super) is_unread: bool,
}

impl Meaning {
    /// What it is as an event of that type: an `error` is one whatever its data mean, and nothing else.
    fn typed(self, kind: &[u8], data: &[u8]) -> Self {
        if kind != b"error" {
            return self;
        }
        let all = || shortened(&String::from_utf8_lossy(data));
        Self {
            error: Some(self.error.unwrap_or_else(all)),
            ..Self::default()
        }
    }

    /// Whether it brings something that was generated.
    pub(super) fn has_content(&self) -> bool {
        self.has_more_than_reasoning() || !self.reasoning.is_empty()
    }

    /// Whether all that it brings is reasoning.
    pub(super) fn is_reasoning(&self) -> bool {
        !self.has_more_than_reasoning() && !self.reasoning.is_empty()
    }

    fn has_more_than_reasoning(&self) -> bool {
        !self.text.is_empty() || !self.others.is_empty() || self.has_tool_call
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Format; 3] = [Format::Openai, Format::Oip, Format::Text];

    #[test]
    fn an_event_of_the_type_error_is_one_in_every_format_and_nothing_else() {
        for format in ALL {
            let meaning = format.event(b"error", b"CUDA out of memory");
            assert_eq!(meaning.error.as_deref(), Some("CUDA out of memory"), "{format:?}");
            assert!(!meaning.has_content() && !meaning.is_unread, "{format:?}");
        }
    }

    #[test]
    fn the_end_mark_is_one_in_every_format_and_no_content() {
        for format in ALL {
            let meaning = format.event(b"", b" [DONE] ");
            assert!(meaning.is_end, "{format:?}");
            assert!(!meaning.has_content() && !meaning.is_unread, "{format:?}");
        }
    }

    #[test]
    fn a_text_is_content_as_it_stands_there() {
        assert_eq!(Format::Text.event(b"token", b" a").text, " a");
        assert_eq!(Format::Text.whole(b"[DONE]").text, "[DONE]");
    }
}
