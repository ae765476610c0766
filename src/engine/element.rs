//! Element types that the engine computes with, by the standard's numbers (`TensorProto.DataType`).

use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// FLOAT, number 1.
    Float32,
    /// UINT8, number 2.
    UInt8,
    /// INT8, number 3.
    Int8,
    /// UINT16, number 4.
    UInt16,
    /// INT16, number 5.
    Int16,
    /// INT32, number 6.
    Int32,
    /// INT64, number 7.
    Int64,
    /// STRING, number 8.
    String,
    /// BOOL, number 9.
    Bool,
    /// FLOAT16, number 10.
    Float16,
    /// DOUBLE, number 11.
    Float64,
    /// UINT32, number 12.
    UInt32,
    /// UINT64, number 13.
    UInt64,
    /// BFLOAT16, number 16.
    BFloat16,
}

impl ElementType {
    /// The type of the standard's number, or `None` where the engine has no such type.
    pub fn from_onnx(number: i32) -> Option<ElementType> {
        Some(match number {
            1 => ElementType::Float32,
            2 => ElementType::UInt8,
            3 => ElementType::Int8,
            4 => ElementType::UInt16,
            5 => ElementType::Int16,
            6 => ElementType::Int32,
            7 => ElementType::Int64,
            8 => ElementType::String,
            9 => ElementType::Bool,
            10 => ElementType::Float16,
            11 => ElementType::Float64,
            12 => ElementType::UInt32,
            13 => ElementType::UInt64,
            16 => ElementType::BFloat16,
            _ => return None,
        })
    }

    /// The standard's number.
    pub fn to_onnx(self) -> i32 {
        match self {
            ElementType::Float32 => 1,
            ElementType::UInt8 => 2,
            ElementType::Int8 => 3,
            ElementType::UInt16 => 4,
            ElementType::Int16 => 5,
            ElementType::Int32 => 6,
            ElementType::Int64 => 7,
            ElementType::String => 8,
            ElementType::Bool => 9,
            ElementType::Float16 => 10,
            ElementType::Float64 => 11,
            ElementType::UInt32 => 12,
            ElementType::UInt64 => 13,
            ElementType::BFloat16 => 16,
        }
    }

    /// Whether the type is one of the four floating-point types.
    pub fn is_float(self) -> bool {
        self.unit_roundoff().is_some()
    }

    /// Bytes of one element as stored; a string has no fixed size and counts as one pointer.
    pub fn size(self) -> usize {
        match self {
            ElementType::UInt8 | ElementType::Int8 | ElementType::Bool => 1,
            ElementType::UInt16
            | ElementType::Int16
            | ElementType::Float16
            | ElementType::BFloat16 => 2,
            ElementType::Float32 | ElementType::Int32 | ElementType::UInt32 => 4,
            ElementType::Float64
            | ElementType::Int64
            | ElementType::UInt64
            | ElementType::String => 8,
        }
    }

    /// Half the distance from 1 to the next number: the largest relative error of one rounding.
    pub fn unit_roundoff(self) -> Option<f64> {
        match self {
            ElementType::Float64 => Some(f64::EPSILON / 2.0),
            ElementType::Float32 => Some(f64::from(f32::EPSILON) / 2.0),
            ElementType::Float16 => Some(1.0 / 2048.0),
            ElementType::BFloat16 => Some(1.0 / 256.0),
            _ => None,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ElementType::Float32 => "float32",
            ElementType::UInt8 => "uint8",
            ElementType::Int8 => "int8",
            ElementType::UInt16 => "uint16",
            ElementType::Int16 => "int16",
            ElementType::Int32 => "int32",
            ElementType::Int64 => "int64",
            ElementType::String => "string",
            ElementType::Bool => "bool",
            ElementType::Float16 => "float16",
            ElementType::Float64 => "float64",
            ElementType::UInt32 => "uint32",
            ElementType::UInt64 => "uint64",
            ElementType::BFloat16 => "bfloat16",
        })
    }
}
