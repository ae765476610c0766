//! New elements of a weight from old ones, as they stream: `out[i] = round(f64(in[i]) · scale[i] + add[i])`.
//!
//! `scale` broadcasts against the tensor: each of its extents is 1 or full.
//! Where it is constant over a long inner run, one factor serves the run; where the runs are short,
//! the factors are laid out once for a whole period and multiplied element by element.
//! `add` names single elements, as a BN beside a convolution needs for its centre tap.
//!
//! Rounding is monotonic, so the largest input that shares a factor tells what becomes of all of them:
//! the check for overflow and underflow costs one maximum per element.

mod layout;
mod scaler;

use ndarray::ArrayD;

use super::error::EditError;
pub(crate) use scaler::Scaler;

/// What becomes of the elements of a tensor of extents `dims`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    dims: Vec<usize>,
    scale: ArrayD<f64>,
    add: Vec<(usize, f64)>,
}

impl Transform {
    /// A transform of tensors of extents `dims`; `add` gives flat indexes in ascending order.
    ///
    /// # Errors
    /// If `scale` does not broadcast against `dims`, an index is out of range or out of order, or a number is not finite.
    pub fn new(
        dims: Vec<usize>,
        scale: ArrayD<f64>,
        add: Vec<(usize, f64)>,
    ) -> Result<Transform, EditError> {
        let shape = scale.shape();
        let broadcasts = shape.len() == dims.len()
            && shape
                .iter()
                .zip(&dims)
                .all(|(&extent, &dim)| extent == 1 || extent == dim);
        let sorted = add
            .windows(2)
            .all(|pair| matches!(pair, [(first, _), (second, _)] if first < second));
        let inside = add
            .last()
            .is_none_or(|&(index, _)| index < dims.iter().product());
        let problem = if !broadcasts {
            format!("a scale of extents {shape:?} does not broadcast against {dims:?}")
        } else if !sorted || !inside {
            format!("the elements to add to are not in order, or not within {dims:?}")
        } else if !scale
            .iter()
            .chain(add.iter().map(|(_, value)| value))
            .all(|value| value.is_finite())
        {
            "a scale or addend is not finite".to_owned()
        } else {
            let scale = scale.as_standard_layout().into_owned();
            return Ok(Transform { dims, scale, add });
        };
        Err(EditError::Unsupported(problem))
    }

    /// The transform that changes nothing.
    pub fn identity(dims: Vec<usize>) -> Transform {
        let ones = vec![1; dims.len()];
        Transform {
            dims,
            scale: ArrayD::from_elem(ones, 1.0),
            add: Vec::new(),
        }
    }

    /// The extents of the tensors that it applies to.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    fn factors(&self) -> &[f64] {
        // `new` puts the array in standard layout.
        self.scale.as_slice().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::error::{Flaw, FlawKind};
    use crate::onnx::proto::tensor_proto::DataType;
    use proptest::prelude::*;

    fn naive(transform: &Transform, values: &[f32]) -> Vec<f32> {
        let scale = transform.scale.broadcast(transform.dims.clone()).unwrap();
        let mut out: Vec<f64> = values
            .iter()
            .zip(scale.iter())
            .map(|(&value, &scale)| f64::from(value) * scale)
            .collect();
        for &(index, addend) in &transform.add {
            out[index] += addend;
        }
        out.into_iter().map(|value| value as f32).collect()
    }

