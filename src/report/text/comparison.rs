//! How close both models are, output by output.

use std::fmt::Write as _;

use super::{DIM, DOUBTFUL, Detail, count};
use crate::report::{Comparison, OutputFigures, Verification};

pub(super) fn comparison(
    text: &mut String,
    verification: &Verification,
    detail: Detail,
) -> std::fmt::Result {
    let (Verification::Equivalent(comparison)
    | Verification::Different(comparison)
    | Verification::Unknown(comparison)) = verification
    else {
        return Ok(());
    };
    for output in &comparison.outputs {
        closeness(text, output)?;
        if detail == Detail::Full {
            figures(text, output)?;
        }
    }
    if !comparison.outputs.is_empty() {
        grounds(text, comparison)?;
    }
    for cut in &comparison.left_out {
        writeln!(text, "  {DOUBTFUL}compared around{DOUBTFUL:#} {cut}")?;
    }
    if !comparison.unreached.is_empty() {
        writeln!(
            text,
            "  {DOUBTFUL}not compared{DOUBTFUL:#} {}",
            comparison.unreached.join(", ")
        )?;
    }
    if !comparison.forced.is_empty() {
        writeln!(
            text,
            "  {DOUBTFUL}compared in nested graphs that no sample enters{DOUBTFUL:#} {}",
            comparison.forced.join(", ")
        )?;
    }
    for line in &comparison.layers {
        writeln!(text, "  {line}")?;
    }
    for note in &comparison.notes {
        writeln!(text, "  note: {note}")?;
    }
    if detail == Detail::Full {
        for note in &comparison.details {
            writeln!(text, "    {DIM}{note}{DIM:#}")?;
        }
    }
    Ok(())
}

fn closeness(text: &mut String, output: &OutputFigures) -> std::fmt::Result {
    let (name, element, shape) = (&output.name, &output.element, &output.shape);
    let Some(difference) = output.difference else {
        let how = if output.agrees { "equal" } else { "not equal" };
        return writeln!(text, "  {name} {element} {shape:?}: {how}");
    };
    let number =
        |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.1e}"));
    writeln!(
        text,
        "  {name} {element} {shape:?}: error of the original {}, of the result {}; they differ by {difference:.1e}, allowed {:.1e}",
        number(output.original_error),
        number(output.rewritten_error),
        output.allowed
    )?;
    if output.argmax_changes > 0 {
        let changes = output.argmax_changes;
        let last = output.shape.last().copied().unwrap_or(1).max(1);
        writeln!(
            text,
            "    {DOUBTFUL}another element is the largest{DOUBTFUL:#} in {changes} of {}",
            count(output.elements / last, "row")
        )?;
    }
    Ok(())
}

/// All distances of an output, a line each.
fn figures(text: &mut String, output: &OutputFigures) -> std::fmt::Result {
    let set = &output.figures;
    for (what, figures) in [
        ("original against float64", set.original),
        ("result against float64", set.rewritten),
        ("result in float64 against it", set.rewrite),
        ("result against original", set.difference),
    ] {
        let Some(figures) = figures else { continue };
        writeln!(
            text,
            "    {DIM}{what:<28} max abs {:.1e}, max rel {:.1e}, RMS {:.1e}, {:.1e} ULP, cosine 1 − {:.1e}{DIM:#}",
            figures.max_abs,
            figures.max_rel,
            figures.rms,
            figures.max_ulp,
            1.0 - figures.cosine
        )?;
    }
    Ok(())
}

fn grounds(text: &mut String, comparison: &Comparison) -> std::fmt::Result {
    writeln!(
        text,
        "    {DIM}{}, seed {}, {} compared inside; {}; {}{DIM:#}",
        count(comparison.samples, "sample"),
        comparison.seed,
        count(comparison.values_compared, "value"),
        comparison.tolerance,
        comparison.engine
    )
}
