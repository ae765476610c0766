//! A part of a graph as a picture.

use maud::{Markup, html};

use super::layout::{Layout, layout};
use super::words::tail;
use crate::report::text::count;
use crate::report::visible;
use crate::report::{Excerpt, Role, Vertex};

/// How many characters of a name a box shows.
const SHOWN: usize = 26;
/// How wide a character is, and what a box adds beside and above its text.
const CHARACTER: f64 = 6.7;
const PADDING: f64 = 18.0;
const HEIGHT: f64 = 38.0;
/// Between layers, and around it all.
const GAP: f64 = 30.0;
const MARGIN: f64 = 14.0;
/// How many steps the text beside a picture tells.
const TOLD: usize = 12;

/// The picture with its caption.
pub(super) fn figure(excerpt: &Excerpt, when: &str) -> Markup {
    let is_node = |vertex: &&Vertex| !vertex.op_type.is_empty();
    let n_nodes = excerpt.vertices.iter().filter(is_node).count();
    let widths: Vec<f64> = excerpt.vertices.iter().map(width).collect();
    let found = layout(&widths, &excerpt.edges);
    let size = (
        pixels(found.width + 2.0 * MARGIN),
        pixels(down(found.n_layers) - GAP + MARGIN),
    );
    html! {
        figure {
            figcaption {
                strong { (when) } ": " (count(n_nodes, "node"))
                @if excerpt.left_out > 0 { " (" (excerpt.left_out) " more not shown)" }
            }
            div.scroll tabindex="0" role="group" aria-label={ (when) ", picture" } {
                svg.graph role="img" width=(size.0) height=(size.1)
                    viewBox=(format!("0 0 {} {}", size.0, size.1)) aria-label=(told(excerpt, when)) {
                    @for route in &found.routes { path.edge d=(curve(route)) {} }
                    @for (at, vertex) in excerpt.vertices.iter().enumerate() {
                        (node(vertex, &found, at, widths[at]))
                    }
                }
            }
        }
    }
}

/// The head of every edge of a page.
pub(super) fn arrow() -> Markup {
    html! {
        svg width="0" height="0" aria-hidden="true" focusable="false" {
            marker #arrow viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" {
                path d="M0 0l8 4l-8 4z" {}
            }
        }
    }
}

/// The top of a layer.
fn down(layer: usize) -> f64 {
    MARGIN + layer as f64 * (HEIGHT + GAP)
}

fn pixels(length: f64) -> i64 {
    length.round() as i64
}

fn lines(vertex: &Vertex) -> [String; 2] {
    match vertex.role {
        Role::Input => ["input".to_owned(), tail(&vertex.name, SHOWN)],
        Role::Output => ["output".to_owned(), tail(&vertex.name, SHOWN)],
        _ => {
            // Exporters end names with the operator, which the first line says.
            let suffix = format!("/{}", vertex.op_type);
            let name = vertex.name.strip_suffix(&suffix).unwrap_or(&vertex.name);
            [tail(&vertex.op_type, SHOWN), tail(name, SHOWN)]
        }
    }
}

fn width(vertex: &Vertex) -> f64 {
    let longest = lines(vertex).map(|line| line.chars().count());
    longest.into_iter().max().unwrap_or(0) as f64 * CHARACTER + PADDING
}

fn node(vertex: &Vertex, found: &Layout, at: usize, width: f64) -> Markup {
    let (x, y) = (found.across[at] + MARGIN, down(found.layer[at]));
    let class = match vertex.role {
        Role::Subject => "subject",
        Role::Site => "site",
        Role::Passed => "passed",
        Role::Near => "near",
        Role::Input | Role::Output => "border",
    };
    let [first, second] = lines(vertex);
    let middle = if second.is_empty() { 23.0 } else { 16.0 };
    html! {
        g class=(class) {
            title { (visible(&vertex.op_type)) " " (visible(&vertex.name)) }
            @if vertex.reads_outside { path.cut d=(format!("M{} {}v-12", pixels(x), pixels(y))) {} }
            @if vertex.read_outside { path.cut d=(format!("M{} {}v12", pixels(x), pixels(y + HEIGHT))) {} }
            rect x=(pixels(x - width / 2.0)) y=(pixels(y)) width=(pixels(width)) height=(pixels(HEIGHT)) rx="6" {}
            text.op x=(pixels(x)) y=(pixels(y + middle)) { (first) }
            @if !second.is_empty() { text x=(pixels(x)) y=(pixels(y + 30.0)) { (second) } }
        }
    }
}

/// A line through the points of an edge, upright where it leaves and enters boxes.
fn curve(route: &[(f64, usize)]) -> String {
    let mut path = String::new();
    for (at, &(across, layer)) in route.iter().enumerate() {
        let (x, top) = (pixels(across + MARGIN), down(layer));
        let bottom = pixels(top + HEIGHT);
        match at {
            0 => path.push_str(&format!("M{x} {bottom}")),
            _ => {
                let (before, end) = (pixels(route[at - 1].0 + MARGIN), pixels(top));
                let middle = pixels(top - GAP / 2.0);
                path.push_str(&format!("C{before} {middle} {x} {middle} {x} {end}"));
                if at + 1 < route.len() {
                    path.push_str(&format!("V{bottom}"));
                }
            }
        }
    }
    path
}

/// The steps that matter, in words.
fn told(excerpt: &Excerpt, when: &str) -> String {
    let matters = |at: usize| {
        !matches!(
            excerpt.vertices[at].role,
            Role::Near | Role::Input | Role::Output
        )
    };
    let steps = excerpt
        .edges
        .iter()
        .filter(|&&(from, to)| matters(from) || matters(to));
    let name = |at: usize| {
        let vertex = &excerpt.vertices[at];
        visible(&vertex.name)
    };
    let told: Vec<String> = steps
        .take(TOLD)
        .map(|&(from, to)| format!("{} to {}", name(from), name(to)))
        .collect();
    match told.is_empty() {
        true => format!("{when}, the node stands alone"),
        false => format!("{when}, values go from {}", told.join("; ")),
    }
}
