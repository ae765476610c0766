//! The standard's own cases, and what holds of the kernel as a whole.

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;

use super::testing::{assert_same, naive, naive_moments, normals, parameters, unit};
use super::*;

/// Shape, dtype and attributes of the standard's test suite: `batchnorm_example` and
/// `batchnorm_epsilon`, in inference mode.
#[test]
fn the_standards_inference_cases_hold() {
    for epsilon in [None, Some(1e-2)] {
        let attributes = Attributes {
            epsilon,
            ..Attributes::default()
        };
        let node = BatchNorm::new(15, &attributes, 1).unwrap();
        assert_eq!(node.mode, Mode::Inference);
        let x = normals::<f32>(1, &[2, 3, 4, 5], 0.0, 1.0);
        let parameters = parameters::<f32, f32>(2, 3);
        let y = node.normalizer(&parameters).apply(x.view()).unwrap();
        let epsilon = f64::from(epsilon.unwrap_or(1e-5));
        let expected = naive(&x.view(), &parameters, epsilon, true);
        for (y, expected) in y.iter().zip(&expected) {
            let bound = 1e-6 * (1.0 + expected.abs());
            assert!((f64::from(*y) - expected).abs() <= bound);
        }
    }
}

/// `batchnorm_example_training_mode` and `batchnorm_epsilon_training_mode`: three outputs.
#[test]
fn the_standards_training_cases_hold() {
    for epsilon in [None, Some(1e-2)] {
        let attributes = Attributes {
            epsilon,
            training_mode: Some(1),
            ..Attributes::default()
        };
        let node = BatchNorm::new(15, &attributes, 3).unwrap();
        assert_eq!(node.mode, Mode::Training);
        let x = normals::<f32>(1, &[2, 3, 4, 5], 0.0, 1.0);
        let parameters = parameters::<f32, f32>(2, 3);
        let (y, statistics) = node.train(x.view(), &parameters).unwrap();
        let (mean, var) = naive_moments(&x.view(), 3, true);
        let momentum = f64::from(0.9f32);
        let running = |old: &[f64], new: &[f64]| -> Vec<f64> {
            old.iter()
                .zip(new)
                .map(|(old, new)| old * momentum + new * (1.0 - momentum))
                .collect()
        };
        let outputs = [
            (Output::RunningMean, running(&parameters.mean, &mean)),
            (Output::RunningVar, running(&parameters.var, &var)),
        ];
        for (output, expected) in outputs {
            let found = statistics.output(output).unwrap();
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-6, "{output:?}");
            }
        }
        let batch = Parameters {
            mean,
            var,
            ..parameters
        };
        let epsilon = f64::from(epsilon.unwrap_or(1e-5));
        let expected = naive(&x.view(), &batch, epsilon, true);
        for (y, expected) in y.iter().zip(&expected) {
            let bound = 1e-6 * (1.0 + expected.abs());
            assert!((f64::from(*y) - expected).abs() <= bound);
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    fn check<T: Element>(shape: &[usize]) {
        let x = normals::<T>(1, shape, 1.0, 2.0);
        let parameters = parameters::<f32, f32>(2, shape[1]);
        let attributes = Attributes {
            training_mode: Some(1),
            ..Attributes::default()
        };
        let node = BatchNorm::new(15, &attributes, 3).unwrap();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let inference = node.normalizer(&parameters).apply(x.view()).unwrap();
                let (training, statistics) = node.train(x.view(), &parameters).unwrap();
                (inference, training, statistics)
            })
        };
        let one = run(1);
        for many in [run(2), run(8)] {
            assert_same(&one.0, &many.0);
            assert_same(&one.1, &many.1);
            assert_eq!(one.2, many.2);
        }
    }
    for shape in [
        &[2, 3, 300, 301][..],
        &[700, 512],
        &[9, 500, 7, 7],
        &[70_001, 3],
        &[3_000, 101],
        &[9, 50_001],
        &[64, 512, 4, 4],
    ] {
        check::<f32>(shape);
        check::<bf16>(shape);
    }
    check::<f16>(&[3, 40, 50, 51]);
    check::<f64>(&[3, 40, 50, 51]);
}

