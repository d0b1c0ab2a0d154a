//! The chunks and bodies of `OpenAI`'s API, chat and completions, as vLLM, `SGLang`, llama.cpp and others send them.

use serde_json::Value;

use super::format::{Meaning, Usage};
use super::row::Finish;
use super::words::{error_in, object_in, words_of};

/// Reasons of an end that no answer has that was generated as it was asked for: vLLM's and `SGLang`'s.
const BROKEN_OFF: [&str; 2] = ["error", "abort"];

/// What a chunk, or a whole body, means.
pub(super) fn whole(body: &[u8]) -> Meaning {
    let mut meaning = Meaning::default();
    let Some(said) = object_in(body) else {
        meaning.is_unread = true;
        return meaning;
    };
    meaning.error = error_in(&said);
    if meaning.error.is_some() {
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
    let mut text = String::new();
    let mut said = ["delta", "message"].iter().filter_map(|name| choice.get(name));
    if let Some(said) = said.find(|said| said.is_object()) {
        look_at_said(said, &mut text, meaning);
    }
    // Gateways send it twice, as of a chat and as of a completion.
    if let Some(said) = choice.get("text").filter(|_| text.is_empty()) {
        add_texts(said, &mut text);
    }
    let number = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
    if number == 0 {
        meaning.text.push_str(&text);
    } else if !text.is_empty() {
        meaning.others.push((number, text));
    }
    let reason = choice.get("finish_reason").and_then(Value::as_str);
    let reason = reason.filter(|reason| !reason.is_empty());
    meaning.choices.push((number, reason.is_some()));
    if let Some(reason) = reason {
        meaning.finish = Some(Finish::of(reason));
        if BROKEN_OFF.contains(&reason) {
            meaning.error = Some(format!("finish reason {reason}"));
        }
    }
}

fn look_at_said(said: &Value, text: &mut String, meaning: &mut Meaning) {
    match said.get("content") {
        Some(Value::Array(parts)) => {
            for part in parts {
                match part.get("thinking") {
                    Some(thought) => add_texts(thought, &mut meaning.reasoning),
                    None => add_texts(part, text),
                }
            }
        }
        content => content.into_iter().for_each(|content| add_texts(content, text)),
    }
    said.get("refusal")
        .into_iter()
        .for_each(|refusal| add_texts(refusal, text));
    let thought = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    let names = ["reasoning_content", "reasoning"];
    let told = names.into_iter().map(thought).find(|told| !told.is_empty());
    meaning.reasoning.push_str(told.unwrap_or_default());
    let calls = said.get("tool_calls").and_then(Value::as_array);
    meaning.has_tool_call |= calls.is_some_and(|calls| !calls.is_empty());
    meaning.has_tool_call |= said.get("function_call").is_some_and(Value::is_object);
}

/// A text, or parts of one.
fn add_texts(value: &Value, text: &mut String) {
    match value {
        Value::String(said) => text.push_str(said),
        Value::Array(parts) => parts.iter().for_each(|part| add_texts(part, text)),
        other => text.push_str(other.get("text").and_then(Value::as_str).unwrap_or_default()),
    }
}

fn usage(said: &Value) -> Option<Usage> {
    // Some languages have but one kind of number: 4.0 are four.
    let count = |name: &str| said.get(name).and_then(Value::as_f64);
    let as_u32 = |count: f64| {
        let is_count = count.fract() == 0.0 && (0.0..=f64::from(i32::MAX)).contains(&count);
        is_count.then_some(count as u32)
    };
    Some(Usage {
        prompt: count("prompt_tokens").and_then(as_u32),
        completion: count("completion_tokens").and_then(as_u32)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use super::*;

    fn event(kind: &[u8], data: &[u8]) -> Meaning {
        Format::Openai.event(kind, data)
    }

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
            (
                r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"}]}}]}"#,
                true,
                false,
            ),
            (
                r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]}]}}]}"#,
                true,
                true,
            ),
            (r#"{"choices":[{"delta":{"content":[]}}]}"#, false, false),
            (
                r#"{"choices":[{"index":1,"delta":{"content":"a"}}]}"#,
                true,
                false,
            ),
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
    fn what_a_choice_says_is_said_once_wherever_it_stands() {
        for choice in [
            r#"{"text":" Hi","delta":{"content":" Hi"}}"#,
            r#"{"text":" Hi","delta":{"role":"assistant"}}"#,
            r#"{"text":" Hi","delta":null}"#,
            r#"{"text":null,"delta":{"content":" Hi"}}"#,
            r#"{"delta":null,"message":{"content":" Hi"}}"#,
            r#"{"delta":{"content":" Hi"},"message":null}"#,
        ] {
            let meaning = of(&format!(r#"{{"choices":[{choice}]}}"#));
            assert_eq!(meaning.text, " Hi", "{choice}");
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
        assert_eq!(
            of(r#"{"choices":[],"usage":{"prompt_tokens":7.0,"completion_tokens":1e2}}"#).usage,
            Some(usage)
        );
        for no_count in ["null", "-1", "0.5", "1e300", "\"4\""] {
            let text = format!(r#"{{"choices":[],"usage":{{"completion_tokens":{no_count}}}}}"#);
            assert_eq!(of(&text).usage, None, "{text}");
        }
        for no_reason in ["null", "\"\""] {
            let text = format!(r#"{{"choices":[{{"text":"a","finish_reason":{no_reason}}}]}}"#);
            assert_eq!(of(&text).finish, None, "{text}");
        }
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
        for nothing in ["null", "\"\"", "{}"] {
            let meaning = of(&format!(r#"{{"choices":[{{"text":"a"}}],"error":{nothing}}}"#));
            assert_eq!((meaning.error, meaning.text.as_str()), (None, "a"), "{nothing}");
        }
    }

    #[test]
    fn an_answer_that_the_server_broke_off_is_an_error() {
        let of_reason = |reason: &str| {
            of(&format!(
                r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#
            ))
        };
        for reason in BROKEN_OFF {
            let said = format!("finish reason {reason}");
            assert_eq!(of_reason(reason).error, Some(said));
        }
        for reason in ["stop", "length", "content_filter", "tool_calls", "other"] {
            assert_eq!(of_reason(reason).error, None, "{reason}");
        }
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
