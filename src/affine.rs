//! An affine: scale and shift that broadcast against a value.
//!
//! `y = s·x + t`, with `s` and `t` arrays of the value's rank whose extents are 1 or the value's own.
//! A BatchNormalization in inference mode is `s = scale/√(var + ε)`, `t = B − mean·s` along axis 1
//! (ONNX BatchNormalization-15); per-channel Mul, Add, Sub and Div by constants are affines too.
//! Everything is f64: affines compose exactly enough that one rounding, at the weight, is the only one that counts.

use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, Slice, concatenate};

/// Scale and shift over the axes of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    scale: ArrayD<f64>,
    shift: ArrayD<f64>,
}

impl Affine {
    /// An affine of two arrays that have the value's rank.
    ///
    /// # Panics
    /// If the ranks differ.
    pub fn new(scale: ArrayD<f64>, shift: ArrayD<f64>) -> Affine {
        assert_eq!(
            scale.ndim(),
            shift.ndim(),
            "scale and shift have the value's rank"
        );
        Affine {
            scale: compacted(scale),
            shift: compacted(shift),
        }
    }

    /// `y = x` for a value of this rank.
    pub fn identity(rank: usize) -> Affine {
        Affine {
            scale: constant(rank, 1.0),
            shift: constant(rank, 0.0),
        }
    }

    /// An affine that varies along `axis` alone.
    pub fn along(rank: usize, axis: usize, scale: Vec<f64>, shift: Vec<f64>) -> Affine {
        Affine::new(vector(rank, axis, scale), vector(rank, axis, shift))
    }

    /// A scale without a shift.
    pub fn scaling(scale: ArrayD<f64>) -> Affine {
        let shift = constant(scale.ndim(), 0.0);
        Affine::new(scale, shift)
    }

    /// A shift without a scale.
    pub fn shifting(shift: ArrayD<f64>) -> Affine {
        let scale = constant(shift.ndim(), 1.0);
        Affine::new(scale, shift)
    }

    /// `s`.
    pub fn scale(&self) -> &ArrayD<f64> {
        &self.scale
    }

    /// `t`.
    pub fn shift(&self) -> &ArrayD<f64> {
        &self.shift
    }

    /// The rank of the value.
    pub fn rank(&self) -> usize {
        self.scale.ndim()
    }

    /// Whether `t` is zero everywhere.
    pub fn is_linear(&self) -> bool {
        self.shift.iter().all(|&t| t == 0.0)
    }

    /// Whether `s` is one everywhere.
    pub fn is_shift(&self) -> bool {
        self.scale.iter().all(|&s| s == 1.0)
    }

    /// Whether `y = x`.
    pub fn is_identity(&self) -> bool {
        self.is_linear() && self.is_shift()
    }