#[test]
fn a_batch_without_variance_gives_b() {
    fn check<T: Element>(shape: &[usize], value: f64) {
        let x = ArrayD::from_elem(IxDyn(shape), T::from_f64(value));
        let parameters = parameters::<T, T>(2, shape[1]);
        let attributes = Attributes {
            training_mode: Some(1),
            ..Attributes::default()
        };
        let node = BatchNorm::new(15, &attributes, 3).unwrap();
        let (y, statistics) = node.train(x.view(), &parameters).unwrap();
        for (index, y) in y.indexed_iter() {
            assert_eq!(y.to_f64(), parameters.b[index[1]], "{shape:?} {value}");
        }
        for (mean, var) in statistics.mean.iter().zip(&statistics.var) {
            assert_eq!((*mean, *var), (T::from_f64(value).to_f64(), 0.0));
        }
    }
    for shape in [
        &[8, 40, 7, 7][..],
        &[300, 5],
        &[3, 40, 2, 2],
        &[2, 3, 300, 300],
    ] {
        for value in [0.0, 0.1, -1e4] {
            check::<f64>(shape, value);
            check::<f32>(shape, value);
            check::<f16>(shape, value);
            check::<bf16>(shape, value);
        }
    }
}

#[derive(Debug, Clone)]
struct Case {
    shape: Vec<usize>,
    seed: u64,
    epsilon: f64,
    mean: f64,
}

fn case() -> impl Strategy<Value = Case> {
    let shape = prop::collection::vec(1usize..9, 1..6);
    let numbers = (any::<u64>(), 1e-12..1.0f64, -100.0..100.0f64);
    (shape, numbers).prop_map(|(shape, (seed, epsilon, mean))| Case {
        shape,
        seed: seed % 1_000_000,
        epsilon,
        mean,
    })
}

/// The affine `s·x + t` of a case, and what the kernel makes of it.
fn affine_and_kernel<T: Element>(case: &Case) -> Vec<(f64, f64, f64)> {
    let channels = match case.shape[..] {
        [_] => 1,
        [_, channels, ..] => channels,
        [] => 0,
    };
    let x: ArrayD<T> = normals(case.seed, &case.shape, case.mean, 3.0);
    let p = parameters::<f32, f32>(case.seed + 1, channels);
    let (s, t) = scale_shift(&p.scale, &p.b, &p.mean, &p.var, case.epsilon).unwrap();
    let y = Normalizer::new(&p, case.epsilon, true)
        .apply(x.view())
        .unwrap();
    let axis_one = |index: &IxDyn| if case.shape.len() == 1 { 0 } else { index[1] };
    let elements = x.indexed_iter().map(|(index, x)| {
        let c = axis_one(&index);
        let affine = s[c] * x.to_f64() + t[c];
        let size = (s[c] * x.to_f64()).abs() + (s[c] * p.mean[c]).abs() + p.b[c].abs();
        (affine, y[&index].to_f64(), size)
    });
    elements.collect()
}

proptest! {
    #[test]
    fn the_kernel_is_its_affine(case in case()) {
        for (affine, kernel, size) in affine_and_kernel::<f64>(&case) {
            prop_assert!((affine - kernel).abs() <= 8.0 * unit::<f64>() * size);
        }
        for (affine, kernel, size) in affine_and_kernel::<f32>(&case) {
            prop_assert!((affine - kernel).abs() <= 8.0 * unit::<f32>() * size);
        }
        for (affine, kernel, size) in affine_and_kernel::<bf16>(&case) {
            let bound = 8.0 * unit::<f32>() * size + unit::<bf16>() * affine.abs();
            prop_assert!((affine - kernel).abs() <= 1.01 * bound);
        }
    }

    #[test]
    fn merged_moments_are_those_of_the_whole(case in case(), cut in 0usize..9) {
        let x: ArrayD<f32> = normals(case.seed, &case.shape, case.mean, 3.0);
        let (left, right) = x.view().split_at(ndarray::Axis(0), cut.min(case.shape[0]));
        let whole = Moments::of(&x.view(), true).unwrap();
        let mut merged = Moments::of(&left, true).unwrap();
        merged.merge(&Moments::of(&right, true).unwrap()).unwrap();
        prop_assert_eq!(merged.count(), whole.count());
        for (merged, whole) in merged.mean().iter().zip(whole.mean()) {
            prop_assert!((merged - whole).abs() <= 1e-14 * (100.0 + whole.abs()));
        }
        for (merged, whole) in merged.var().iter().zip(whole.var()) {
            prop_assert!((merged - whole).abs() <= 1e-13 * (1.0 + whole));
        }
    }
}
