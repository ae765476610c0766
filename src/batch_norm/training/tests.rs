use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn, arr1, arr2};

use super::super::testing::{channel, naive, naive_moments, normals, parameters, unit};
use super::super::{Attributes, Mode};
use super::*;

fn node(attributes: &Attributes) -> BatchNorm {
    let attributes = Attributes {
        training_mode: Some(1),
        ..*attributes
    };
    BatchNorm::new(15, &attributes, 3).unwrap()
}

fn relative(found: f64, expected: f64, tolerance: f64, scale: f64) {
    let error = (found - expected).abs();
    assert!(
        error <= tolerance * scale,
        "{found:e} for {expected:e}: off by {error:e}, allowed {:e}",
        tolerance * scale
    );
}

/// Checks Y and all statistics against naive f64.
fn check<T: Element>(node: &BatchNorm, x: &ArrayD<T>, parameters: &Parameters) {
    let channels = parameters.channels();
    let (mean, var) = naive_moments(&x.view(), channels, node.spatial);
    let (y, statistics) = node.train(x.view(), parameters).unwrap();
    // Sums in f32 are within 50·u; f64 within as much of its own u.
    let u = if T::NEEDS_F64 {
        unit::<f64>()
    } else {
        unit::<f32>()
    };
    for c in 0..channels {
        let deviation = var[c].sqrt();
        relative(
            statistics.mean[c],
            mean[c],
            50.0 * u,
            deviation + 1e-9 * mean[c].abs(),
        );
        relative(statistics.var[c], var[c], 50.0 * u, var[c]);
        let expected = parameters.mean[c] * node.momentum + mean[c] * (1.0 - node.momentum);
        relative(
            statistics.running_mean[c],
            expected,
            50.0 * u,
            deviation + expected.abs(),
        );
        let expected = parameters.var[c] * node.momentum + var[c] * (1.0 - node.momentum);
        relative(statistics.running_var[c], expected, 50.0 * u, expected);
    }
    let batch = Parameters {
        mean,
        var,
        ..parameters.clone()
    };
    let expected = naive(&x.view(), &batch, node.epsilon, node.spatial);
    for (index, &expected) in expected.indexed_iter() {
        let c = channel(index.slice(), x.shape(), node.spatial);
        let scale = expected.abs() + batch.scale[c].abs() + batch.b[c].abs();
        relative(y[&index].to_f64(), expected, unit::<T>() + 60.0 * u, scale);
    }
    let mut into = ArrayD::from_elem(x.raw_dim(), T::default());
    assert_eq!(
        node.train_into(x.view(), parameters, into.view_mut())
            .unwrap(),
        statistics
    );
    assert_eq!(into.mapv(Element::to_f64), y.mapv(Element::to_f64));
    let mut within = x.clone();
    assert_eq!(
        node.train_in_place(within.view_mut(), parameters).unwrap(),
        statistics
    );
    assert_eq!(within.mapv(Element::to_f64), y.mapv(Element::to_f64));
}

#[test]
fn every_rank_and_dtype_trains() {
    let shapes: [&[usize]; 14] = [
        &[9],
        &[700],
        &[6, 4],
        &[37, 3],
        &[301, 5],
        &[40, 600],
        &[3, 2, 11],
        &[40, 30, 7, 7],
        &[2, 3, 20, 30],
        &[2, 5, 3, 9, 31],
        &[3, 2, 2, 2, 2, 3],
        &[1, 2, 300, 250],
        &[5, 1, 2, 2],
        &[2, 600, 2, 2],
    ];
    for (seed, shape) in shapes.into_iter().enumerate() {
        let channels = geometry::channels(shape, true).unwrap();
        let parameters = parameters::<f32, f32>(7, channels);
        let node = node(&Attributes::default());
        let seed = seed as u64;
        check(&node, &normals::<f64>(seed, shape, 0.5, 2.0), &parameters);
        check(&node, &normals::<f32>(seed, shape, 0.5, 2.0), &parameters);
        check(&node, &normals::<f16>(seed, shape, 0.5, 2.0), &parameters);
        check(&node, &normals::<bf16>(seed, shape, 0.5, 2.0), &parameters);
    }
}

#[test]
fn per_activation_statistics_run_over_the_batch_alone() {
    let attributes = Attributes {
        spatial: Some(0),
        ..Attributes::default()
    };
    let node = BatchNorm::new(7, &attributes, 5).unwrap();
    assert_eq!(node.mode, Mode::Training);
    let x = normals::<f32>(3, &[20, 3, 4, 5], 1.0, 3.0);
    check(&node, &x, &parameters::<f32, f32>(5, 60));
}

/// Most channels are summed around zero, which some of them are far from, or seem to be near to.
#[test]
fn channels_far_from_zero_among_others_do_not_cancel() {
    let shapes: [&[usize]; 5] = [
        &[8, 20, 7, 7],
        &[4, 20, 12, 12],
        &[2, 5, 200, 200],
        &[300, 20],
        &[70, 20, 3, 3],
    ];
    for shape in shapes {
        let node = node(&Attributes::default());
        let parameters = parameters::<f32, f32>(7, shape[1]);
        let mut x = normals::<f32>(9, shape, 0.0, 1.0);
        for (index, x) in x.indexed_iter_mut() {
            match index[1] % 5 {
                3 => *x = 1e4 + 1e-2 * *x,
                // Squares beyond f32.
                1 => *x *= 1e25,
                _ => {}
            }
        }
        check(&node, &x, &parameters);
        // All that a few samples tell is wrong.
        let mut x = normals::<f32>(9, shape, 0.0, 1.0);
        for (index, x) in x.indexed_iter_mut() {
            if index[0] % 2 == 1 {
                *x += 9.0;
            }
        }
        check(&node, &x, &parameters);
    }
}

