//! `docs/codes.md` and the README's tables are made from the pages of `bnfold explain`.

use std::path::Path;

use bnfold::explain::{document, findings, refusals, table};

/// Compares a file with what it should hold; rewrites it under `BLESS=1`.
fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, expected).expect("the file is writable");
    }
    let found = std::fs::read_to_string(&path).expect("the file");
    assert!(
        found == expected,
        "{name} is stale: run `BLESS=1 cargo test --test codes`"
    );
}

#[test]
fn the_document_holds_every_page() {
    check("docs/codes.md", &document());
}

#[test]
fn the_readme_lists_every_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let mut readme = std::fs::read_to_string(path).expect("the README");
    for (mark, table) in [
        ("codes", table(refusals(), ["kind", "reason"])),
        ("findings", table(findings(), ["severity", "meaning"])),
    ] {
        let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
        let from = readme.find(&begin).expect("the mark") + begin.len();
        let to = readme.find(&end).expect("the closing mark");
        readme.replace_range(from..to, &table);
    }
    check("README.md", &readme);
}
