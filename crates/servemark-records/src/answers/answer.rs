//! An answer, as far as it has come: what its events were, and when.

use std::collections::BTreeMap;

use super::events::Events;
use super::format::{Format, Meaning, Usage};
use super::row::Finish;

/// So much of a body that is no stream is kept to be read when it is whole.
const MOST_WHOLE_BYTES: usize = 4 << 20;

/// What one response said.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// When the first event with content arrived, and the last one.
    pub(super) first_content_ns: Option<i64>,
    pub(super) last_content_ns: i64,
    /// When the first one did that was not reasoning alone.
    pub(super) first_said_ns: Option<i64>,
    /// The times between events with content.
    pub(super) gaps_ns: Vec<i64>,
    pub(super) contents: u32,
    pub(super) reasoning: u32,
    /// What the server counted, the last time that it told.
    pub(super) usage: Option<Usage>,
    /// What it had counted with the first event with content.
    pub(super) first_tokens: Option<u32>,
    pub(super) finish: Option<Finish>,
    pub(super) error: Option<String>,
    pub(super) has_end: bool,
    pub(super) is_cut: bool,
    /// Events that were not understood.
    pub(super) unread: u32,
    /// And those that may be of an answer: they were understood, or are too long to be looked at.
    possible: u32,
    pub(super) text_bytes: u64,
    needs_end: bool,
    /// By the number of each answer to the request that was seen: whether it said why it ended.
    has_ended: BTreeMap<u64, bool>,
    /// What was said and thought, by the number of the answer, where somebody wants to have it.
    texts: Option<BTreeMap<u64, String>>,
    failing: Vec<u8>,
}

impl Answer {
    /// Whether nothing is missing: it said why it ended, of several answers to one request each, or that it did, or is of
    /// a format that never does.
    pub(super) fn is_complete(&self) -> bool {
        let has_reasons = self.finish.is_some() && self.has_ended.values().all(|has_ended| *has_ended);
        has_reasons || self.has_its_end()
    }

    /// Whether the mark behind the last event came, if it is of a format that has one.
    pub(super) fn has_its_end(&self) -> bool {
        self.has_end || !self.needs_end
    }

    /// Whether nothing in it is what answers have: where those say why they ended, not even that.
    pub(super) fn says_nothing(&self) -> bool {
        let is_known = self.contents > 0 || self.usage.is_some() || self.finish.is_some() || self.has_end;
        !is_known && (self.needs_end || self.possible == 0)
    }

    /// What was said and thought, of several answers to one request one behind the other.
    pub(super) fn into_text(self) -> String {
        self.texts.into_iter().flat_map(BTreeMap::into_values).collect()
    }

    /// Whether its usage cannot be one: no token, where there was content.
    pub(super) fn has_empty_usage(&self) -> bool {
        self.contents > 0 && self.usage.is_some_and(|usage| usage.completion == 0)
    }

    /// The longest time between two events with content; `None` of fewer.
    pub(super) fn longest_gap_ns(&self) -> Option<i64> {
        self.gaps_ns.iter().max().copied()
    }

    /// The first bytes of what said that it failed, else of what was not understood.
    pub(super) fn failing_bytes(&self, most: usize) -> Vec<u8> {
        self.failing[..self.failing.len().min(most)].to_vec()
    }

    fn note(&mut self, meaning: &Meaning, data: &[u8], time_ns: i64) {
        self.unread += u32::from(meaning.is_unread);
        self.possible += u32::from(!meaning.is_unread);
        self.has_end |= meaning.is_end;
        self.finish = meaning.finish.or(self.finish);
        for (number, has_ended) in &meaning.choices {
            *self.has_ended.entry(*number).or_default() |= has_ended;
        }
        let fails = meaning.error.is_some() && self.error.is_none();
        if fails {
            self.error.clone_from(&meaning.error);
        }
        if fails || (meaning.is_unread && self.failing.is_empty()) {
            self.failing = data[..data.len().min(4096)].to_vec();
        }
        if meaning.has_content() {
            self.note_content(meaning, time_ns);
        }
        self.usage = meaning.usage.or(self.usage);
    }

    fn note_content(&mut self, meaning: &Meaning, time_ns: i64) {
        if self.first_content_ns.is_none() {
            self.first_content_ns = Some(time_ns);
            self.first_tokens = meaning
                .usage
                .map(|usage| usage.completion)
                .filter(|tokens| *tokens > 0);
        } else {
            self.gaps_ns.push(time_ns - self.last_content_ns);
        }
        self.last_content_ns = time_ns;
        self.contents += 1;
        if meaning.is_reasoning() {
            self.reasoning += 1;
        } else if self.first_said_ns.is_none() {
            self.first_said_ns = Some(time_ns);
        }
        let others = meaning.others.iter().map(|(_, text)| text.len());
        self.text_bytes += (meaning.text.len() + meaning.reasoning.len() + others.sum::<usize>()) as u64;
        if let Some(texts) = &mut self.texts {
            let mut add = |number: u64, text: &str| texts.entry(number).or_default().push_str(text);
            add(0, &meaning.reasoning);
            add(0, &meaning.text);
            meaning
                .others
                .iter()
                .for_each(|(number, text)| add(*number, text));
        }
    }
}

/// Reads one response as its bytes come.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    format: Format,
    events: Events,
    /// What came before any event: the body, if it is no stream.
    whole: Vec<u8>,
    /// There was more of it than is kept.
    is_too_long: bool,
    has_events: bool,
    answer: Answer,
}

impl Reading {
    /// Nothing has come yet. With `keeps_text` all that is said is kept.
    pub(super) fn new(format: Format, keeps_text: bool) -> Self {
        Self {
            format,
            events: Events::default(),
            whole: Vec::new(),
            is_too_long: false,
            has_events: false,
            answer: Answer {
                needs_end: format.has_end(),
                texts: keeps_text.then(BTreeMap::new),
                ..Answer::default()
            },
        }
    }

    /// More bytes came, together at `time_ns`.
    pub(super) fn receive(&mut self, bytes: &[u8], time_ns: i64) {
        if !self.has_events && self.whole.len() + bytes.len() <= MOST_WHOLE_BYTES {
            self.whole.extend_from_slice(bytes);
        } else if !self.has_events {
            self.is_too_long = true;
        }
        let (format, answer, has_events) = (self.format, &mut self.answer, &mut self.has_events);
        self.events.receive(bytes, |kind, data| {
            *has_events = true;
            if let Some(data) = data {
                answer.note(&format.event(kind, data), data, time_ns);
            } else {
                answer.unread += 1;
                answer.possible += 1;
            }
        });
        if self.has_events {
            self.whole = Vec::new();
        }
    }

    /// It is over at `time_ns`. What came, if it was no stream, is one answer.
    pub(super) fn end(mut self, time_ns: i64, is_cut: bool) -> Answer {
        self.answer.is_cut = is_cut || (self.is_too_long && !self.has_events);
        if !self.has_events && !self.whole.is_empty() {
            let whole = std::mem::take(&mut self.whole);
            self.answer.note(&self.format.whole(&whole), &whole, time_ns);
        }
        self.answer
    }
}
