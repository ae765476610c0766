//! Where the boxes of a small graph stand: in layers from top to bottom, each edge pointing down.
//!
//! A vertex stands one layer below the lowest that it reads from; one that reads nothing, just above its first reader.
//! A long edge gets a bend in each layer that it crosses. Layers are ordered by the mean place of their neighbours, in
//! sweeps down and up, then moved sideways towards them without overlap (Sugiyama, Tagawa and Toda, 1981).

/// Between boxes of one layer, in pixels.
const GAP: f64 = 18.0;
/// How wide a bend is.
const BEND: f64 = 6.0;
const SWEEPS: usize = 8;

/// A graph with a place for everything.
#[derive(Debug)]
pub(super) struct Layout {
    /// The centre of each vertex across, in pixels from the left.
    pub(super) across: Vec<f64>,
    /// The layer of each vertex, from the top.
    pub(super) layer: Vec<usize>,
    /// The points of each edge, each across and layer.
    pub(super) routes: Vec<Vec<(f64, usize)>>,
    /// How wide it all is.
    pub(super) width: f64,
    /// How many layers there are.
    pub(super) n_layers: usize,
}

/// Lays out vertices of these widths.
pub(super) fn layout(widths: &[f64], edges: &[(usize, usize)]) -> Layout {
    let layer = layers(widths.len(), edges);
    let mut places = Places::new(widths, edges, &layer);
    for sweep in 0..SWEEPS {
        places.order(sweep % 2 == 0);
    }
    for sweep in 0..SWEEPS {
        places.shift(sweep % 2 == 0);
    }
    let width = places.settle();
    let routes = places.routes.iter().map(|route| {
        let point = |&at: &usize| (places.across[at], places.layer[at]);
        route.iter().map(point).collect()
    });
    Layout {
        routes: routes.collect(),
        across: places.across[..widths.len()].to_vec(),
        n_layers: places.rows.len(),
        layer,
        width,
    }
}

fn layers(n_vertices: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layer = vec![0; n_vertices];
    // A graph without cycles settles within as many rounds as it has vertices.
    for _ in 0..n_vertices {
        for &(from, to) in edges {
            if layer[to] <= layer[from] && layer[from] + 1 < n_vertices {
                layer[to] = layer[from] + 1;
            }
        }
    }
    for vertex in 0..n_vertices {
        let is_read = edges.iter().any(|&(_, to)| to == vertex);
        let readers = edges.iter().filter(|&&(from, _)| from == vertex);
        if let (false, Some(first)) = (is_read, readers.map(|&(_, to)| layer[to]).min()) {
            layer[vertex] = first.saturating_sub(1);
        }
    }
    layer
}

/// Vertices and bends in rows.
struct Places {
    widths: Vec<f64>,
    across: Vec<f64>,
    layer: Vec<usize>,
    rows: Vec<Vec<usize>>,
    routes: Vec<Vec<usize>>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
}

impl Places {
    fn new(widths: &[f64], edges: &[(usize, usize)], layer: &[usize]) -> Places {
        let (mut widths, mut layer) = (widths.to_vec(), layer.to_vec());
        let mut routes = Vec::new();
        for &(from, to) in edges {
            let mut route = vec![from];
            for crossed in layer[from] + 1..layer[to] {
                route.push(widths.len());
                widths.push(BEND);
                layer.push(crossed);
            }
            route.push(to);
            routes.push(route);
        }
        let mut rows = vec![Vec::new(); layer.iter().max().map_or(0, |last| last + 1)];
        let (mut above, mut below) = (vec![Vec::new(); layer.len()], vec![Vec::new(); layer.len()]);
        for (place, &at) in layer.iter().enumerate() {
            rows[at].push(place);
        }
        for pair in routes.iter().flat_map(|route| route.windows(2)) {
            below[pair[0]].push(pair[1]);
            above[pair[1]].push(pair[0]);
        }
        let mut places = Places {
            across: vec![0.0; layer.len()],
            widths,
            layer,
            rows,
            routes,
            above,
            below,
        };
        for row in 0..places.rows.len() {
            places.pack(row);
        }
        places
    }

    /// Puts a row side by side in its order, around 0.
    fn pack(&mut self, row: usize) {
        let wide = |&place: &usize| self.widths[place] + GAP;
        let mut left = -self.rows[row].iter().map(wide).sum::<f64>() / 2.0;
        for &place in &self.rows[row] {
            let width = self.widths[place] + GAP;
            self.across[place] = left + width / 2.0;
            left += width;
        }
    }

