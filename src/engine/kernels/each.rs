//! Runs one generic body for whatever type a tensor's elements are held in.

use ndarray::LinalgScalar;
use num_traits::Float;

use crate::engine::tensor::Element;

/// A floating-point type that kernels compute in.
pub(in crate::engine) trait Real:
    Float + Element + LinalgScalar + Default + std::ops::AddAssign + std::fmt::Debug
{
    /// The nearest number of this type.
    fn of(number: f64) -> Self;

    /// The error function.
    fn erf(self) -> Self;
}

impl Real for f32 {
    fn of(number: f64) -> f32 {
        number as f32
    }

    fn erf(self) -> f32 {
        libm::erff(self)
    }
}

impl Real for f64 {
    fn of(number: f64) -> f64 {
        number
    }

    fn erf(self) -> f64 {
        libm::erf(self)
    }
}

/// `$body` with `$type` bound to the held floating-point type of `$tensor`; a fault for other types.
macro_rules! for_real {
    ($tensor:expr, $type:ident => $body:expr) => {{
        let held = $tensor.data().element();
        match held {
            $crate::engine::ElementType::Float32 => {
                type $type = f32;
                $body
            }
            $crate::engine::ElementType::Float64 => {
                type $type = f64;
                $body
            }
            other => Err($crate::engine::call::Fault::unsupported(format!(
                "element type {other}"
            ))),
        }
    }};
}

/// Like `for_real`, for every numeric type.
macro_rules! for_number {
    ($tensor:expr, $type:ident => $body:expr) => {{
        use $crate::engine::ElementType as Held;
        let held = $tensor.data().element();
        match held {
            Held::Float32 => {
                type $type = f32;
                $body
            }
            Held::Float64 => {
                type $type = f64;
                $body
            }
            Held::Int8 => {
                type $type = i8;
                $body
            }
            Held::Int16 => {
                type $type = i16;
                $body
            }
            Held::Int32 => {
                type $type = i32;
                $body
            }
            Held::Int64 => {
                type $type = i64;
                $body
            }
            Held::UInt8 => {
                type $type = u8;
                $body
            }
            Held::UInt16 => {
                type $type = u16;
                $body
            }
            Held::UInt32 => {
                type $type = u32;
                $body
            }
            Held::UInt64 => {
                type $type = u64;
                $body
            }
            other => Err($crate::engine::call::Fault::unsupported(format!(
                "element type {other}"
            ))),
        }
    }};
}

/// Like `for_real`, for every type, strings and booleans included.
macro_rules! for_any {
    ($tensor:expr, $type:ident => $body:expr) => {{
        match $tensor.data().element() {
            $crate::engine::ElementType::Bool => {
                type $type = bool;
                $body
            }
            $crate::engine::ElementType::String => {
                type $type = String;
                $body
            }
            _ => $crate::engine::kernels::each::for_number!($tensor, $type => $body),
        }
    }};
}

pub(in crate::engine) use {for_any, for_number, for_real};
