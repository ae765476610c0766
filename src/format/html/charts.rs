//! Bars, distributions and errors as pictures.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use maud::{Markup, html};

use super::words::tail;
use crate::report::text::{count, number};
use crate::report::visible;
use crate::report::{Comparison, OutputFigures, Parameters, ValueFigures};

/// How long the longest bar is, in pixels.
const LONGEST: usize = 360;
/// How many values inside the models the chart of errors shows.
const INNER: usize = 80;
const ROW: usize = 20;
/// Where the axis of errors begins and ends.
const AXIS: (f64, f64) = (280.0, 720.0);
const LABEL: usize = 34;

/// Nodes and BatchNormalizations before and after, each pair to its own scale.
pub(super) fn bars(pairs: &[(&str, usize, usize)]) -> Markup {
    let told: Vec<String> = pairs
        .iter()
        .map(|(what, before, after)| format!("{what}: {before} before, {after} after"))
        .collect();
    let height = pairs.len() * 56;
    html! {
        svg.bars role="img" width="640" height=(height) viewBox=(format!("0 0 640 {height}"))
            aria-label=(told.join("; ")) {
            @for (at, &(what, before, after)) in pairs.iter().enumerate() {
                @let y = at * 56;
                @let longest = before.max(after).max(1);
                text x="160" y=(y + 28) text-anchor="end" { (what) }
                @for (row, class, number) in [(0, "before", before), (22, "after", after)] {
                    @let length = number * LONGEST / longest;
                    rect class=(class) x="172" y=(y + 4 + row) width=(length.max(usize::from(number > 0))) height="18" rx="2" {}
                    text x=(180 + length) y=(y + row + 17) { (number) " " (class) }
                }
            }
        }
    }
}

/// How many channels have their scale where.
pub(super) fn distribution(parameters: &Parameters) -> Markup {
    let most = parameters
        .histogram
        .iter()
        .copied()
        .max()
        .unwrap_or(0)
        .max(1);
    let mut bars = String::new();
    for (at, &channels) in parameters.histogram.iter().enumerate() {
        if channels > 0 {
            // What is there is seen, however little.
            let height = (channels * 60).div_ceil(most);
            let (x, y) = (at * 12 + 1, 64 - height);
            let _ = write!(bars, "M{x} 64V{y}h10V64z");
        }
    }
    let range = parameters.scale;
    let (least, greatest) = (number(range.min), number(range.max));
    let told = format!(
        "Scales of {} from {least} to {greatest}, at most {most} in one of {} equal parts",
        count(parameters.channels, "channel"),
        parameters.histogram.len()
    );
    let zero = (range.min < 0.0 && range.max > 0.0)
        .then(|| pixels(-range.min / (range.max - range.min) * 288.0));
    html! {
        figure.distribution {
            figcaption { strong { "Scale per channel" } ", scale/√(var + ε), " (count(parameters.channels, "channel")) }
            svg role="img" width="288" height="84" viewBox="0 0 288 84" aria-label=(told) {
                path.bar d=(bars) {}
                path.axis d="M0 64.5h288" {}
                @if let Some(zero) = zero {
                    path.zero d=(format!("M{zero} 0v68")) {}
                    @if (40..248).contains(&zero) { text x=(zero) y="80" text-anchor="middle" { "0" } }
                }
                text x="0" y="80" { (least) }
                text x="288" y="80" text-anchor="end" { (greatest) }
            }
        }
    }
}

fn pixels(length: f64) -> i64 {
    length.round() as i64
}

/// One line of the chart of errors: a name, and marks with their class and number.
struct Line<'c> {
    name: &'c str,
    marks: Vec<(&'static str, f64)>,
}