    /// Where a place's neighbours in the row before are in the mean; its own place if it has none.
    fn wish(&self, place: usize, is_down: bool) -> f64 {
        let near = match is_down {
            true => &self.above[place],
            false => &self.below[place],
        };
        match near.len() {
            0 => self.across[place],
            n => near.iter().map(|&near| self.across[near]).sum::<f64>() / n as f64,
        }
    }

    fn sweep(&self, is_down: bool) -> Vec<usize> {
        match is_down {
            true => (0..self.rows.len()).collect(),
            false => (0..self.rows.len()).rev().collect(),
        }
    }

    fn order(&mut self, is_down: bool) {
        for row in self.sweep(is_down) {
            let mut order = self.rows[row].clone();
            order.sort_by(|&a, &b| {
                let (a, b) = (self.wish(a, is_down), self.wish(b, is_down));
                a.total_cmp(&b)
            });
            self.rows[row] = order;
            self.pack(row);
        }
    }

    /// Moves each row towards its neighbours, keeping order and distance.
    fn shift(&mut self, is_down: bool) {
        for row in self.sweep(is_down) {
            let places = self.rows[row].clone();
            let wishes: Vec<f64> = places.iter().map(|&at| self.wish(at, is_down)).collect();
            let mut right = f64::NEG_INFINITY;
            for (&place, &wish) in places.iter().zip(&wishes) {
                let half = (self.widths[place] + GAP) / 2.0;
                self.across[place] = wish.max(right + half);
                right = self.across[place] + half;
            }
            let off = places.iter().zip(&wishes);
            let off = off.map(|(&at, wish)| self.across[at] - wish).sum::<f64>();
            let off = off / places.len().max(1) as f64;
            places.iter().for_each(|&at| self.across[at] -= off);
        }
    }

    /// Moves everything so that it begins at the left edge, and says how wide it is.
    fn settle(&mut self) -> f64 {
        let half = |at: usize| self.widths[at] / 2.0;
        let all = 0..self.across.len();
        let left = all.clone().map(|at| self.across[at] - half(at));
        let left = left.fold(f64::INFINITY, f64::min);
        let right = all.map(|at| self.across[at] + half(at));
        let right = right.fold(f64::NEG_INFINITY, f64::max);
        self.across.iter_mut().for_each(|across| *across -= left);
        (right - left).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(widths: &[f64], edges: &[(usize, usize)]) -> Layout {
        let found = layout(widths, edges);
        for (at, &(from, to)) in edges.iter().enumerate() {
            assert!(found.layer[from] < found.layer[to], "edge {at} points down");
            let route = &found.routes[at];
            assert_eq!(route.len(), found.layer[to] - found.layer[from] + 1);
        }
        for a in 0..widths.len() {
            let half = widths[a] / 2.0;
            assert!(
                found.across[a] - half >= -1e-9 && found.across[a] + half <= found.width + 1e-9
            );
            for (b, other) in widths.iter().enumerate().take(a) {
                let apart = (found.across[a] - found.across[b]).abs();
                let touch = half + other / 2.0;
                assert!(
                    found.layer[a] != found.layer[b] || apart >= touch,
                    "{a} and {b} overlap"
                );
            }
        }
        found
    }

    #[test]
    fn a_chain_stands_in_one_column() {
        let found = check(&[80.0, 120.0, 60.0], &[(0, 1), (1, 2)]);
        assert_eq!(found.layer, [0, 1, 2]);
        assert!(
            found
                .across
                .iter()
                .all(|across| (across - 60.0).abs() < 1e-6),
            "{found:?}"
        );
    }

    #[test]
    fn a_skip_connection_goes_around_what_it_skips() {
        let found = check(&[100.0; 4], &[(0, 1), (1, 2), (2, 3), (0, 3)]);
        let bend = found.routes[3][1].0;
        assert!((bend - found.across[1]).abs() >= 50.0, "{found:?}");
    }

    #[test]
    fn a_late_input_stands_just_above_its_reader() {
        let found = check(&[50.0; 4], &[(0, 1), (1, 2), (3, 2)]);
        assert_eq!(found.layer[3], 1);
    }

    #[test]
    fn many_random_graphs_are_laid_out_without_overlap() {
        let mut state = 1u64;
        let mut next = move |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..200 {
            let n = 2 + next(24);
            let widths: Vec<f64> = (0..n).map(|_| 30.0 + next(180) as f64).collect();
            let edges: Vec<(usize, usize)> = (0..n + next(n))
                .map(|_| (next(n), next(n)))
                .filter(|(from, to)| from < to)
                .collect();
            check(&widths, &edges);
        }
    }

    #[test]
    fn nothing_and_a_cycle_are_laid_out_too() {
        assert_eq!(layout(&[], &[]).n_layers, 0);
        layout(&[10.0; 3], &[(0, 1), (1, 2), (2, 0)]);
    }
}
