//! Names from a model as text in which every character can be seen.
//!
//! What would end a line, command a terminal or a CI log, reorder text or hide in it is spelt out.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The text with control characters, marks of direction and invisible characters as escapes.
pub fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        match is_hidden(character) {
            true => visible.extend(character.escape_default()),
            false => visible.push(character),
        }
    }
    visible
}

/// The same value with every text in it visible, so that no name is forgotten where it is printed.
///
/// A value that does not read back from JSON stays as it is.
pub(super) fn shown<T: Clone + Serialize + DeserializeOwned>(value: &T) -> T {
    let shown = serde_json::to_value(value).map(visible_in);
    let read = shown.and_then(serde_json::from_value);
    read.unwrap_or_else(|_| value.clone())
}

fn visible_in(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(visible(&text)),
        Value::Array(items) => items.into_iter().map(visible_in).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, visible_in(value)))
            .collect(),
        other => other,
    }
}

fn is_hidden(character: char) -> bool {
    // Unicode 16, section 23.2: joiners, separators, and embeddings, overrides and isolates of direction.
    let is_mark = matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    character.is_control() || is_mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_hidden_is_shown() {
        assert_eq!(
            visible("a\r\n\u{1b}[0m\u{202e}é\u{200b}"),
            "a\\r\\n\\u{1b}[0m\\u{202e}é\\u{200b}"
        );
    }

    #[test]
    fn every_text_of_a_value_is_shown_and_the_rest_is_the_same() {
        let value = serde_json::json!({"name": "a\n", "of": ["\u{1b}", 1.5, null, true]});
        let expected = serde_json::json!({"name": "a\\n", "of": ["\\u{1b}", 1.5, null, true]});
        assert_eq!(shown(&value), expected);
    }
}
