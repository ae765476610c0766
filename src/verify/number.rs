//! Numbers that JSON lacks: NaN and infinities are written as strings, and read back.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum Number {
    Finite(f64),
    /// `NaN`, `inf` or `-inf`.
    Named(String),
}

impl From<f64> for Number {
    fn from(number: f64) -> Number {
        match number.is_finite() {
            true => Number::Finite(number),
            false => Number::Named(number.to_string()),
        }
    }
}

impl Number {
    fn parse<E: serde::de::Error>(self) -> Result<f64, E> {
        match self {
            Number::Finite(number) => Ok(number),
            Number::Named(text) => text.parse().map_err(E::custom),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Number::from(*number).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Number::deserialize(deserializer)?.parse()
}

/// Numbers that may be absent.
pub(crate) mod optional {
    use super::{Deserialize as _, Deserializer, Number, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        number: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        number.map(Number::from).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        Option::<Number>::deserialize(deserializer)?
            .map(Number::parse)
            .transpose()
    }
}
