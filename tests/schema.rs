//! The committed protobuf code is what `proto/onnx.proto` generates.

use std::path::Path;

/// Run with `BLESS=1` after a change of the schema: it rewrites `src/onnx/proto.rs`.
#[test]
fn committed_code_is_generated_from_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema =
        protox::compile(["onnx.proto"], [root.join("proto")]).expect("the schema compiles");
    let out = tempfile::tempdir().expect("a temporary directory");
    prost_build::Config::new()
        .out_dir(out.path())
        .compile_fds(schema)
        .expect("prost generates code");
    let generated = std::fs::read_to_string(out.path().join("onnx.rs")).expect("generated code");
    let committed = root.join("src/onnx/proto.rs");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&committed, &generated).expect("proto.rs is writable");
    }
    let committed = std::fs::read_to_string(committed).expect("proto.rs is there");
    assert!(
        committed == generated,
        "src/onnx/proto.rs is stale: run this test with BLESS=1"
    );
}
