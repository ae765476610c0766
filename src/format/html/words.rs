//! Names as a page may show them.

/// A text in which every character can be seen: what would reorder, hide or end text is spelt out.
pub(super) fn visible(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                seen.extend(character.escape_unicode());
            }
            control if control.is_control() => seen.extend(control.escape_default()),
            other => seen.push(other),
        }
    }
    seen
}

/// The end of a text, which tells exporters' names apart, in at most so many characters.
pub(super) fn tail(text: &str, most: usize) -> String {
    let text = visible(text);
    match text.chars().count().checked_sub(most) {
        Some(more) if more > 0 => {
            let kept: String = text.chars().skip(more + 1).collect();
            format!("…{kept}")
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_spelt_out() {
        assert_eq!(visible("a\u{202e}b\u{0}\n<"), "a\\u{202e}b\\u{0}\\n<");
        assert_eq!(visible("Größe/层"), "Größe/层");
    }

    #[test]
    fn the_end_of_a_long_name_is_kept() {
        assert_eq!(tail("/layer1/conv", 6), "…/conv");
        assert_eq!(tail("short", 5), "short");
    }
}
