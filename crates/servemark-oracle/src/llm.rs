//! An LLM server's answers, as `OpenAI`'s API has them: tokens at known times, in every way in which servers send them.
//!
//! What is asked stands in the query of the target, `NAME=VALUE` with `&` between; what a request's own body says of
//! `stream`, `max_tokens` and `stream_options.include_usage` counts more. Unless asked for otherwise: the first token
//! after 50 ms, then one each 10 ms, 100 in all, each an event of its own, then an event that says why it ended, and
//! `[DONE]`.

mod asked;
mod wire;

use serde_json::{Value, json};

use crate::script::{Packet, Script};

pub(crate) use asked::{Asked, Cut, Fault, Usage};

/// So many tokens each prompt is said to have.
const PROMPT_TOKENS: u32 = 7;

/// What a list of models answers.
pub(crate) fn models() -> Script {
    let list =
        json!({"object": "list", "data": [{"id": "oracle", "object": "model", "owned_by": "servemark"}]});
    Script::of_answer(wire::whole(200, &list.to_string()))
}

/// What a look at where answers are asked for is told: that it is there.
pub(crate) fn look() -> Script {
    Script::of_answer(wire::whole(405, "{}"))
}

/// What is sent for a request.
pub(crate) fn script(asked: &Asked) -> Script {
    if asked.fault == Fault::Whole {
        let mut refused = Script::of_answer(wire::whole(200, &refusal().to_string()));
        refused.packets[0].after_ns = asked.first_ns;
        return refused;
    }
    if !asked.is_streamed {
        return not_streamed(asked);
    }
    wire::cut(&events(asked), asked.cut)
}

fn refusal() -> Value {
    json!({"error": {"message": "the oracle was asked to fail", "type": "server_error", "code": 500}})
}

/// The whole answer at once, when its last token is ready.
fn not_streamed(asked: &Asked) -> Script {
    let (sent, text) = (asked.sent(), text(0, asked.sent()));
    let choice = if asked.is_chat {
        json!({"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": asked.finish_reason()})
    } else {
        json!({"index": 0, "text": text, "finish_reason": asked.finish_reason()})
    };
    let mut body = json!({"id": "oracle", "model": "oracle", "choices": [choice]});
    if asked.usage != Usage::No {
        body["usage"] = usage(sent);
    }
    Script {
        packets: vec![Packet {
            after_ns: asked.content_ns(sent.saturating_sub(1)),
            writes: vec![wire::whole(200, &body.to_string())],
            contents: u32::from(sent > 0),
            tokens: sent,
        }],
    }
}

/// A server-sent event, and what of it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) after_ns: i64,
    pub(crate) text: String,
    pub(crate) contents: u32,
    pub(crate) tokens: u32,
}

fn event(after_ns: i64, data: &str) -> Sent {
    Sent {
        after_ns,
        text: format!("data: {data}\n\n"),
        contents: 0,
        tokens: 0,
    }
}

/// The events of a stream, in order of time.
fn events(asked: &Asked) -> Vec<Sent> {
    let mut events = Vec::new();
    if asked.has_role {
        events.push(event(
            0,
            &chunk(asked, &json!({"role": "assistant", "content": ""}), None, 0),
        ));
    }
    let fails_at = if asked.fault == Fault::No {
        u32::MAX
    } else {
        asked.sent() / 2
    };
    for first in (0..asked.sent()).step_by(asked.per_event as usize) {
        let after_ns = asked.content_ns(first);
        if first >= fails_at {
            events.push(failing(asked, after_ns));
            return events;
        }
        let tokens = asked.per_event.min(asked.sent() - first);
        let name = if first < asked.reasoning {
            "reasoning_content"
        } else {
            "content"
        };
        let data = chunk(asked, &json!({name: text(first, tokens)}), None, first + tokens);
        events.push(Sent {
            contents: 1,
            tokens,
            ..event(after_ns, &data)
        });
        if asked.has_empty && first + tokens < asked.sent() {
            let half_ns = asked.every_ns * i64::from(asked.per_event) / 2;
            events.push(event(
                after_ns + half_ns,
                &chunk(asked, &json!({"content": ""}), None, 0),
            ));
        }
    }
    let ends_ns = asked.content_ns(asked.sent().saturating_sub(1)) + asked.tail_ns;
    events.push(event(
        ends_ns,
        &chunk(asked, &json!({}), Some(asked.finish_reason()), 0),
    ));
    if asked.usage != Usage::No {
        let last = json!({"id": "oracle", "choices": [], "usage": usage(asked.sent())});
        events.push(event(ends_ns, &last.to_string()));
    }
    if asked.has_done {
        events.push(event(ends_ns, "[DONE]"));
    }
    events
}

