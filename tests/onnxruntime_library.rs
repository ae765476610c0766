//! What is said where ONNX Runtime cannot be had, and where its library is looked for.

use std::path::Path;
use std::process::Command;

fn fixture() -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    fixtures.join("tab_mlp.onnx").to_string_lossy().into_owned()
}

/// Both subcommands that verify end with this sentence, before anything is written.
fn refuses_with(sentence: &str, flags: &[&str], variables: &[(&str, &str)]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let out = directory.path().join("out.onnx");
    let (model, out_name) = (fixture(), out.to_string_lossy());
    for arguments in [
        vec![&*model, "-o", &out_name],
        vec!["verify", &model, &model],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bnfold"));
        command.args([&arguments, flags].concat());
        command.envs(variables.iter().copied());
        let output = command.output().expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(sentence), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!out.exists(), "{arguments:?}");
    }
}

#[test]
fn the_built_in_engine_has_no_batch_normalization_of_another_kind() {
    let flags = ["--engine", "tract", "--engine-batch-norm"];
    refuses_with(
        "--engine-batch-norm needs --engine onnxruntime",
        &flags,
        &[],
    );
}

#[cfg(not(feature = "onnxruntime"))]
#[test]
fn a_build_without_it_says_which_build_has_it() {
    let sentence = "this build of bnfold has no ONNX Runtime; \
                    make one with `cargo build --release --features onnxruntime`";
    refuses_with(sentence, &["--engine", "onnxruntime"], &[]);
}

#[cfg(feature = "onnxruntime")]
mod with_it {
    use std::io::Write as _;
    use std::path::Path;
    use std::process::Command;

    use super::{fixture, refuses_with};

    const MISSING: &str = "bnfold-no-such-library/libonnxruntime.so";

    #[test]
    fn a_named_library_that_is_not_there_is_said() {
        let sentence = format!(
            "{MISSING} cannot be used as the library of ONNX Runtime (there is no such file); \
             set ORT_DYLIB_PATH to another one"
        );
        let flags = ["--engine", "onnxruntime"];
        refuses_with(&sentence, &flags, &[("ORT_DYLIB_PATH", MISSING)]);
    }

    /// What `bnfold verify` says with these variables and no others.
    fn said_with(variables: &[(&str, &Path)]) -> (Option<i32>, String) {
        let model = fixture();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bnfold"));
        command.args(["verify", &model, &model, "--engine", "onnxruntime"]);
        command.env_clear().envs(variables.iter().copied());
        let output = command.output().expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_newest_library_of_the_first_place_is_taken() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let place = |name: &str| directory.path().join(name);
        let package = "lib/python3.11/site-packages/onnxruntime/capi";
        let put = |folder: &str, names: &[&str]| {
            std::fs::create_dir_all(place(folder)).expect("a folder");
            for name in names {
                std::fs::write(place(folder).join(name), "no library").expect("a file");
            }
        };
        put(
            &format!("environment/{package}"),
            &["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.10.0"],
        );
        put(
            &format!("environment/{package}"),
            &[
                "libonnxruntime_providers_shared.so",
                "libonnxruntime.so.txt",
            ],
        );
        put(&format!("python/{package}"), &["libonnxruntime.so.1.20.0"]);
        put("libraries", &["libonnxruntime.so"]);
        put("python/bin", &[]);
        let (environment, bin) = (place("environment"), place("python/bin"));
        let libraries = place("libraries");
        let variables: [(&str, &Path); 3] = [
            ("VIRTUAL_ENV", &environment),
            ("PATH", &bin),
            ("LD_LIBRARY_PATH", &libraries),
        ];
        let expected = [
            format!("environment/{package}/libonnxruntime.so.1.10.0"),
            format!("python/{package}/libonnxruntime.so.1.20.0"),
            "libraries/libonnxruntime.so".to_owned(),
        ];
        for (at, expected) in expected.iter().enumerate() {
            let (code, said) = said_with(&variables[at..]);
            let sentence = format!("{} cannot be used", place(expected).display());
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains(&sentence), "{sentence}: {said}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn without_a_library_the_sentence_says_what_to_install() {
        let (code, said) = said_with(&[]);
        if code == Some(0) {
            let told = writeln!(
                std::io::stderr(),
                "SKIPPED: the system has ONNX Runtime itself"
            );
            return told.expect("standard error takes it");
        }
        let sentence = "no ONNX Runtime library is found; `pip install onnxruntime`, \
                        or set ORT_DYLIB_PATH to the path of its libonnxruntime.";
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(sentence), "{said}");
    }

    #[test]
    fn a_file_that_is_no_library_is_said() {
        let model = fixture();
        let (code, said) = said_with(&[("ORT_DYLIB_PATH", Path::new(&model))]);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("tab_mlp.onnx cannot be used as the library"),
            "{said}"
        );
    }
}
