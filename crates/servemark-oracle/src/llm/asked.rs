//! What is asked of the LLM server: by the query of the target, then by the request's own body.

use std::str::FromStr;

use serde_json::Value;
use servemark_loadgen::clock::NS_PER_MS;

/// Whether, and where, the number of tokens is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Usage {
    No,
    /// In a chunk of its own behind the last token.
    Last,
    /// In each chunk, too.
    Continuous,
}

/// How an answer fails, if it does, although its status is 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    No,
    /// After half of the tokens, an event of the type error.
    Event,
    /// After half of the tokens, a chunk that is an error.
    Object,
    /// No stream at all, but an error as JSON.
    Whole,
}

/// How the bytes of a stream are laid on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cut {
    /// An event a chunk, a chunk a write.
    Events,
    /// A byte a write.
    Bytes,
    /// Two events a write, when the first is ready.
    Pairs,
    /// Each chunk ends within the next event.
    Torn,
    /// Two chunks an event, in two writes without a pause: the kernel may join them.
    Joined,
}

/// A request to the LLM server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked by itself")]
pub(crate) struct Asked {
    pub(crate) first_ns: i64,
    pub(crate) every_ns: i64,
    /// From the last token to the end.
    pub(crate) tail_ns: i64,
    pub(crate) tokens: u32,
    /// The answer stops after so many, if that is less.
    pub(crate) stop: u32,
    pub(crate) per_event: u32,
    /// The first so many tokens are reasoning.
    pub(crate) reasoning: u32,
    /// Before the token of that number there is a pause of so long beside.
    pub(crate) stall: (u32, i64),
    pub(crate) has_role: bool,
    pub(crate) has_empty: bool,
    pub(crate) has_done: bool,
    pub(crate) is_streamed: bool,
    pub(crate) is_chat: bool,
    pub(crate) usage: Usage,
    pub(crate) fault: Fault,
    pub(crate) cut: Cut,
}

impl Asked {
    /// What a request asks: its path, its query, and its body.
    pub(crate) fn read(path: &str, query: &str, body: &[u8]) -> Result<Self, String> {
        let mut asked = Self {
            first_ns: 50 * NS_PER_MS,
            every_ns: 10 * NS_PER_MS,
            tail_ns: 0,
            tokens: 100,
            stop: u32::MAX,
            per_event: 1,
            reasoning: 0,
            stall: (u32::MAX, 0),
            has_role: false,
            has_empty: false,
            has_done: true,
            is_streamed: true,
            is_chat: !path.ends_with("/v1/completions"),
            usage: Usage::No,
            fault: Fault::No,
            cut: Cut::Events,
        };
        if let Ok(Value::Object(said)) = serde_json::from_slice(body) {
            asked.is_streamed = said.get("stream").and_then(Value::as_bool).unwrap_or(false);
            let most = said
                .get("max_completion_tokens")
                .or_else(|| said.get("max_tokens"));
            if let Some(most) = most.and_then(Value::as_u64) {
                asked.tokens = u32::try_from(most).unwrap_or(u32::MAX);
            }
            let wants_usage = said
                .get("stream_options")
                .and_then(|options| options.get("include_usage")?.as_bool());
            if wants_usage == Some(true) || !asked.is_streamed {
                asked.usage = Usage::Last;
            }
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "1"));
            asked.set(name, value)?;
        }
        asked.per_event = asked.per_event.max(1);
        Ok(asked)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "first_ms" => self.first_ns = time_ns(value)?,
            "every_ms" => self.every_ns = time_ns(value)?,
            "tail_ms" => self.tail_ns = time_ns(value)?,
            "tokens" => self.tokens = number(value)?,
            "stop" => self.stop = number(value)?,
            "per_event" => self.per_event = number(value)?,
            "reasoning" => self.reasoning = number(value)?,
            "stall" => {
                let (before, lasting) = value.split_once(':').ok_or("stall is TOKEN:MS")?;
                self.stall = (number(before)?, time_ns(lasting)?);
            }
            "role" => self.has_role = number::<u8>(value)? > 0,
            "empty" => self.has_empty = number::<u8>(value)? > 0,
            "done" => self.has_done = number::<u8>(value)? > 0,
            "stream" => self.is_streamed = number::<u8>(value)? > 0,
            "usage" => {
                self.usage = match value {
                    "last" => Usage::Last,
                    "continuous" => Usage::Continuous,
                    "no" => Usage::No,
                    other => return Err(format!("no usage {other:?}")),
                }
            }
            "error" => {
                self.fault = match value {
                    "event" => Fault::Event,
                    "object" => Fault::Object,
                    "whole" => Fault::Whole,
                    other => return Err(format!("no error {other:?}")),
                }
            }
            "cut" => {
                self.cut = match value {
                    "events" => Cut::Events,
                    "bytes" => Cut::Bytes,
                    "pairs" => Cut::Pairs,
                    "torn" => Cut::Torn,
                    "joined" => Cut::Joined,
                    other => return Err(format!("no cut {other:?}")),
                }
            }
            other => return Err(format!("nothing is called {other:?}")),
        }
        Ok(())
    }

    /// How many tokens are sent, unless it fails before.
    pub(crate) fn sent(&self) -> u32 {
        self.tokens.min(self.stop)
    }

    /// Why the answer ends.
    pub(crate) fn finish_reason(&self) -> &'static str {
        if self.stop < self.tokens { "stop" } else { "length" }
    }

    /// When the token of that number is ready.
    pub(crate) fn content_ns(&self, token: u32) -> i64 {
        let (before, lasting_ns) = self.stall;
        let stalled_ns = if token >= before { lasting_ns } else { 0 };
        self.first_ns + i64::from(token) * self.every_ns + stalled_ns
    }
}

fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

fn time_ns(text: &str) -> Result<i64, String> {
    let time_ms: f64 = number(text)?;
    Ok((time_ms * NS_PER_MS as f64).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_asks_and_a_query_asks_more() {
        let body = br#"{"stream": true, "max_tokens": 5, "stream_options": {"include_usage": true}}"#;
        let asked = Asked::read("/v1/completions", "stop=3&cut=torn&done=0", body).unwrap();
        assert_eq!(
            (asked.tokens, asked.sent(), asked.finish_reason()),
            (5, 3, "stop")
        );
        assert_eq!((asked.usage, asked.cut), (Usage::Last, Cut::Torn));
        assert!(asked.is_streamed && !asked.is_chat && !asked.has_done);
        let whole = Asked::read("/v1/chat/completions", "", br#"{"max_completion_tokens": 9}"#).unwrap();
        assert_eq!((whole.is_streamed, whole.is_chat, whole.tokens), (false, true, 9));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for query in [
            "tokens=x",
            "cut=thin",
            "usage=some",
            "error=none",
            "delay=5",
            "stall=5",
        ] {
            let refused = Asked::read("/", query, b"").unwrap_err();
            let name = query.split('=').next().unwrap();
            assert!(refused.contains(name) || refused.contains("\"x\""), "{refused}");
        }
    }
}
