//! The elements of a tensor, of any type.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};

use super::element::ElementType;

/// Row-major elements of one type, shared between clones.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Data {
    /// float32.
    F32(Arc<Vec<f32>>),
    /// float64.
    F64(Arc<Vec<f64>>),
    /// float16, at the engine's border only.
    F16(Arc<Vec<f16>>),
    /// bfloat16, at the engine's border only.
    BF16(Arc<Vec<bf16>>),
    /// int8.
    I8(Arc<Vec<i8>>),
    /// int16.
    I16(Arc<Vec<i16>>),
    /// int32.
    I32(Arc<Vec<i32>>),
    /// int64.
    I64(Arc<Vec<i64>>),
    /// uint8.
    U8(Arc<Vec<u8>>),
    /// uint16.
    U16(Arc<Vec<u16>>),
    /// uint32.
    U32(Arc<Vec<u32>>),
    /// uint64.
    U64(Arc<Vec<u64>>),
    /// bool.
    Bool(Arc<Vec<bool>>),
    /// string.
    String(Arc<Vec<String>>),
}

/// A Rust type that tensors hold.
pub trait Element: Clone + Send + Sync + 'static {
    /// Its element type.
    const TYPE: ElementType;

    /// Wraps elements of this type.
    fn wrap(elements: Arc<Vec<Self>>) -> Data;

    /// The elements, if they are of this type.
    fn peek(data: &Data) -> Option<&Arc<Vec<Self>>>;

    /// The elements, if they are of this type; `Err` gives the data back.
    fn unwrap(data: Data) -> Result<Arc<Vec<Self>>, Data>;
}

macro_rules! elements {
    ($($rust:ty => $variant:ident, $element:ident;)*) => {
        $(impl Element for $rust {
            const TYPE: ElementType = ElementType::$element;

            fn wrap(elements: Arc<Vec<Self>>) -> Data {
                Data::$variant(elements)
            }

            fn peek(data: &Data) -> Option<&Arc<Vec<Self>>> {
                match data {
                    Data::$variant(elements) => Some(elements),
                    _ => None,
                }
            }

            fn unwrap(data: Data) -> Result<Arc<Vec<Self>>, Data> {
                match data {
                    Data::$variant(elements) => Ok(elements),
                    other => Err(other),
                }
            }
        })*

        impl Data {
            /// The type the elements are held in.
            pub fn element(&self) -> ElementType {
                match self {
                    $(Data::$variant(_) => ElementType::$element,)*
                }
            }

            /// How many elements there are.
            pub fn len(&self) -> usize {
                match self {
                    $(Data::$variant(elements) => elements.len(),)*
                }
            }

            /// A copy of some elements, if there are so many.
            pub(super) fn part(&self, range: Range<usize>) -> Option<Data> {
                match self {
                    $(Data::$variant(elements) => {
                        Some(Data::$variant(Arc::new(elements.get(range)?.to_vec())))
                    })*
                }
            }
        }
    };
}

elements! {
    f32 => F32, Float32;
    f64 => F64, Float64;
    f16 => F16, Float16;
    bf16 => BF16, BFloat16;
    i8 => I8, Int8;
    i16 => I16, Int16;
    i32 => I32, Int32;
    i64 => I64, Int64;
    u8 => U8, UInt8;
    u16 => U16, UInt16;
    u32 => U32, UInt32;
    u64 => U64, UInt64;
    bool => Bool, Bool;
    String => String, String;
}

impl Data {
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the elements to a digest, floats bit by bit.
    pub(super) fn digest(&self, state: &mut impl Hasher) {
        macro_rules! digest {
            ($($variant:ident)*) => {
                match self {
                    $(Data::$variant(numbers) => {
                        numbers.iter().for_each(|x| state.write(&x.to_ne_bytes()));
                    })*
                    Data::Bool(flags) => flags.hash(state),
                    Data::String(strings) => strings.hash(state),
                }
            };
        }
        digest!(F32 F64 F16 BF16 I8 I16 I32 I64 U8 U16 U32 U64);
    }
}
