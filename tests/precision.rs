//! Folded weights and biases are within one half-ulp of the exact value: float64 arithmetic, rounded once.
//!
//! The oracle is double-double arithmetic (about 106 bits), written here from the formulas alone.

use bnfold::onnx::proto::{ModelProto, TensorProto};
use bnfold::testing::{DataType, Tensor, model};

mod support;

/// An unevaluated sum of two floats.
#[derive(Clone, Copy, Debug)]
struct Double(f64, f64);

impl Double {
    fn sum(a: f64, b: f64) -> Double {
        let s = a + b;
        let bb = s - a;
        Double(s, (a - (s - bb)) + (b - bb))
    }

    fn add(self, other: Double) -> Double {
        let Double(s, e) = Double::sum(self.0, other.0);
        Double::sum(s, e + self.1 + other.1)
    }

    fn mul(self, other: Double) -> Double {
        let p = self.0 * other.0;
        let e = self.0.mul_add(other.0, -p);
        Double::sum(p, e + self.0 * other.1 + self.1 * other.0)
    }

    fn recip_sqrt(self) -> Double {
        // One Newton step from the float64 value doubles the digits: r' = r + r·(1 − x·r²)/2.
        let r = Double(1.0 / self.0.sqrt(), 0.0);
        let Double(hi, lo) = self.mul(r.mul(r));
        let rest = Double(1.0, 0.0).add(Double(-hi, -lo));
        r.add(r.mul(rest).mul(Double(0.5, 0.0)))
    }
}

fn half_ulp(dtype: DataType, exact: f64) -> f64 {
    let (digits, smallest) = match dtype {
        DataType::Float16 => (11, -14),
        DataType::Bfloat16 => (8, -126),
        _ => (24, -126),
    };
    let exponent = (exact.abs().log2().floor() as i32).max(smallest);
    2f64.powi(exponent - digits)
}

fn tensor<'m>(model: &'m ModelProto, name: &str) -> &'m TensorProto {
    let graph = model.graph.as_ref().expect("a graph");
    graph
        .initializer
        .iter()
        .find(|tensor| tensor.name() == name)
        .unwrap_or_else(|| panic!("{name} is there"))
}

fn elements(model: &ModelProto, name: &str) -> Vec<f64> {
    Tensor::from_proto(tensor(model, name))
        .expect("a tensor")
        .data
}

#[test]
fn folded_weights_and_biases_are_within_one_half_ulp() {
    for dtype in [DataType::Float, DataType::Float16, DataType::Bfloat16] {
        let mut worst: f64 = 0.0;
        for seed in 0..40 {
            let original = model(|g| {
                g.dtype(dtype).seed(seed);
                g.input("x", [1, 8, 6, 6])
                    .conv(16)
                    .kernel([3, 3])
                    .bias()
                    .batch_norm()
                    .negative_scales()
                    .relu()
                    .output("y")
            });
            let (text, folded) = support::folded_with(&original, &Default::default());
            assert_eq!(text, "bn_0 -> conv_0 output");
            let of = |name: &str| elements(&original, name);
            let (w, b) = (of("conv_0.W"), of("conv_0.B"));
            let (scale, shift, mean, var) = (
                of("bn_0.scale"),
                of("bn_0.B"),
                of("bn_0.mean"),
                of("bn_0.var"),
            );
            let (new_w, new_b) = (elements(&folded, "conv_0.W"), elements(&folded, "conv_0.B"));
            for m in 0..16 {
                let root = Double::sum(var[m], f64::from(1e-5f32)).recip_sqrt();
                let s = Double(scale[m], 0.0).mul(root);
                let t = Double(b[m], 0.0)
                    .add(Double(-mean[m], 0.0))
                    .mul(s)
                    .add(Double(shift[m], 0.0));
                for i in m * 72..(m + 1) * 72 {
                    let exact = Double(w[i], 0.0).mul(s);
                    let error = Double(new_w[i], 0.0)
                        .add(Double(-exact.0, -exact.1))
                        .0
                        .abs();
                    worst = worst.max(error / half_ulp(dtype, exact.0));
                }
                let error = Double(new_b[m], 0.0).add(Double(-t.0, -t.1)).0.abs();
                worst = worst.max(error / half_ulp(dtype, t.0));
            }
        }
        // Double rounding can add what float64 itself is off by, far below one half-ulp of these types.
        assert!(worst <= 1.0 + 1e-3, "{dtype:?}: {worst} half-ulps");
        assert!(
            worst > 0.9,
            "{dtype:?}: {worst}: the test sees the rounding"
        );
    }
}

#[test]
fn a_shift_in_front_of_a_weight_is_summed_to_one_half_ulp() {
    for dtype in [DataType::Float, DataType::Float16, DataType::Bfloat16] {
        let mut worst: f64 = 0.0;
        for seed in 0..40 {
            let original = model(|g| {
                g.dtype(dtype).seed(seed);
                g.input("x", [2, 64])
                    .sigmoid()
                    .batch_norm()
                    .negative_scales()
                    .linear(8)
                    .output("y")
            });
            let (text, folded) = support::folded_with(&original, &Default::default());
            assert_eq!(text, "bn_0 -> gemm_0 input");
            let of = |name: &str| elements(&original, name);
            let (w, c) = (of("gemm_0.B"), of("gemm_0.C"));
            let (scale, shift, mean, var) = (
                of("bn_0.scale"),
                of("bn_0.B"),
                of("bn_0.mean"),
                of("bn_0.var"),
            );
            let new_c = elements(&folded, "gemm_0.C");
            for n in 0..8 {
                let mut sum = Double(c[n], 0.0);
                for k in 0..64 {
                    let root = Double::sum(var[k], f64::from(1e-5f32)).recip_sqrt();
                    let s = Double(scale[k], 0.0).mul(root);
                    let t = Double(shift[k], 0.0).add(Double(-mean[k], 0.0).mul(s));
                    sum = sum.add(Double(w[n * 64 + k], 0.0).mul(t));
                }
                let error = Double(new_c[n], 0.0).add(Double(-sum.0, -sum.1)).0.abs();
                worst = worst.max(error / half_ulp(dtype, sum.0));
            }
        }
        assert!(worst <= 1.0 + 1e-3, "{dtype:?}: {worst} half-ulps");
    }
}
