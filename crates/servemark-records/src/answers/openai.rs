//! The chunks and bodies of `OpenAI`'s API, chat and completions, as vLLM, `SGLang`, llama.cpp and others send them.

use serde_json::Value;

use super::format::{Meaning, Usage};
use super::row::Finish;
use super::words::words_of;

const END: &[u8] = b"[DONE]";

/// What an event means.
pub(super) fn event(kind: &[u8], data: &[u8]) -> Meaning {
    if data.trim_ascii() == END {
        return Meaning {
            is_end: true,
            ..Meaning::default()
        };
    }
    whole(data).typed(kind, data)
}

/// What a chunk, or a whole body, means.
pub(super) fn whole(body: &[u8]) -> Meaning {
    let mut meaning = Meaning::default();
    let Ok(Value::Object(said)) = serde_json::from_slice(body) else {
        meaning.is_unread = true;
        return meaning;
    };
    if let Some(error) = said.get("error").filter(|error| !error.is_null()) {
        meaning.error = Some(words_of(error));
        return meaning;
    }
    meaning.usage = said.get("usage").and_then(usage);
    let choices = said.get("choices").and_then(Value::as_array);
    if choices.is_none() && meaning.usage.is_none() {
        // vLLM's own errors had neither an envelope nor choices.
        let is_error = said.get("object").and_then(Value::as_str) == Some("error");
        meaning.error = is_error.then(|| words_of(&Value::Object(said.clone())));
        meaning.is_unread = !is_error;
    }
    for choice in choices.into_iter().flatten() {
        look_at_choice(choice, &mut meaning);
    }
    meaning
}

fn look_at_choice(choice: &Value, meaning: &mut Meaning) {
    if let Some(text) = choice.get("text").and_then(Value::as_str) {
        meaning.text.push_str(text);
    }
    let said = choice.get("delta").or_else(|| choice.get("message"));
    if let Some(said) = said {
        let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
        meaning.text.push_str(text("content"));
        meaning.text.push_str(text("refusal"));
        let thought = text("reasoning_content");
        let thought = if thought.is_empty() {
            text("reasoning")
        } else {
            thought
        };
        meaning.reasoning.push_str(thought);
        let calls = said.get("tool_calls").and_then(Value::as_array);
        meaning.has_tool_call |= calls.is_some_and(|calls| !calls.is_empty());
        meaning.has_tool_call |= said.get("function_call").is_some_and(Value::is_object);
    }
    if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
        meaning.finish = Some(Finish::of(reason));
    }
}

fn usage(said: &Value) -> Option<Usage> {
    let count = |name: &str| said.get(name).and_then(Value::as_u64);
    let as_u32 = |count: u64| {
        u32::try_from(count)
            .ok()
            .filter(|count| i32::try_from(*count).is_ok())
    };
    Some(Usage {
        prompt: count("prompt_tokens").and_then(as_u32),
        completion: count("completion_tokens").and_then(as_u32)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Meaning {
        event(b"", text.as_bytes())
    }

    #[test]
    fn content_is_what_was_generated_and_nothing_else() {
        let cases = [
            (r#"{"choices":[{"delta":{"role":"assistant"}}]}"#, false, false),
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
                false,
                false,
            ),
            (r#"{"choices":[{"delta":{"content":null}}]}"#, false, false),
            (r#"{"choices":[{"delta":{"content":"a"}}]}"#, true, false),
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":"a"}}]}"#,
                true,
                false,
            ),
            (r#"{"choices":[{"delta":{"reasoning_content":"a"}}]}"#, true, true),
            (
                r#"{"choices":[{"delta":{"reasoning":"a","content":""}}]}"#,
                true,
                true,
            ),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
                true,
                false,
            ),
            (r#"{"choices":[{"delta":{"tool_calls":[]}}]}"#, false, false),
            (r#"{"choices":[{"text":" b"}]}"#, true, false),
            (r#"{"choices":[{"message":{"content":"whole"}}]}"#, true, false),
            (r#"{"choices":[],"usage":{"completion_tokens":3}}"#, false, false),
            ("[DONE]", false, false),
        ];
        for (text, has_content, is_reasoning) in cases {
            let meaning = of(text);
            assert_eq!(
                (meaning.has_content(), meaning.is_reasoning(), meaning.is_unread),
                (has_content, is_reasoning, false),
                "{text}"
            );
        }
    }

    #[test]
    fn usage_and_the_reason_of_the_end_are_read_where_they_stand() {
        let meaning = of(r#"{"choices":[{"delta":{},"finish_reason":"length"}],"usage":null}"#);
        assert_eq!((meaning.finish, meaning.usage), (Some(Finish::Length), None));
        let meaning = of(r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":100}}"#);
        let usage = Usage {
            prompt: Some(7),
            completion: 100,
        };
        assert_eq!(meaning.usage, Some(usage));
        assert!(of("[DONE]").is_end && of(" [DONE] ").is_end);
        let absurd = of(r#"{"choices":[],"usage":{"completion_tokens":99999999999}}"#);
        assert_eq!(absurd.usage, None);
    }

    #[test]
    fn an_error_is_one_however_it_is_sent() {
        for (kind, text, said) in [
            (
                "",
                r#"{"error":{"message":"out of memory","code":500}}"#,
                "out of memory",
            ),
            (
                "error",
                r#"{"error":{"message":"out of memory"}}"#,
                "out of memory",
            ),
            ("error", "it broke", "it broke"),
            ("", r#"{"error":"overloaded"}"#, "overloaded"),
            ("", r#"{"object":"error","message":"too long"}"#, "too long"),
        ] {
            let meaning = event(kind.as_bytes(), text.as_bytes());
            assert_eq!(meaning.error.as_deref(), Some(said), "{text}");
        }
        assert_eq!(of(r#"{"choices":[{"text":"a"}],"error":null}"#).error, None);
    }

    #[test]
    fn what_is_no_chunk_is_not_understood() {
        for text in ["", "{", "1", "null", "[]", r#"{"other":1}"#] {
            assert!(of(text).is_unread, "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(of(&deep).is_unread);
    }
}
