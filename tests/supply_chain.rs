//! Every dependency says that it compiles with the Rust version that this crate states.

use std::process::Command;

use serde_json::Value;

/// The packages that the lock file chooses for this platform, every feature on.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--locked",
            "--all-features",
            "--format-version=1",
        ])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {said}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let used: Vec<&Value> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("a resolution")
        .iter()
        .map(|node| &node["id"])
        .collect();
    let all = metadata["packages"].as_array().expect("packages").iter();
    all.filter(|package| used.contains(&&package["id"]))
        .cloned()
        .collect()
}

fn version(text: &str) -> Vec<u32> {
    let parts = text.split('.').map(|part| part.parse().expect("a number"));
    let mut parts: Vec<u32> = parts.collect();
    parts.resize(3, 0);
    parts
}

/// Packages of the feature `onnxruntime`, which asks for a newer Rust.
const NEWER: [&str; 2] = ["ort", "ort-sys"];

#[test]
fn every_dependency_compiles_with_the_rust_version_that_is_stated() {
    let stated = version(env!("CARGO_PKG_RUST_VERSION"));
    let packages = packages();
    assert!(packages.len() > 100, "{} packages", packages.len());
    let is_newer = |package: &&Value| {
        let wanted = package["rust_version"].as_str();
        wanted.is_some_and(|wanted| version(wanted) > stated)
    };
    let name = |package: &Value| package["name"].as_str().unwrap_or_default().to_owned();
    let newer: Vec<String> = packages.iter().filter(is_newer).map(name).collect();
    assert_eq!(newer, NEWER);
}
