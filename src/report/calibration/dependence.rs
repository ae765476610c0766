//! How far answers move with the batch, for people.

use std::fmt::Write as _;

use crate::calibrate::{Dependence, OutputDependence};
use crate::report::text::{DOUBTFUL, count};

/// How far outputs move with the batch size, for people.
pub fn render_dependence(dependence: &Dependence, training: &[String]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_dependence(&mut text, dependence, training);
    text
}

fn write_dependence(
    text: &mut String,
    dependence: &Dependence,
    training: &[String],
) -> std::fmt::Result {
    let samples = dependence.samples;
    match training.is_empty() {
        true => writeln!(text, "  no BatchNormalization is in training mode")?,
        false => writeln!(
            text,
            "  {DOUBTFUL}in training mode{DOUBTFUL:#} {}: {}",
            count(training.len(), "BatchNormalization"),
            training.join(", ")
        )?,
    }
    writeln!(
        text,
        "  the same {samples} samples in smaller batches, against one batch of {samples}"
    )?;
    dependence
        .outputs
        .iter()
        .try_for_each(|output| shifts(text, output))
}

fn shifts(text: &mut String, output: &OutputDependence) -> std::fmt::Result {
    writeln!(
        text,
        "    {} {:?}, root mean square {:.1e}",
        output.name, output.shape, output.rms
    )?;
    let Some(shifts) = &output.shifts else {
        return writeln!(
            text,
            "      it has no batch axis, so there is nothing to compare by sample"
        );
    };
    for shift in shifts {
        writeln!(
            text,
            "      batches of {:<4} {}differ by {:.1e}, {:.1e} of the root mean square",
            shift.batch,
            match shift.samples == output.shape.first().copied().unwrap_or(0) {
                true => String::new(),
                false => format!("({} samples) ", shift.samples),
            },
            shift.max_abs,
            shift.relative
        )?;
    }
    Ok(())
}
