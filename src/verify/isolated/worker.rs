//! The worker's side: limits itself, verifies, answers.

use std::io::{Read, Write, stdin, stdout};
use std::path::Path;
use std::thread;

use super::wire::{self, Header, Models};
use crate::engine::ModelBytes;
use crate::verify::verify;

/// Does one verification that [`verify_isolated`](super::verify_isolated) asked for.
///
/// To be called by a program that was started as a [`Worker`](super::Worker), before anything else; nothing
/// else may write to its standard output.
///
/// # Errors
/// What kept it from answering; the caller sees that there is no answer.
pub fn serve() -> Result<(), String> {
    let (header, models) = receive(&mut stdin().lock())?;
    end_with_the_caller();
    answer(&header, &models, &mut stdout().lock())
}

/// Ends this process when the caller's end of its standard input closes.
///
/// The caller holds it open until it has its answer, so that it closes early only with the caller itself.
fn end_with_the_caller() {
    let watch = || {
        let mut rest = [0; 64];
        while stdin().read(&mut rest).is_ok_and(|length| length > 0) {}
        std::process::exit(2);
    };
    // Without memory for one more thread, only this courtesy is missing.
    let _ = thread::Builder::new().spawn(watch);
}

fn receive(input: &mut impl Read) -> Result<(Header, Models), String> {
    let header = wire::receive_header(input)?;
    if let Some(bytes) = header.memory {
        limit_memory(bytes)?;
    }
    let models = wire::receive_models(input, &header)?;
    Ok((header, models))
}

fn answer(header: &Header, models: &Models, output: &mut impl Write) -> Result<(), String> {
    let [original, rewritten] = [&models[0], &models[1]].map(|(bytes, directory)| ModelBytes {
        bytes,
        directory: directory.as_deref().map(non_empty),
    });
    let verification = verify(original, rewritten, &header.options);
    let reply = wire::reply(&verification)?;
    output
        .write_all(&reply)
        .and_then(|()| output.flush())
        .map_err(|error| error.to_string())
}

/// A file named without a directory lies in the current one.
fn non_empty(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    }
}

#[cfg(unix)]
fn limit_memory(bytes: u64) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let hard = getrlimit(Resource::As).maximum;
    let soft = hard.map_or(bytes, |hard| hard.min(bytes));
    let limit = Rlimit {
        current: Some(soft),
        maximum: hard,
    };
    setrlimit(Resource::As, limit)
        .map_err(|error| format!("its memory cannot be limited ({error})"))
}

#[cfg(not(unix))]
fn limit_memory(_: u64) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Tensor;
    use crate::testing::{ToBytes, model};
    use crate::verify::isolated::Source;
    use crate::verify::{Draw, Tolerance, VerifyOptions, data::Sample};

    fn serve_on(input: &mut impl Read, output: &mut impl Write) -> Result<(), String> {
        let (header, models) = receive(input)?;
        answer(&header, &models, output)
    }

    #[test]
    fn what_is_sent_is_what_is_verified_and_answered() {
        let bytes = model(|g| g.input("x", [2, 3]).sigmoid().output("y")).to_bytes();
        let mut options = VerifyOptions {
            samples: 2,
            seed: 7,
            ..VerifyOptions::default()
        };
        options.tolerance = Tolerance::Fixed {
            atol: Some(1e-6),
            rtol: None,
        };
        options.draws.insert(
            "x".to_owned(),
            Draw::Uniform {
                low: -1.0,
                high: 1.0,
            },
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let sources = [
            Source::Bytes(ModelBytes::new(&bytes)),
            Source::File(file.path()),
        ];
        let header = wire::header(sources, &options, None).unwrap();
        let mut output = Vec::new();
        serve_on(&mut [&header[..], &bytes].concat().as_slice(), &mut output).unwrap();
        let mut answered = wire::answer(&output).unwrap();
        let model = ModelBytes::new(&bytes);
        let direct = verify(model, model, &options);
        answered.timings = direct.timings;
        assert_eq!(answered, direct);
        assert_eq!(wire::answer(&output[..output.len() - 1]), None);
    }

    #[test]
    fn given_tensors_and_figures_that_are_not_finite_survive_the_way() {
        let bytes = model(|g| g.input("x", [2]).op("Log").output("y")).to_bytes();
        let value = Tensor::vector(vec![f32::NEG_INFINITY, 2.0]);
        let data = vec![Sample {
            origin: "data".into(),
            inputs: vec![(None, value)],
            outputs: vec![(None, Tensor::vector(vec![f32::NAN, 9.0]))],
            is_strict: false,
        }];
        let options = VerifyOptions {
            data,
            ..VerifyOptions::default()
        };
        let model = ModelBytes::new(&bytes);
        let header = wire::header([Source::Bytes(model); 2], &options, None).unwrap();
        let mut output = Vec::new();
        serve_on(
            &mut [&header[..], &bytes, &bytes].concat().as_slice(),
            &mut output,
        )
        .unwrap();
        let answered = wire::answer(&output).unwrap();
        let verdict = format!("{:?}", answered.verdict);
        assert!(verdict.contains("expected is 9e0"), "{verdict}");
    }

    #[test]
    fn a_message_that_is_cut_off_is_an_error() {
        let bytes = model(|g| g.input("x", [2]).relu().output("y")).to_bytes();
        let model = ModelBytes::new(&bytes);
        let options = VerifyOptions::default();
        let header = wire::header([Source::Bytes(model); 2], &options, None).unwrap();
        let whole = [&header[..], &bytes, &bytes].concat();
        for length in [0, 5, 8, header.len() - 1, header.len(), whole.len() - 1] {
            assert!(
                serve_on(&mut &whole[..length], &mut Vec::new()).is_err(),
                "{length}"
            );
        }
    }
}
