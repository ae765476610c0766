//! Shards: a list of models spread over machines, each model always on the same one.
//!
//! A model's path decides alone, so that a model that comes or goes moves no other.

use std::fmt;
use std::str::FromStr;

use sha1::{Digest, Sha1};

/// Part `index` of `count`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

/// A text that names no shard.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no shard; give I/N with 1 ≤ I ≤ N, like 2/8")]
pub struct ShardError {
    text: String,
}

impl Shard {
    /// Whether a model is in this part.
    pub fn holds(self, path: &str) -> bool {
        let digest = Sha1::digest(path.as_bytes());
        let number = digest.iter().take(8).fold(0u64, |number, &byte| {
            number.wrapping_shl(8) | u64::from(byte)
        });
        number % self.count == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Shard, ShardError> {
        let parts = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Shard { index, count }),
            _ => Err(ShardError {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_is_in_exactly_one_part_and_the_parts_are_alike() {
        let shards: Vec<Shard> = (1..=4)
            .map(|index| format!("{index}/4").parse().unwrap())
            .collect();
        let mut sizes = [0; 4];
        for model in 0..1000 {
            let path = format!("zoo/model_{model}.onnx");
            let holding: Vec<usize> = (0..4).filter(|&at| shards[at].holds(&path)).collect();
            assert_eq!(holding.len(), 1, "{path}");
            sizes[holding[0]] += 1;
        }
        assert!(sizes.iter().all(|&size| size > 200), "{sizes:?}");
    }

    #[test]
    fn what_is_out_of_range_is_no_shard() {
        for text in ["0/4", "5/4", "1/0", "1", "a/b", "-1/2", "1/2/3", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
