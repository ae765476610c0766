//! Names from a model as text in which every character can be seen.
//!
//! What would end a line, command a terminal or a CI log, reorder text or hide in it is spelt out.

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
}
