//! A server's words of why an answer failed.

use serde_json::Value;

/// So much of a server's words is kept.
const MOST_WORDS: usize = 300;

/// What an error object says: its message, or all of it.
pub(super) fn words_of(error: &Value) -> String {
    let message = error.get("message").and_then(Value::as_str);
    let words = message.or_else(|| error.as_str());
    words.map_or_else(|| shortened(&error.to_string()), shortened)
}

/// The beginning of what it says.
pub(super) fn shortened(words: &str) -> String {
    words.chars().take(MOST_WORDS).collect()
}