    /// Whether no element is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.scale.iter().chain(&self.shift).all(|x| x.is_finite())
    }

    /// `s` alone.
    pub fn without_shift(&self) -> Affine {
        Affine::scaling(self.scale.clone())
    }

    /// `t` alone.
    pub fn without_scale(&self) -> Affine {
        Affine::shifting(self.shift.clone())
    }

    /// The axes along which the affine is not the same everywhere.
    pub fn varying_axes(&self) -> Vec<usize> {
        (0..self.rank())
            .filter(|&axis| self.extent(axis) > 1)
            .collect()
    }

    /// The extent along an axis: 1 where the affine does not vary.
    pub fn extent(&self, axis: usize) -> usize {
        self.scale
            .len_of(Axis(axis))
            .max(self.shift.len_of(Axis(axis)))
    }

    /// First this affine, then `next`: `s₂·(s₁·x + t₁) + t₂`.
    pub fn then(&self, next: &Affine) -> Affine {
        let carried = zip(&self.shift, &next.scale, |t, s| t * s);
        Affine::new(
            zip(&self.scale, &next.scale, |a, b| a * b),
            zip(&carried, &next.shift, |a, b| a + b),
        )
    }

    /// The affine that undoes this one, if no scale is zero.
    pub fn inverse(&self) -> Option<Affine> {
        if self.scale.iter().any(|&s| s == 0.0) {
            return None;
        }
        let scale = self.scale.mapv(|s| 1.0 / s);
        let shift = zip(&self.shift, &self.scale, |t, s| -t / s);
        Some(Affine::new(scale, shift))
    }

    /// The same change of layout on scale and shift.
    pub fn try_map<E>(
        &self,
        change: impl Fn(&ArrayD<f64>) -> Result<ArrayD<f64>, E>,
    ) -> Result<Affine, E> {
        Ok(Affine::new(change(&self.scale)?, change(&self.shift)?))
    }

    /// The same change of layout on scale and shift.
    pub fn map(&self, change: impl Fn(&ArrayD<f64>) -> ArrayD<f64>) -> Affine {
        Affine::new(change(&self.scale), change(&self.shift))
    }

    /// Axis `i` of the result is axis `permutation[i]` of this one, as in ONNX Transpose.
    pub fn permuted(&self, permutation: &[usize]) -> Affine {
        self.map(|array| array.clone().permuted_axes(IxDyn(permutation)))
    }

    /// The part of the value from `start` to `end` along an axis.
    pub fn sliced(&self, axis: usize, start: usize, end: usize) -> Affine {
        self.map(|array| match array.len_of(Axis(axis)) {
            1 => array.clone(),
            _ => array
                .slice_axis(Axis(axis), Slice::from(start..end))
                .to_owned(),
        })
    }

    /// Values joined along an axis, each with its extent there.
    pub fn concatenated(axis: usize, parts: &[(Affine, usize)]) -> Affine {
        if parts
            .iter()
            .all(|(part, _)| *part == parts[0].0 && part.extent(axis) == 1)
        {
            return parts[0].0.clone();
        }
        let join = |pick: fn(&Affine) -> &ArrayD<f64>| {
            let shape = parts
                .iter()
                .fold(vec![1; parts[0].0.rank()], |shape, (part, _)| {
                    shape
                        .iter()
                        .zip(pick(part).shape())
                        .map(|(a, b)| *a.max(b))
                        .collect()
                });
            let full: Vec<ArrayD<f64>> = parts
                .iter()
                .map(|(part, extent)| {
                    let mut shape = shape.clone();
                    shape[axis] = *extent;
                    broadcast(pick(part), &shape).to_owned()
                })
                .collect();
            let views: Vec<ArrayViewD<'_, f64>> = full.iter().map(|array| array.view()).collect();
            concatenate(Axis(axis), &views).expect("parts agree on all other axes")
        };
        Affine::new(join(|part| &part.scale), join(|part| &part.shift))
    }

    /// The affine applied to an array it broadcasts against; the result has the larger shape.
    pub fn apply(&self, x: &ArrayD<f64>) -> ArrayD<f64> {
        zip(&zip(x, &self.scale, |x, s| x * s), &self.shift, |x, t| {
            x + t
        })
    }
}

/// An array of one element and any rank.
pub fn constant(rank: usize, element: f64) -> ArrayD<f64> {
    ArrayD::from_elem(IxDyn(&vec![1; rank]), element)
}

/// A vector laid along one axis of a value of this rank.
pub fn vector(rank: usize, axis: usize, elements: Vec<f64>) -> ArrayD<f64> {
    let mut shape = vec![1; rank];
    shape[axis] = elements.len();
    ArrayD::from_shape_vec(IxDyn(&shape), elements).expect("one axis holds every element")
}

/// `f` over two arrays of one rank that broadcast against each other.
pub fn zip(a: &ArrayD<f64>, b: &ArrayD<f64>, f: impl Fn(f64, f64) -> f64) -> ArrayD<f64> {
    let shape: Vec<usize> = a
        .shape()
        .iter()
        .zip(b.shape())
        .map(|(&a, &b)| if a == 1 { b } else { a })
        .collect();
    let mut result = broadcast(a, &shape).to_owned();
    result.zip_mut_with(&broadcast(b, &shape), |x, &y| *x = f(*x, y));
    result
}

/// An array stretched along its axes of extent 1.
pub fn broadcast<'a>(array: &'a ArrayD<f64>, shape: &[usize]) -> ArrayViewD<'a, f64> {
    if shape.contains(&0) {
        return ArrayViewD::from_shape(IxDyn(shape), &[]).expect("no element fills it");
    }
    array
        .broadcast(IxDyn(shape))
        .expect("an affine broadcasts against its value")
}

