//! Names as a page may show them.

use crate::report::visible;

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
    fn what_cannot_be_seen_is_spelt_out() {}

    #[test]
    fn the_end_of_a_long_name_is_kept() {
        assert_eq!(tail("/layer1/conv", 6), "…/conv");
        assert_eq!(tail("short", 5), "short");
    }
}
