//! Files stay short enough to be read at once.

use std::fs;
use std::path::Path;

/// Lines of a source file at most.
const LONGEST: usize = 400;

/// Made by prost from the standard's own file.
const GENERATED: &str = "src/onnx/proto.rs";

fn check(directory: &Path, too_long: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            check(&path, too_long);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with(GENERATED)
        {
            let lines = fs::read_to_string(&path).expect("a text").lines().count();
            if lines > LONGEST {
                too_long.push(format!("{} has {lines} lines", path.display()));
            }
        }
    }
}

#[test]
fn no_source_file_is_too_long() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut too_long = Vec::new();
    check(&root.join("src"), &mut too_long);
    assert!(too_long.is_empty(), "{too_long:#?}");
}
