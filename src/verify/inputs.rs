//! Seeded inputs, the same on every machine.
//!
//! Floating-point inputs are standard normals rounded once to their type, by Box and Muller's formula
//! on a portable logarithm and cosine; integers are uniform in a small range, booleans fair coins.
//! Every (seed, sample, input name) has a stream of its own, so that inputs may come and go.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::engine::{ElementType, Tensor};

/// The stream of one input in one sample.
fn stream(seed: u64, sample: usize, name: &str) -> ChaCha8Rng {
    // FNV-1a: the name's bytes, not the platform's hasher, decide the stream.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(sample as u64).to_le_bytes());
    key[16..24].copy_from_slice(&hash.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

fn normals(random: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    let mut numbers = Vec::with_capacity(count + 1);
    while numbers.len() < count {
        // In (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - random.random::<f64>())).sqrt();
        let angle = std::f64::consts::TAU * random.random::<f64>();
        numbers.push(radius * libm::cos(angle));
        numbers.push(radius * libm::sin(angle));
    }
    numbers.truncate(count);
    numbers
}

/// A value for an input; integers lie in `range`, both ends included.
///
/// `None` for strings, which nobody can guess.
pub(super) fn draw(
    name: &str,
    element: ElementType,
    shape: &[usize],
    range: (i64, i64),
    (seed, sample): (u64, usize),
) -> Option<Tensor> {
    let count = shape
        .iter()
        .try_fold(1usize, |product, &extent| product.checked_mul(extent))?;
    let mut random = stream(seed, sample, name);
    let shape = shape.to_vec();
    if element.is_float() {
        let numbers = normals(&mut random, count);
        let tensor = Tensor::new(shape, numbers).ok()?;
        return Some(tensor.rounded_to(element));
    }
    let (low, high) = range;
    let mut integers = || -> Vec<i64> {
        (0..count)
            .map(|_| random.random_range(low..=high.max(low)))
            .collect()
    };
    macro_rules! as_type {
        ($type:ty) => {{
            let list = integers().into_iter().map(<$type>::try_from);
            Tensor::new(shape, list.collect::<Result<Vec<$type>, _>>().ok()?).ok()
        }};
    }
    match element {
        ElementType::Bool => {
            Tensor::new(shape, (0..count).map(|_| random.random::<bool>()).collect()).ok()
        }
        ElementType::Int8 => as_type!(i8),
        ElementType::Int16 => as_type!(i16),
        ElementType::Int32 => as_type!(i32),
        ElementType::Int64 => as_type!(i64),
        ElementType::UInt8 => as_type!(u8),
        ElementType::UInt16 => as_type!(u16),
        ElementType::UInt32 => as_type!(u32),
        ElementType::UInt64 => as_type!(u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_reproducible_and_depend_on_seed_sample_and_name() {
        let one = |name, seed, sample| {
            draw(name, ElementType::Float64, &[4], (0, 1), (seed, sample)).unwrap()
        };
        assert_eq!(one("x", 0, 0), one("x", 0, 0));
        assert_ne!(one("x", 0, 0), one("x", 1, 0));
        assert_ne!(one("x", 0, 0), one("x", 0, 1));
        assert_ne!(one("x", 0, 0), one("y", 0, 0));
    }

    #[test]
    fn the_first_draw_is_pinned_for_every_machine() {
        let tensor = draw("x", ElementType::Float32, &[3], (0, 1), (0, 0)).unwrap();
        let bits: Vec<u32> = tensor
            .elements::<f32>()
            .unwrap()
            .iter()
            .map(|x| x.to_bits())
            .collect();
        insta::assert_debug_snapshot!(bits, @r"
        [
            3176622455,
            1056536248,
            1068661514,
        ]
        ");
    }

    #[test]
    fn floats_are_standard_normals() {
        let tensor = draw("x", ElementType::Float64, &[40_000], (0, 1), (7, 0)).unwrap();
        let numbers = tensor.to_f64().unwrap();
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let moment = |power| numbers.iter().map(|x| x.powi(power)).sum::<f64>() / count;
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((moment(2) - 1.0).abs() < 0.03, "variance {}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.2, "fourth moment {}", moment(4));
    }

    #[test]
    fn integers_stay_in_their_range_and_reach_its_ends() {
        let tensor = draw("ids", ElementType::Int32, &[500], (2, 5), (0, 0)).unwrap();
        let list = tensor.to_i64().unwrap();
        assert_eq!((list.iter().min(), list.iter().max()), (Some(&2), Some(&5)));
        assert!(draw("text", ElementType::String, &[1], (0, 1), (0, 0)).is_none());
    }
}