/// Errors on a logarithmic axis: of outputs and layers for both models, of the ends of folds for the rewrite alone.
pub(super) fn errors(comparison: &Comparison) -> Markup {
    let inner = inner(comparison);
    let n_inner = inner.len();
    let mut lines: Vec<Line<'_>> = comparison.outputs.iter().map(output).collect();
    lines.extend(largest(inner));
    if lines.is_empty() {
        return html! {};
    }
    let n_left_out = n_inner + comparison.outputs.len() - lines.len();
    let axis = Axis::of(&lines);
    let height = lines.len() * ROW + 40;
    html! {
        ul.legend {
            @for (class, what) in MARKS { li { (key(class)) (what) } }
        }
        @if n_left_out > 0 {
            p.muted { "Outputs, and the " (INNER) " inner values with the largest errors; " (n_left_out) " more are in the tables below." }
        }
        @if comparison.layer_errors.is_empty() {
            p.muted { "--layers shows the error of both models at every layer." }
        }
        div.scroll tabindex="0" role="group" aria-label="Errors, chart" {
            svg.errors role="img" width="760" height=(height) viewBox=(format!("0 0 760 {height}"))
                aria-label={ "Largest absolute errors of " (count(lines.len(), "value"))
                    " on a logarithmic axis; the tables below give the numbers" } {
                @for (x, tick) in axis.ticks() {
                    path.grid d=(format!("M{x} 0v{}", height - 36)) {}
                    text x=(x) y=(height - 20) text-anchor="middle" { (tick) }
                }
                text x="500" y=(height - 3) text-anchor="middle" { "largest absolute error" }
                @for (at, line) in lines.iter().enumerate() {
                    @let y = at * ROW + ROW / 2;
                    text x=(AXIS.0 - 24.0) y=(y + 4) text-anchor="end" { title { (visible(line.name)) } (tail(line.name, LABEL)) }
                    @for &(class, error) in &line.marks { (mark(class, axis.place(error), y, Some(error))) }
                }
            }
        }
    }
}

/// What each mark says.
const MARKS: [(&str, &str); 4] = [
    ("original", "original, against the float64 truth"),
    ("rewritten", "result, against the float64 truth"),
    ("allowed", "largest error allowed"),
    (
        "rewrite",
        "end of a fold: what the rewrite alone adds, both in float64",
    ),
];

fn output(output: &OutputFigures) -> Line<'_> {
    let marks = [
        ("allowed", Some(output.allowed)),
        ("original", output.original_error),
        ("rewritten", output.rewritten_error),
    ];
    let known = |(class, error): (_, Option<f64>)| Some((class, error?));
    Line {
        name: &output.name,
        marks: marks.into_iter().filter_map(known).collect(),
    }
}

/// Values inside the models, each on a line of its own; those that are outputs have theirs already.
fn inner(comparison: &Comparison) -> Vec<Line<'_>> {
    let outputs: HashSet<&str> = comparison.outputs.iter().map(|o| o.name.as_str()).collect();
    let mut ends: HashMap<&str, &ValueFigures> = comparison
        .values
        .iter()
        .map(|value| (value.name.as_str(), value))
        .collect();
    let layers = comparison.layer_errors.iter();
    let layers = layers.filter(|layer| !outputs.contains(layer.name.as_str()));
    let mut lines: Vec<Line<'_>> = layers
        .map(|layer| {
            let end = ends.remove(layer.name.as_str());
            let both = [
                ("original", layer.original_error),
                ("rewritten", layer.rewritten_error),
            ];
            let end = end.map(|end| ("rewrite", end.error));
            Line {
                name: &layer.name,
                marks: both.into_iter().chain(end).collect(),
            }
        })
        .collect();
    let rest = comparison.values.iter();
    let rest = rest.filter(|value| ends.contains_key(value.name.as_str()));
    lines.extend(rest.map(|value| Line {
        name: &value.name,
        marks: vec![("rewrite", value.error)],
    }));
    lines
}

