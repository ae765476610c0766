//! Where two runs of numbers differ most: per run, or per column of a matrix.
//!
//! Figures are those of `difference`, element by element; NaN is rare and looked for first, so that the rest is
//! plain comparisons of finite numbers.

use super::figures::difference;

/// Numbers that are compared in step.
const LANES: usize = 8;

/// What was found in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Largest finite magnitude of the reference.
    pub(super) scale: f64,
    /// Largest difference.
    pub(super) difference: f64,
    /// The first position of that difference.
    pub(super) position: usize,
}

/// The magnitude of a finite number, else 0.
fn magnitude(number: f64) -> f64 {
    let magnitude = number.abs();
    if magnitude < f64::INFINITY {
        magnitude
    } else {
        0.0
    }
}

fn larger(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}

/// Takes in `N` pairs, each in a lane of its own; whether none of their differences is NaN.
fn step<const N: usize>(
    truth: &[f64; N],
    values: &[f64; N],
    scales: &mut [f64; N],
    most: &mut [f64; N],
) -> bool {
    let mut n_nan = 0;
    for lane in 0..N {
        let difference = (truth[lane] - values[lane]).abs();
        n_nan += u64::from(difference.is_nan());
        scales[lane] = larger(scales[lane], magnitude(truth[lane]));
        most[lane] = larger(most[lane], difference);
    }
    n_nan == 0
}

/// A run in steps, the last one filled up.
fn steps(numbers: &[f64], filling: f64) -> (&[[f64; LANES]], [f64; LANES]) {
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let mut last = [filling; LANES];
    last[..rest.len()].copy_from_slice(rest);
    (chunks, last)
}

/// What a run of pairs shows; the position is told of a difference above `floor`.
pub(super) fn run(truth: &[f64], values: &[f64], floor: f64) -> Found {
    let (truth_steps, truth_last) = steps(truth, 0.0);
    let (value_steps, value_last) = steps(values, 0.0);
    let (mut scales, mut most) = ([0.0; LANES], [0.0; LANES]);
    let mut is_plain = step(&truth_last, &value_last, &mut scales, &mut most);
    for (truth, values) in truth_steps.iter().zip(value_steps) {
        is_plain &= step(truth, values, &mut scales, &mut most);
    }
    let mut differences = truth.iter().zip(values).map(|(&a, &b)| difference(a, b));
    let most = match is_plain {
        true => most.into_iter().fold(0.0, larger),
        false => differences.clone().fold(0.0, larger),
    };
    let position = (most > floor).then(|| differences.position(|difference| difference == most));
    Found {
        scale: scales.into_iter().fold(0.0, larger),
        difference: most,
        position: position.flatten().unwrap_or(0),
    }
}

/// The range of the finite numbers of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Survey {
    pub(super) n_finite: usize,
    pub(super) sum_squares: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Looks at numbers by themselves; squares are summed in interleaved partial sums.
pub(super) fn survey(numbers: &[f64]) -> Survey {
    let (mut low, mut high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    let (mut squares, mut n_finite) = ([0.0; LANES], [0u64; LANES]);
    let (steps, last) = steps(numbers, f64::NAN);
    steps.iter().chain([&last]).for_each(|step| {
        for lane in 0..LANES {
            let number = step[lane];
            let is_finite = number.abs() < f64::INFINITY;
            n_finite[lane] += u64::from(is_finite);
            let known = if is_finite { number } else { 0.0 };
            squares[lane] += known * known;
            let (least, most) = if is_finite {
                (number, number)
            } else {
                (f64::INFINITY, f64::NEG_INFINITY)
            };
            low[lane] = if least < low[lane] { least } else { low[lane] };
            high[lane] = larger(high[lane], most);
        }
    });
    Survey {
        n_finite: n_finite.iter().sum::<u64>() as usize,
        sum_squares: squares.iter().sum(),
        low: low.into_iter().fold(f64::INFINITY, f64::min),
        high: high.into_iter().fold(f64::NEG_INFINITY, f64::max),
    }
}

/// What each column of a row-major matrix of pairs shows.
pub(super) fn columns(truth: &[f64], values: &[f64], width: usize) -> Vec<Found> {
    let mut found = vec![Found::default(); width];
    let (mut scales, mut most) = (vec![0.0; width], vec![0.0; width]);
    let rows = truth.chunks(width.max(1)).zip(values.chunks(width.max(1)));
    for (row, (truth, values)) in rows.enumerate() {
        let mut n_larger = 0;
        let lanes = scales.iter_mut().zip(&most);
        for ((scale, most), (&truth, &value)) in lanes.zip(truth.iter().zip(values)) {
            let difference = (truth - value).abs();
            *scale = larger(*scale, magnitude(truth));
            n_larger += u64::from(difference > *most) | u64::from(difference.is_nan());
        }
        if n_larger == 0 {
            continue;
        }
        for (column, (&truth, &value)) in truth.iter().zip(values).enumerate() {
            let difference = difference(truth, value);
            if difference > most[column] {
                most[column] = difference;
                found[column].position = row * width + column;
            }
        }
    }
    for (found, (scale, difference)) in found.iter_mut().zip(scales.into_iter().zip(most)) {
        found.scale = scale;
        found.difference = difference;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// One element after the other.
    fn plain(pairs: impl Iterator<Item = (usize, (f64, f64))>) -> Found {
        let mut found = Found::default();
        for (position, (truth, value)) in pairs {
            if truth.is_finite() {
                found.scale = found.scale.max(truth.abs());
            }
            if difference(truth, value) > found.difference {
                found.difference = difference(truth, value);
                found.position = position;
            }
        }
        found
    }

    /// Numbers of few values, so that differences repeat, and now and then no number at all.
    fn number(random: &mut ChaCha8Rng, is_plain: bool) -> f64 {
        const ODD: [f64; 5] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -0.0];
        match random.random_range(0..12) {
            0 if !is_plain => ODD[random.random_range(0..ODD.len())],
            _ => f64::from(random.random_range(-3..=3)),
        }
    }

    #[test]
    fn a_survey_counts_finite_numbers_only() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let numbers: Vec<f64> = (-9..=4).map(f64::from).chain(odd).collect();
        let found = survey(&numbers);
        assert_eq!((found.n_finite, found.low, found.high), (14, -9.0, 4.0));
        assert_eq!(found.sum_squares, 285.0 + 30.0);
        assert_eq!(survey(&[]).n_finite, 0);
    }

    #[test]
    fn runs_and_columns_show_what_one_element_after_the_other_shows() {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        for case in 0..2000 {
            let width = random.random_range(1..20);
            let length = width * random.random_range(1..9);
            let mut numbers = || -> Vec<f64> {
                (0..length)
                    .map(|_| number(&mut random, case % 2 == 0))
                    .collect()
            };
            let (truth, values) = (numbers(), numbers());
            let pairs = truth.iter().copied().zip(values.iter().copied());
            let pairs = pairs.enumerate();
            assert_eq!(run(&truth, &values, 0.0), plain(pairs.clone()));
            for (column, found) in columns(&truth, &values, width).into_iter().enumerate() {
                let own = pairs.clone().filter(|(at, _)| at % width == column);
                assert_eq!(found, plain(own));
            }
        }
    }
}
