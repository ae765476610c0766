//! Seeded inputs, the same on every machine.
//!
//! Unless the caller says otherwise, floating-point inputs are standard normals rounded once to their
//! type, by Box and Muller's formula on a portable logarithm and cosine; integers are uniform in a range
//! that their consumers can use, booleans fair coins.
//! Every (seed, sample, input name) has a stream of its own, so that inputs may come and go.

use std::str::FromStr;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::engine::{ElementType, Tensor};

/// How an input is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Draw {
    /// Normally distributed.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        deviation: f64,
    },
    /// Uniformly distributed, ends included for integers.
    Uniform {
        /// Smallest number.
        low: f64,
        /// Largest number.
        high: f64,
    },
    /// Uniformly distributed integers, both ends included.
    Integers {
        /// Smallest number.
        low: i64,
        /// Largest number.
        high: i64,
    },
    /// This value.
    Value(Tensor),
}

impl FromStr for Draw {
    type Err = String;

    /// `normal:MEAN,DEVIATION`, `uniform:LOW,HIGH` or `int:LOW..HIGH`.
    fn from_str(text: &str) -> Result<Draw, String> {
        let wrong = || format!("{text:?} is not normal:0,1 or uniform:0,255 or int:0..1000");
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        let pair = |separator: &str| rest.split_once(separator).ok_or_else(wrong);
        let number = |text: &str| {
            let number = text.trim().parse::<f64>().ok();
            number.filter(|number| number.is_finite()).ok_or_else(wrong)
        };
        let integer = |text: &str| text.trim().parse::<i64>().map_err(|_| wrong());
        let draw = match kind {
            "normal" => {
                let (mean, deviation) = pair(",")?;
                Draw::Normal {
                    mean: number(mean)?,
                    deviation: number(deviation)?,
                }
            }
            "uniform" => {
                let (low, high) = pair(",")?;
                Draw::Uniform {
                    low: number(low)?,
                    high: number(high)?,
                }
            }
            "int" => {
                let (low, high) = pair("..")?;
                Draw::Integers {
                    low: integer(low)?,
                    high: integer(high)?,
                }
            }
            _ => return Err(wrong()),
        };
        let is_empty = match draw {
            Draw::Uniform { low, high } => low > high,
            Draw::Integers { low, high } => low > high,
            Draw::Normal { deviation, .. } => deviation < 0.0,
            Draw::Value(_) => false,
        };
        if is_empty { Err(wrong()) } else { Ok(draw) }
    }
}

impl Draw {
    /// What an input is made by unless the caller says: `range` is for integers.
    pub(super) fn usual(element: ElementType, range: (i64, i64)) -> Draw {
        if element.is_float() {
            Draw::Normal {
                mean: 0.0,
                deviation: 1.0,
            }
        } else {
            Draw::Integers {
                low: range.0,
                high: range.1,
            }
        }
    }
}

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

/// Inputs of more elements than this are not drawn: a hostile shape could ask for any amount of memory.
const LARGEST: usize = 1 << 28;

/// A value for an input; `Err` says why this input cannot be made so.
pub(super) fn draw(
    name: &str,
    element: ElementType,
    shape: &[usize],
    how: &Draw,
    (seed, sample): (u64, usize),
) -> Result<Tensor, String> {
    if let Draw::Value(tensor) = how {
        return Ok(tensor.clone());
    }
    let count = shape
        .iter()
        .try_fold(1usize, |product, &extent| product.checked_mul(extent));
    let count = count.filter(|&count| count <= LARGEST);
    let count = count.ok_or("is too large")?;
    let mut random = stream(seed, sample, name);
    match element {
        ElementType::String => Err("is of type string, which cannot be drawn".to_owned()),
        ElementType::Bool => {
            let flags: Vec<bool> = (0..count).map(|_| random.random()).collect();
            Tensor::new(shape.to_vec(), flags).map_err(|error| error.to_string())
        }
        element if element.is_float() => {
            let numbers = reals(&mut random, count, how);
            let tensor = Tensor::new(shape.to_vec(), numbers).map_err(|error| error.to_string())?;
            Ok(tensor.rounded_to(element))
        }
        element => integers(&mut random, element, shape, count, how),
    }
}

fn reals(random: &mut ChaCha8Rng, count: usize, how: &Draw) -> Vec<f64> {
    match *how {
        Draw::Normal { mean, deviation } => normals(random, count)
            .into_iter()
            .map(|x| mean + deviation * x)
            .collect(),
        Draw::Uniform { low, high } => (0..count)
            .map(|_| low + (high - low) * random.random::<f64>())
            .collect(),
        Draw::Integers { low, high } => (0..count)
            .map(|_| random.random_range(low..=high.max(low)) as f64)
            .collect(),
        Draw::Value(_) => Vec::new(),
    }
}