/// Axes along which nothing varies shrink to extent 1.
pub fn compacted(mut array: ArrayD<f64>) -> ArrayD<f64> {
    for axis in 0..array.ndim() {
        if array.len_of(Axis(axis)) > 1 {
            let first = array.index_axis(Axis(axis), 0);
            let same = |lane: ArrayViewD<'_, f64>| {
                lane.iter()
                    .zip(&first)
                    // Zeros of both signs are one shift; a NaN is none.
                    .all(|(a, b)| a == b)
            };
            if array.axis_iter(Axis(axis)).all(same) {
                array = array.slice_axis(Axis(axis), Slice::from(0..1)).to_owned();
            }
        }
    }
    array.as_standard_layout().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn affine(axis: usize, scale: Vec<f64>, shift: Vec<f64>) -> Affine {
        Affine::along(3, axis, scale, shift)
    }

    fn value() -> ArrayD<f64> {
        ArrayD::from_shape_fn(IxDyn(&[2, 3, 2]), |i| {
            (i[0] * 6 + i[1] * 2 + i[2]) as f64 - 4.0
        })
    }

    #[test]
    fn composition_applies_one_after_the_other() {
        let first = affine(1, vec![1.0, -2.0, 3.0], vec![0.5, 0.0, 1.0]);
        let next = affine(2, vec![4.0, 0.25], vec![1.0, -1.0]);
        assert_eq!(
            first.then(&next).apply(&value()),
            next.apply(&first.apply(&value()))
        );
    }

    #[test]
    fn inverse_undoes_and_is_absent_for_a_zero_scale() {
        let affine = affine(1, vec![1.0, -2.0, 4.0], vec![0.5, 0.0, 1.0]);
        let inverse = affine.inverse().expect("no scale is zero");
        assert_eq!(inverse.apply(&affine.apply(&value())), value());
        assert_eq!(
            Affine::along(1, 0, vec![1.0, 0.0], vec![0.0, 0.0]).inverse(),
            None
        );
    }

    #[test]
    fn permuting_follows_transpose() {
        let affine = affine(1, vec![1.0, 2.0, 3.0], vec![3.0, 2.0, 1.0]);
        let permuted = affine.permuted(&[2, 0, 1]);
        let transposed = value().permuted_axes(IxDyn(&[2, 0, 1]));
        assert_eq!(
            permuted.apply(&transposed),
            affine.apply(&value()).permuted_axes(IxDyn(&[2, 0, 1]))
        );
    }

    #[test]
    fn concatenation_is_undone_by_slicing() {
        let a = affine(1, vec![1.0, 2.0], vec![0.0, 1.0]);
        let b = affine(2, vec![5.0, 6.0], vec![0.0, 0.0]);
        let joined = Affine::concatenated(1, &[(a.clone(), 2), (b.clone(), 1)]);
        assert_eq!(joined.sliced(1, 0, 2), a);
        assert_eq!(joined.sliced(1, 2, 3), b);
    }

    #[test]
    fn equal_parts_concatenate_without_growing() {
        let a = affine(2, vec![5.0, 6.0], vec![0.0, 0.0]);
        assert_eq!(
            Affine::concatenated(1, &[(a.clone(), 7), (a.clone(), 9)]),
            a
        );
    }

    #[test]
    fn axes_that_do_not_vary_shrink() {
        let affine = affine(1, vec![2.0, 2.0, 2.0], vec![1.0, 2.0, 3.0]);
        assert_eq!(affine.scale().shape(), [1, 1, 1]);
        assert_eq!(affine.varying_axes(), [1]);
    }

    proptest! {
        #[test]
        fn composition_is_associative(
            s in proptest::collection::vec(-4.0f64..4.0, 9),
            t in proptest::collection::vec(-4.0f64..4.0, 9),
        ) {
            let part = |i: usize| affine(i % 2 + 1, s[3*i..3*i+2+(i+1)%2].to_vec(), t[3*i..3*i+2+(i+1)%2].to_vec());
            let (a, b, c) = (part(0), part(1), part(2));
            let left = a.then(&b).then(&c).apply(&value());
            let right = a.then(&b.then(&c)).apply(&value());
            for (l, r) in left.iter().zip(&right) {
                prop_assert!((l - r).abs() <= 1e-9 * l.abs().max(1.0));
            }
        }
    }
}
