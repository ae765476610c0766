//! Names from a model as one line that no terminal and no CI log takes for a command.

/// Control characters and marks of direction are shown as escapes.
pub(super) fn visible(text: &str) -> String {
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
    // Unicode 16, section 23.2: separators of lines and paragraphs, and embeddings, overrides and isolates of direction.
    let is_mark = matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || is_mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_hidden_is_shown() {
        assert_eq!(
            visible("a\r\n\u{1b}[0m\u{202e}é"),
            "a\\r\\n\\u{1b}[0m\\u{202e}é"
        );
    }
}