/// The event with which a stream fails.
fn failing(asked: &Asked, after_ns: i64) -> Sent {
    let mut sent = event(after_ns, &refusal().to_string());
    if asked.fault == Fault::Event {
        sent.text = format!("event: error\n{}", sent.text);
    }
    sent
}

/// One chunk's data; `so_far` tokens have been sent with it, where that is told.
fn chunk(asked: &Asked, delta: &Value, finish: Option<&str>, so_far: u32) -> String {
    let choice = if asked.is_chat {
        json!({"index": 0, "delta": delta, "finish_reason": finish})
    } else {
        json!({"index": 0, "text": delta.get("content").unwrap_or(&json!("")), "finish_reason": finish})
    };
    let mut data =
        json!({"id": "oracle", "object": "chat.completion.chunk", "model": "oracle", "choices": [choice]});
    if asked.usage == Usage::Continuous && so_far > 0 {
        data["usage"] = usage(so_far);
    }
    data.to_string()
}

fn usage(tokens: u32) -> Value {
    json!({
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": tokens,
        "total_tokens": PROMPT_TOKENS + tokens,
    })
}

/// The text of `count` tokens from the token `first` on: words of a letter, each with the blank before it.
fn text(first: u32, count: u32) -> String {
    let letters = (first..first + count).map(|token| char::from(b'a' + (token % 26) as u8));
    letters.flat_map(|letter| [' ', letter]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Vec<Sent> {
        events(&Asked::read("/v1/chat/completions", query, b"").unwrap())
    }

    fn times_ms(events: &[Sent]) -> Vec<i64> {
        let contents = events.iter().filter(|event| event.contents > 0);
        contents.map(|event| event.after_ns / 1_000_000).collect()
    }

    #[test]
    fn tokens_come_at_their_times_and_are_followed_by_an_end() {
        let events = of("");
        assert_eq!(
            times_ms(&events),
            (0..100).map(|token| 50 + 10 * token).collect::<Vec<_>>()
        );
        assert_eq!(events[101].text, "data: [DONE]\n\n");
        assert!(
            events[100].text.contains(r#""finish_reason":"length""#),
            "{}",
            events[100].text
        );
        assert_eq!(events.iter().map(|event| event.tokens).sum::<u32>(), 100);
    }

    #[test]
    fn several_tokens_share_an_event_that_comes_as_much_later() {
        let events = of("per_event=2&tokens=5&usage=continuous");
        assert_eq!(times_ms(&events), [50, 70, 90]);
        let counts: Vec<_> = events.iter().map(|event| event.tokens).collect();
        assert_eq!(counts, [2, 2, 1, 0, 0, 0]);
        assert!(
            events[1].text.contains(r#""completion_tokens":4"#),
            "{}",
            events[1].text
        );
    }

    #[test]
    fn what_is_no_content_counts_for_none() {
        let events = of("role=1&empty=1&tokens=2&reasoning=1");
        assert_eq!(events[0].after_ns, 0);
        assert!(events[0].text.contains(r#""role":"assistant""#));
        assert!(events[1].text.contains(r#""reasoning_content":" a""#));
        assert!(events[2].text.contains(r#""content":"""#));
        assert_eq!(events[2].after_ns, 55_000_000);
        assert_eq!(times_ms(&events), [50, 60]);
    }

    #[test]
    fn a_stall_delays_what_comes_after_it_and_a_short_answer_stops() {
        assert_eq!(times_ms(&of("tokens=3&stall=2:500")), [50, 60, 570]);
        let short = of("stop=2");
        assert_eq!(times_ms(&short), [50, 60]);
        assert!(short[2].text.contains(r#""finish_reason":"stop""#));
    }

    #[test]
    fn a_stream_fails_in_the_middle_and_ends_there() {
        for (fault, begins) in [
            ("event", "event: error\ndata: {\"error\""),
            ("object", "data: {\"error\""),
        ] {
            let events = of(&format!("tokens=4&error={fault}"));
            assert_eq!(times_ms(&events), [50, 60]);
            assert!(events[2].text.starts_with(begins), "{}", events[2].text);
            assert_eq!(events.len(), 3);
        }
    }

    #[test]
    fn an_answer_that_is_not_streamed_is_whole_when_its_last_token_is_ready() {
        let asked = Asked::read("/v1/completions", "stream=0&tokens=3&usage=last", b"").unwrap();
        let script = script(&asked);
        assert_eq!((script.packets.len(), script.lasts_ns()), (1, 70_000_000));
        let text = String::from_utf8(script.packets[0].writes[0].clone()).unwrap();
        assert!(
            text.contains(r#""text":" a b c""#) && text.contains(r#""completion_tokens":3"#),
            "{text}"
        );
    }
}