fn integers(
    random: &mut ChaCha8Rng,
    element: ElementType,
    shape: &[usize],
    count: usize,
    how: &Draw,
) -> Result<Tensor, String> {
    let (low, high) = match *how {
        Draw::Integers { low, high } => (low, high),
        Draw::Uniform { low, high } => (low.ceil() as i64, high.floor() as i64),
        Draw::Normal { .. } => return Err("holds integers; give int:LOW..HIGH".to_owned()),
        Draw::Value(_) => (0, 0),
    };
    let list: Vec<i64> = (0..count)
        .map(|_| random.random_range(low..=high.max(low)))
        .collect();
    let outside = || format!("is {element}, which does not hold {low}..{high}");
    macro_rules! as_type {
        ($type:ty) => {{
            let list: Result<Vec<$type>, _> = list.into_iter().map(<$type>::try_from).collect();
            let list = list.map_err(|_| outside())?;
            Tensor::new(shape.to_vec(), list).map_err(|error| error.to_string())
        }};
    }
    match element {
        ElementType::Int8 => as_type!(i8),
        ElementType::Int16 => as_type!(i16),
        ElementType::Int32 => as_type!(i32),
        ElementType::UInt8 => as_type!(u8),
        ElementType::UInt16 => as_type!(u16),
        ElementType::UInt32 => as_type!(u32),
        ElementType::UInt64 => as_type!(u64),
        _ => Tensor::new(shape.to_vec(), list).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(name: &str, element: ElementType, shape: &[usize], seeds: (u64, usize)) -> Tensor {
        draw(name, element, shape, &Draw::usual(element, (0, 1)), seeds).unwrap()
    }

    #[test]
    fn draws_are_reproducible_and_depend_on_seed_sample_and_name() {
        let one = |name, seeds| usual(name, ElementType::Float64, &[4], seeds);
        assert_eq!(one("x", (0, 0)), one("x", (0, 0)));
        assert_ne!(one("x", (0, 0)), one("x", (1, 0)));
        assert_ne!(one("x", (0, 0)), one("x", (0, 1)));
        assert_ne!(one("x", (0, 0)), one("y", (0, 0)));
    }

    #[test]
    fn the_first_draw_is_pinned_for_every_machine() {
        let tensor = usual("x", ElementType::Float32, &[3], (0, 0));
        let bits: Vec<u32> = tensor
            .elements::<f32>()
            .unwrap()
            .iter()
            .map(|x| x.to_bits())
            .collect();
        assert_eq!(bits, [3_176_622_455, 1_056_536_248, 1_068_661_514]);
    }

    #[test]
    fn floats_are_standard_normals() {
        let tensor = usual("x", ElementType::Float64, &[40_000], (7, 0));
        let numbers = tensor.to_f64().unwrap();
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let moment = |power| numbers.iter().map(|x| x.powi(power)).sum::<f64>() / count;
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((moment(2) - 1.0).abs() < 0.03, "variance {}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.2, "fourth moment {}", moment(4));
    }

    #[test]
    fn what_the_caller_asks_for_is_drawn() {
        let of = |text: &str, element| {
            draw("x", element, &[500], &text.parse().unwrap(), (0, 0))
                .unwrap()
                .to_f64()
                .unwrap()
        };
        let ends = |list: &[f64]| {
            (
                list.iter().copied().fold(f64::MAX, f64::min),
                list.iter().copied().fold(f64::MIN, f64::max),
            )
        };
        assert_eq!(ends(&of("int:2..5", ElementType::Int32)), (2.0, 5.0));
        assert_eq!(ends(&of("uniform:0,3", ElementType::UInt8)), (0.0, 3.0));
        let (low, high) = ends(&of("uniform:10,20", ElementType::Float32));
        assert!((10.0..10.5).contains(&low) && (19.5..=20.0).contains(&high));
        let far = of("normal:100,0.5", ElementType::Float32);
        assert!((far.iter().sum::<f64>() / 500.0 - 100.0).abs() < 0.1);
        let integers = draw(
            "x",
            ElementType::Int8,
            &[1],
            &"int:0..300".parse().unwrap(),
            (0, 0),
        );
        assert!(integers.is_ok() || integers.unwrap_err().contains("int8"));
        assert!(
            draw(
                "x",
                ElementType::Int64,
                &[1],
                &"normal:0,1".parse().unwrap(),
                (0, 0)
            )
            .is_err()
        );
        assert!(
            draw(
                "x",
                ElementType::String,
                &[1],
                &"int:0..1".parse().unwrap(),
                (0, 0)
            )
            .is_err()
        );
    }

    #[test]
    fn what_is_no_draw_is_refused_with_examples() {
        for text in [
            "",
            "normal",
            "normal:1",
            "uniform:2,1",
            "int:5..2",
            "int:1,2",
            "normal:0,-1",
            "uniform:0,inf",
        ] {
            let said = text.parse::<Draw>().unwrap_err();
            assert!(said.contains("int:0..1000"), "{said}");
        }
    }
}