#[test]
fn a_large_mean_does_not_cancel() {
    for shape in [
        &[4, 3, 40, 40][..],
        &[2000, 3],
        &[50, 3, 5, 5],
        &[4096, 512],
    ] {
        let x = normals::<f32>(3, shape, 1e4, 1e-2);
        let channels = shape[1];
        let ones = vec![1.0f32; channels];
        let zeros = vec![0.0f32; channels];
        let parameters = Parameters::new(&ones, &zeros, &zeros, &ones).unwrap();
        let (mean, var) = naive_moments(&x.view(), channels, true);
        // The values themselves are a tenth of a deviation apart.
        assert!(
            var.iter().all(|var| (0.8e-4..1.3e-4).contains(var)),
            "{var:?}"
        );
        let attributes = Attributes {
            epsilon: Some(1e-12),
            ..Attributes::default()
        };
        let (y, statistics) = node(&attributes).train(x.view(), &parameters).unwrap();
        for c in 0..channels {
            relative(statistics.mean[c], mean[c], 1e-15, mean[c]);
            relative(statistics.var[c], var[c], 1e-6, var[c]);
        }
        let batch = Parameters {
            mean,
            var,
            ..parameters
        };
        let expected = naive(&x.view(), &batch, f64::from(1e-12f32), true);
        for (y, expected) in y.iter().zip(&expected) {
            relative(f64::from(*y), *expected, 1e-6, expected.abs() + 0.1);
        }
    }
}

#[test]
fn one_element_per_channel_gives_b() {
    let x = arr2(&[[3.5f32, -1e30, 0.0]]);
    let parameters = Parameters::new(
        &[2.0f32, 2.0, 2.0],
        &[0.5, -1.0, 7.0],
        &[1.0f32; 3],
        &[4.0; 3],
    )
    .unwrap();
    let (y, statistics) = node(&Attributes::default())
        .train(x.view(), &parameters)
        .unwrap();
    assert_eq!(y, arr2(&[[0.5, -1.0, 7.0]]));
    assert_eq!(statistics.mean, [3.5, f64::from(-1e30f32), 0.0]);
    assert_eq!(statistics.var, [0.0; 3]);
    let momentum = f64::from(0.9f32);
    assert_eq!(statistics.running_var, [4.0 * momentum; 3]);
}

#[test]
fn nan_and_infinity_follow_the_definition() {
    for shape in [&[8, 2][..], &[1, 2, 600], &[600, 2], &[2, 2, 3000]] {
        let mut x = normals::<f32>(4, shape, 0.0, 1.0);
        let last: Vec<usize> = shape.iter().map(|n| n - 1).collect();
        for (poison, mean) in [(f32::INFINITY, f64::INFINITY), (f32::NAN, f64::NAN)] {
            x[last.as_slice()] = poison;
            let ones = [1.0f32; 2];
            let parameters = Parameters::new(&ones, &ones, &ones, &ones).unwrap();
            let (y, statistics) = node(&Attributes::default())
                .train(x.view(), &parameters)
                .unwrap();
            assert_eq!(statistics.mean[1].to_bits(), mean.to_bits(), "{shape:?}");
            assert!(statistics.var[1].is_nan());
            assert!(statistics.mean[0].is_finite() && statistics.var[0] > 0.5);
            for (index, y) in y.indexed_iter() {
                assert_eq!(y.is_nan(), index[1] == 1);
            }
        }
    }
}

#[test]
fn outputs_are_found_by_their_meaning() {
    let x = arr1(&[1.0f32, 3.0]);
    let parameters = Parameters::new(&[1.0f32], &[0.0], &[10.0f32], &[20.0]).unwrap();
    let attributes = Attributes {
        momentum: Some(0.75),
        ..Attributes::default()
    };
    let node = BatchNorm::new(9, &attributes, 5).unwrap();
    let (_, statistics) = node.train(x.view(), &parameters).unwrap();
    let outputs: Vec<Option<&[f64]>> = node
        .outputs()
        .iter()
        .map(|&output| statistics.output(output))
        .collect();
    let expected = [8.0, 15.25, 2.0, 1.0].map(|value| Some(vec![value]));
    assert_eq!(outputs[0], None);
    for (found, expected) in outputs[1..].iter().zip(&expected) {
        assert_eq!(*found, expected.as_deref());
    }
}

#[test]
fn a_batch_without_elements_is_an_error() {
    let node = node(&Attributes::default());
    let parameters = parameters::<f32, f32>(1, 3);
    for shape in [[0, 3, 4], [2, 3, 0]] {
        let x = ArrayD::<f32>::zeros(IxDyn(&shape));
        let error = node.train(x.view(), &parameters).unwrap_err();
        assert_eq!(error, BatchNormError::EmptyBatch(shape.to_vec()));
    }
    let x = ArrayD::<f32>::zeros(IxDyn(&[2, 4]));
    let error = node.train(x.view(), &parameters).unwrap_err();
    assert_eq!(
        error.to_string(),
        "scale has 3 elements for 4 channels; make them equal"
    );
}
