//! Activation functions that a recurrent node names, with their parameters.

use crate::engine::call::Fault;
use crate::engine::kernels::each::Real;
use crate::engine::kernels::unary::clamp;

/// An activation with its parameters.
#[derive(Clone, Copy)]
pub(super) struct Activation<T> {
    apply: fn(T, T, T) -> T,
    alpha: T,
    beta: T,
}

impl<T: Real> Activation<T> {
    pub(super) fn of(&self, x: T) -> T {
        (self.apply)(x, self.alpha, self.beta)
    }

    pub(super) fn named(
        name: &str,
        alpha: Option<f32>,
        beta: Option<f32>,
    ) -> Result<Activation<T>, Fault> {
        let number = |given: Option<f32>, default: f64| T::of(given.map_or(default, f64::from));
        let plain = |apply| Activation {
            apply,
            alpha: T::zero(),
            beta: T::zero(),
        };
        Ok(match name.to_ascii_lowercase().as_str() {
            "sigmoid" => plain(|x, _, _| T::one() / (T::one() + (-x).exp())),
            "tanh" => plain(|x, _, _| x.tanh()),
            "relu" => plain(|x, _, _| if x < T::zero() { T::zero() } else { x }),
            "softsign" => plain(|x, _, _| x / (T::one() + x.abs())),
            "softplus" => plain(|x, _, _| x.exp().ln_1p()),
            "affine" => Activation {
                apply: |x, alpha, beta| alpha * x + beta,
                alpha: number(alpha, 1.0),
                beta: number(beta, 0.0),
            },
            "leakyrelu" => Activation {
                apply: |x, alpha, _| if x < T::zero() { alpha * x } else { x },
                alpha: number(alpha, 0.01),
                beta: T::zero(),
            },
            "thresholdedrelu" => Activation {
                apply: |x, alpha, _| if x < alpha { T::zero() } else { x },
                alpha: number(alpha, 1.0),
                beta: T::zero(),
            },
            "scaledtanh" => Activation {
                apply: |x, alpha, beta| alpha * (beta * x).tanh(),
                alpha: number(alpha, 1.0),
                beta: number(beta, 1.0),
            },
            "hardsigmoid" => Activation {
                apply: |x, alpha, beta| clamp(alpha * x + beta, T::zero(), T::one()),
                alpha: number(alpha, 0.2),
                beta: number(beta, 0.5),
            },
            "elu" => Activation {
                apply: |x, alpha, _| if x < T::zero() { alpha * x.exp_m1() } else { x },
                alpha: number(alpha, 1.0),
                beta: T::zero(),
            },
            other => return Err(Fault::unsupported(format!("activation {other:?}"))),
        })
    }
}
