//! Tables: one row group an entry, so that a search can hide it with all that unfolds below it.

use maud::{Markup, html};

use crate::report::text::count;

/// Tables of more entries begin folded.
pub(super) const LONG: usize = 50;

/// A table that begins folded if it has more entries than `most`.
pub(super) fn folding(
    n_entries: usize,
    most: usize,
    caption: &str,
    heads: &[&str],
    entries: &Markup,
) -> Markup {
    let table = table(caption, heads, entries);
    html! {
        @if n_entries > most {
            details.long { summary { (caption) ": " (count_entries(n_entries)) } (table) }
        } @else {
            (table)
        }
    }
}

/// A table that scrolls sideways where the screen is narrow.
pub(super) fn table(caption: &str, heads: &[&str], entries: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label=(caption) {
            table {
                caption.unseen { (caption) }
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                (entries)
            }
        }
    }
}

fn count_entries(n_entries: usize) -> String {
    match n_entries {
        1 => count(1, "entry"),
        n => format!("{n} entries"),
    }
}
