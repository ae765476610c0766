//! Pages without marks: paragraphs wrapped, examples indented.

/// Spaces in front of an example's lines.
const INDENT: &str = "    ";

/// The text of Markdown that has paragraphs, headings of the third level and fenced examples.
pub(super) fn plain(markdown: &str, width: usize) -> String {
    let mut text = String::new();
    let mut paragraph: Vec<&str> = Vec::new();
    let mut is_example = false;
    for line in markdown.lines().chain([""]) {
        if line.starts_with("```") {
            is_example = !is_example;
        } else if is_example {
            let indent = if line.is_empty() { "" } else { INDENT };
            text.push_str(&format!("{indent}{line}\n"));
        } else if !line.is_empty() {
            paragraph.push(line.trim_start_matches("### "));
        } else {
            let joined = paragraph.join(" ").replace('`', "");
            text.push_str(&textwrap::fill(&joined, width));
            text.push_str(if joined.is_empty() { "\n" } else { "\n\n" });
            paragraph.clear();
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_wrapped_and_examples_are_not() {
        let markdown = "One sentence.\nAnother, with `code`.\n\n### Head\n\n```text\na  →  b, however long the line\n\nc\n```\n\nEnd.\n";
        let expected = "One sentence.\nAnother, with\ncode.\n\nHead\n\n    a  →  b, however long the line\n\n    c\n\nEnd.\n";
        assert_eq!(plain(markdown, 14), expected);
    }
}
