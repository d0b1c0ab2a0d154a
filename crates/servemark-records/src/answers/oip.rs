//! The events and bodies of the Open Inference Protocol: Triton's `generate_stream`, and `MLServer`'s `infer_stream`.

use serde_json::{Map, Value};

use super::format::Meaning;
use super::words::{error_in, first_object_in};

/// What Triton's backends of language models call what they generate.
const TEXT: &str = "text_output";
/// What stands beside the outputs in an answer of `generate_stream`, and is none.
const NO_OUTPUTS: [&str; 8] = [
    "model_name",
    "model_version",
    "id",
    "parameters",
    "sequence_id",
    "sequence_start",
    "sequence_end",
    "error",
];

/// What an event, or a body, means: an error, or outputs, whose values are its content.
pub(super) fn whole(body: &[u8]) -> Meaning {
    let mut meaning = Meaning::default();
    // Bytes of tensors may stand behind the JSON.
    let Some(said) = first_object_in(body) else {
        meaning.is_unread = true;
        return meaning;
    };
    meaning.error = error_in(&said);
    if meaning.error.is_none() {
        look_at_outputs(&said, &mut meaning.text);
    }
    meaning
}

fn look_at_outputs(said: &Map<String, Value>, text: &mut String) {
    if let Some(outputs) = said.get("outputs").and_then(Value::as_array) {
        for data in outputs.iter().filter_map(|output| output.get("data")) {
            add_values(data, text);
        }
    } else if let Some(generated) = said.get(TEXT) {
        // A text is never null; a number is where JSON has none for it.
        if !generated.is_null() {
            add_values(generated, text);
        }
    } else {
        let outputs = said
            .iter()
            .filter(|(name, _)| !NO_OUTPUTS.contains(&name.as_str()));
        outputs.for_each(|(_, value)| add_values(value, text));
    }
}

/// Texts as they are, one behind the other, and numbers as JSON has them.
fn add_values(value: &Value, text: &mut String) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| add_values(value, text)),
        Value::String(said) => text.push_str(said),
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use super::*;

    fn event(kind: &[u8], data: &[u8]) -> Meaning {
        Format::Oip.event(kind, data)
    }

    #[test]
    fn content_is_what_the_model_put_out() {
        for (text, said) in [
            (
                r#"{"model_name":"m","model_version":"1","text_output":"tok0 "}"#,
                "tok0 ",
            ),
            (
                r#"{"cum_log_probs":0.5,"model_name":"m","sequence_id":0,"text_output":["a","b"]}"#,
                "ab",
            ),
            (r#"{"model_name":"m","model_version":"1","text_output":""}"#, ""),
            (r#"{"cum_log_probs":0.5,"text_output":null}"#, ""),
            (r#"{"model_name":"m","model_version":"1"}"#, ""),
            (
                r#"{"model_name":"m","model_version":"1","y":[60.0,70.0]}"#,
                "60.070.0",
            ),
            (
                r#"{"model_name":"m","id":"7","outputs":[{"name":"y","datatype":"BYTES","data":["tok0 "]}]}"#,
                "tok0 ",
            ),
            (r#"{"model_name":"m","outputs":[]}"#, ""),
        ] {
            let meaning = event(b"", text.as_bytes());
            assert_eq!(
                (meaning.text.as_str(), meaning.is_unread),
                (said, false),
                "{text}"
            );
            assert_eq!(meaning.error, None, "{text}");
        }
    }

    #[test]
    fn an_error_is_one_wherever_it_stands() {
        for (kind, text, said) in [
            ("", r#"{"error":"out of words"}"#, "out of words"),
            ("error", r#"{"error":{"message":"out of words"}}"#, "out of words"),
            ("error", "it broke", "it broke"),
        ] {
            let meaning = event(kind.as_bytes(), text.as_bytes());
            assert_eq!(meaning.error.as_deref(), Some(said), "{text}");
        }
        for nothing in ["null", "\"\"", "{}"] {
            let meaning = event(b"", format!(r#"{{"y":1,"error":{nothing}}}"#).as_bytes());
            assert_eq!((meaning.error, meaning.text.as_str()), (None, "1"), "{nothing}");
        }
    }

    #[test]
    fn bytes_behind_the_json_are_no_part_of_it() {
        let meaning = whole(b"{\"outputs\":[{\"name\":\"y\"}]}\x00\xff\x01");
        assert_eq!((meaning.text.as_str(), meaning.is_unread), ("", false));
    }

    #[test]
    fn what_other_readers_take_for_json_is_content_too() {
        for (body, said) in [
            (&b"{\"text_output\":\"a\xf0\x9f\"}"[..], "a\u{fffd}"),
            (&br#"{"text_output":"a\ud83d"}"#[..], "a\u{fffd}"),
            (&br#"{"y":NaN}"#[..], "null"),
            (
                &br#"{"outputs":[{"name":"y","data":[1.5,-Infinity]}]}"#[..],
                "1.5null",
            ),
            (&b"{\"y\":NaN}\x00\xff\"NaN\x01"[..], "null"),
        ] {
            let meaning = whole(body);
            assert_eq!(
                (meaning.text.as_str(), meaning.is_unread),
                (said, false),
                "{}",
                body.escape_ascii()
            );
        }
    }

    #[test]
    fn what_is_no_answer_is_not_understood() {
        for text in ["", "{", "1", "[]", "hello"] {
            assert!(event(b"", text.as_bytes()).is_unread, "{text}");
        }
    }
}
