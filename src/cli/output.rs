//! What goes to the terminal: styled where one listens, plain elsewhere and under NO_COLOR.

use std::io::{self, Write as _};
use std::path::Path;

use bnfold::onnx::{Leftover, write_file};
use bnfold::report::visible;

/// Writes text to standard output; a reader that went away is no failure.
pub(super) fn say(text: &str) -> io::Result<()> {
    quiet_pipe(write!(anstream::stdout().lock(), "{text}"))
}

/// Writes text to standard error.
pub(super) fn tell(text: &str) -> io::Result<()> {
    quiet_pipe(write!(anstream::stderr().lock(), "{text}"))
}

/// Says a sentence on a line of its own; what it quotes of a model or a path cannot end that line or command the terminal.
pub(super) fn note(sentence: &str) -> io::Result<()> {
    tell(&format!("bnfold: {}\n", visible(sentence)))
}

/// Writes a report, whole or not at all.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    tell_leftovers(&write_file(path, text.as_bytes())?)?;
    Ok(())
}

/// Tells what earlier runs had left beside a file that was written.
pub(super) fn tell_leftovers(leftovers: &[Leftover]) -> io::Result<()> {
    leftovers.iter().try_for_each(|leftover| {
        let path = leftover.path.display();
        note(&match leftover.is_removed {
            true => format!("removed {path}, which a run that was ended had left"),
            false => {
                format!("{path} may be left of a run that was ended; remove it if none is at work")
            }
        })
    })
}

/// Says what went wrong.
pub(crate) fn fail(error: &anyhow::Error) {
    let _ = note(&sentence(error));
}

/// An error in one sentence, with what it rests on.
pub(super) fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Typed errors already name their source.
        if !sentence.contains(&cause) {
            sentence.push_str(if sentence.is_empty() { "" } else { ": " });
            sentence.push_str(&cause);
        }
    }
    sentence
}

/// What a panic says: a defect, where it is, and what to do.
pub(crate) fn report_bug(info: &std::panic::PanicHookInfo<'_>) {
    let place = info
        .location()
        .map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    let _ = note(&format!(
        "this is a defect of bnfold{place}; please report it with the model"
    ));
}

fn quiet_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