/// The lines with the largest errors, in their order.
fn largest(lines: Vec<Line<'_>>) -> Vec<Line<'_>> {
    let error = |line: &Line<'_>| line.marks.iter().map(|mark| mark.1).fold(0.0, f64::max);
    let mut errors: Vec<f64> = lines.iter().map(error).collect();
    errors.sort_by(|a, b| b.total_cmp(a));
    let least = errors.get(INNER - 1).copied().unwrap_or(0.0);
    let shown = lines.into_iter().filter(|line| error(line) >= least);
    shown.take(INNER).collect()
}

fn key(class: &'static str) -> Markup {
    html! { svg.errors aria-hidden="true" width="16" height="14" viewBox="0 0 16 14" { (mark(class, 8, 7, None)) } }
}

/// A mark that its form tells apart as well as its colour.
fn mark(class: &'static str, x: i64, y: usize, error: Option<f64>) -> Markup {
    let y = y as i64;
    let path = match class {
        "allowed" => format!("M{x} {}v14", y - 7),
        "rewrite" => format!("M{x} {}l5 5l-5 5l-5-5z", y - 5),
        _ => format!("M{} {y}a5 5 0 1 0 10 0a5 5 0 1 0-10 0", x - 5),
    };
    html! { path class=(class) d=(path) { @if let Some(error) = error { title { (number(error)) } } } }
}

/// Decades from the least to the greatest error that has a logarithm; 0 stands before them, infinity behind.
struct Axis {
    from: i32,
    to: i32,
}

impl Axis {
    fn of(lines: &[Line<'_>]) -> Axis {
        let marks = lines.iter().flat_map(|line| &line.marks);
        let logarithms: Vec<f64> = marks
            .filter(|(_, error)| *error > 0.0 && error.is_finite())
            .map(|(_, error)| error.log10())
            .collect();
        let least = logarithms.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match logarithms.is_empty() {
            true => Axis { from: -8, to: 0 },
            false => {
                let from = least.floor() as i32;
                Axis {
                    from,
                    to: (greatest.ceil() as i32).max(from + 1),
                }
            }
        }
    }

    fn place(&self, error: f64) -> i64 {
        let share = match error {
            zero if zero <= 0.0 => return pixels(AXIS.0),
            finite if finite.is_finite() => {
                (finite.log10() - f64::from(self.from)) / f64::from(self.to - self.from)
            }
            _ => return pixels(AXIS.1 + 24.0),
        };
        pixels(AXIS.0 + 30.0 + share * (AXIS.1 - AXIS.0 - 30.0))
    }

    /// 0 and some of the decades.
    fn ticks(&self) -> Vec<(i64, String)> {
        let step = ((self.to - self.from) / 6 + 1) as usize;
        let decades = (self.from..=self.to).step_by(step);
        let ticks = decades.map(|decade| (self.place(10f64.powi(decade)), format!("1e{decade}")));
        std::iter::once((self.place(0.0), "0".to_owned()))
            .chain(ticks)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(errors: &[f64]) -> Axis {
        let marks = errors.iter().map(|&error| ("rewrite", error)).collect();
        Axis::of(&[Line { name: "v", marks }])
    }

    #[test]
    fn larger_errors_stand_further_right_and_none_leaves_the_axis() {
        let found = axis(&[3e-7, 2e-5, 0.0, f64::INFINITY, f64::NAN]);
        assert_eq!((found.from, found.to), (-7, -4));
        let places = [0.0, 3e-7, 1e-6, 2e-5, f64::INFINITY].map(|error| found.place(error));
        assert!(
            places.is_sorted() && places[0] >= 280 && places[4] <= 760,
            "{places:?}"
        );
        assert_eq!(found.place(f64::NAN), found.place(f64::INFINITY));
    }

    #[test]
    fn an_axis_without_errors_has_ticks() {
        assert_eq!(axis(&[0.0]).ticks().len(), 6);
        let wide = axis(&[1e-300, 1e300]).ticks();
        assert!(wide.len() <= 9, "{wide:?}");
    }
}