    fn streamed(transform: &Transform, values: &[f32], chunk: usize) -> (Vec<f32>, Vec<Flaw>) {
        let mut bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let mut scaler = Scaler::new(transform, DataType::Float as i32).unwrap();
        for piece in bytes.chunks_mut(chunk * 4) {
            scaler.apply(piece);
        }
        (
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| f32::from_le_bytes(bytes))
                .collect(),
            scaler.flaws("w"),
        )
    }

    fn random_transform() -> impl Strategy<Value = (Transform, Vec<f32>, usize)> {
        (
            prop::collection::vec((1usize..6, any::<bool>()), 0..5),
            1usize..70,
            any::<u64>(),
        )
            .prop_map(|(axes, chunk, seed)| {
                let dims: Vec<usize> = axes.iter().map(|(extent, _)| *extent).collect();
                let shape: Vec<usize> = axes
                    .iter()
                    .map(|(extent, full)| if *full { *extent } else { 1 })
                    .collect();
                let number = |index: usize| {
                    ((index as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 1e6
                        - 8.0
                };
                let count: usize = dims.iter().product();
                let mut next = 0;
                let scale = ArrayD::from_shape_simple_fn(shape, || (next += 1, number(next)).1);
                let add = (0..count)
                    .filter(|index| (seed >> (index % 60)) & 3 == 0)
                    .map(|index| (index, number(index + 999)))
                    .collect();
                let values = (0..count)
                    .map(|index| number(index + 5000) as f32)
                    .collect();
                (Transform::new(dims, scale, add).unwrap(), values, chunk)
            })
    }

    proptest! {
        #[test]
        fn every_broadcast_and_chunking_agrees_with_the_naive_form((transform, values, chunk) in random_transform()) {
            let (out, flaws) = streamed(&transform, &values, chunk);
            prop_assert_eq!(out, naive(&transform, &values));
            prop_assert_eq!(flaws, Vec::new());
        }
    }

    #[test]
    fn long_runs_and_long_periods_agree_with_the_naive_form() {
        for (dims, shape) in [
            (vec![6, 50, 3, 3], vec![6, 1, 1, 1]),
            (vec![6, 50, 3, 3], vec![1, 50, 1, 1]),
            (vec![6, 50, 3, 3], vec![6, 50, 1, 1]),
            (vec![7, 900, 40], vec![7, 1, 40]),
            (vec![3, 40_000], vec![1, 40_000]),
            (vec![40_000, 3, 2], vec![40_000, 1, 2]),
        ] {
            let count: usize = dims.iter().product();
            let values: Vec<f32> = (0..count)
                .map(|index| (index as f32 * 0.37).sin())
                .collect();
            let factors: Vec<f64> = (0..shape.iter().product::<usize>())
                .map(|index| (index as f64 * 0.11).cos() + 2.0)
                .collect();
            let transform = Transform::new(
                dims,
                ArrayD::from_shape_vec(shape, factors).unwrap(),
                vec![],
            )
            .unwrap();
            assert_eq!(
                streamed(&transform, &values, 1000),
                (naive(&transform, &values), vec![])
            );
        }
    }

    fn flaws_of(scale: [f64; 2], values: [f32; 4]) -> Vec<(FlawKind, usize)> {
        let scale = ArrayD::from_shape_vec(vec![2, 1], scale.to_vec()).unwrap();
        let transform = Transform::new(vec![2, 2], scale, vec![]).unwrap();
        streamed(&transform, &values, 4)
            .1
            .into_iter()
            .map(|flaw| (flaw.kind, flaw.index))
            .collect()
    }

    #[test]
    fn what_the_type_cannot_hold_is_reported_with_its_place() {
        assert_eq!(
            flaws_of([1.0, 1e30], [1.0, 1.0, 1.0, 1e20]),
            [(FlawKind::Overflow, 2)]
        );
        assert_eq!(
            flaws_of([1.0, 1e-30], [1.0, 1.0, 1e-10, -1e-9]),
            [(FlawKind::Underflow, 2)]
        );
        assert_eq!(
            flaws_of([1.0, 1.0], [1.0, f32::NAN, 1.0, 1.0]),
            [(FlawKind::NotFinite, 0)]
        );
        assert_eq!(
            flaws_of([1.0, 0.0], [1.0, 1.0, f32::INFINITY, 1.0]),
            [(FlawKind::NotFinite, 2)]
        );
    }

    #[test]
    fn small_elements_beside_large_ones_and_zero_factors_are_no_flaw() {
        assert_eq!(flaws_of([1e-30, 0.0], [1.0, 1e-20, 1.0, 1.0]), []);
        assert_eq!(flaws_of([0.5, 1.0], [1e-40, 0.0, 0.0, 0.0]), []);
    }

    #[test]
    fn an_addend_that_overflows_is_reported() {
        let transform =
            Transform::new(vec![3], ArrayD::from_elem(vec![1], 1.0), vec![(1, 1e39)]).unwrap();
        assert_eq!(
            streamed(&transform, &[0.0; 3], 2).1[0].kind,
            FlawKind::Overflow
        );
    }

    #[test]
    fn a_transform_that_does_not_fit_is_refused() {
        let ones = |shape: Vec<usize>| ArrayD::from_elem(shape, 1.0);
        assert!(Transform::new(vec![2, 3], ones(vec![3, 1]), vec![]).is_err());
        assert!(Transform::new(vec![2, 3], ones(vec![2]), vec![]).is_err());
        assert!(Transform::new(vec![2, 3], ones(vec![2, 1]), vec![(6, 1.0)]).is_err());
        assert!(Transform::new(vec![2, 3], ones(vec![2, 1]), vec![(1, 1.0), (1, 1.0)]).is_err());
        assert!(
            Transform::new(vec![2, 3], ArrayD::from_elem(vec![1, 1], f64::NAN), vec![]).is_err()
        );
    }
}
