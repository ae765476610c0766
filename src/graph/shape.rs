//! A light shape inference over what the planner asks: ranks, static extents, and which extents are the same.
//!
//! An extent is a number or a symbol; equal symbols are equal extents, which lets a Reshape whose target is
//! computed from Shape nodes be followed at planning time.
//! Declared shapes (value_info) fill what inference cannot tell; where the two disagree, inference holds.
//! Operators that no rule walks through give unknown shapes unless the file declares them.

mod infer;
mod window;

use std::collections::HashMap;
use std::rc::Rc;

use super::{Graph, ValueId};
use crate::onnx::proto::type_proto::Value as TypeValue;
use crate::onnx::proto::{TypeProto, tensor_shape_proto::dimension::Value as DimValue};

pub(crate) use infer::{axes, axis, cuts, split_extents};
pub(super) use infer::{infer, node as infer_node};
pub(crate) use window::Window;

/// An extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A number.
    Known(usize),
    /// Unknown; equal symbols stand for equal extents.
    Symbol(u32),
}

impl Dim {
    /// The number, if it is one.
    pub fn known(self) -> Option<usize> {
        match self {
            Dim::Known(extent) => Some(extent),
            Dim::Symbol(_) => None,
        }
    }
}

/// The extents of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// A shape of numbers.
    pub fn known(dims: &[usize]) -> Shape {
        Shape(dims.iter().map(|&extent| Dim::Known(extent)).collect())
    }

    /// How many axes there are.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The extent along an axis, if it is a number.
    pub fn extent(&self, axis: usize) -> Option<usize> {
        self.0.get(axis).and_then(|dim| dim.known())
    }

    /// All extents, if all are numbers.
    pub fn numbers(&self) -> Option<Vec<usize>> {
        self.0.iter().map(|dim| dim.known()).collect()
    }
}

/// Hands out symbols.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    next: u32,
    named: HashMap<String, u32>,
}

impl Symbols {
    /// A symbol that stands for nothing else.
    pub fn fresh(&mut self) -> Dim {
        self.next += 1;
        Dim::Symbol(self.next)
    }

    fn named(&mut self, name: &str) -> Dim {
        if let Some(&symbol) = self.named.get(name) {
            return Dim::Symbol(symbol);
        }
        let Dim::Symbol(symbol) = self.fresh() else {
            unreachable!("a fresh extent is a symbol");
        };
        self.named.insert(name.to_owned(), symbol);
        Dim::Symbol(symbol)
    }
}

/// A tensor type as the file declares it.
#[derive(Debug)]
pub(super) struct Declared {
    data_type: i32,
    dims: Option<Vec<Option<DimValue>>>,
}

impl Declared {
    pub(super) fn read(ty: &TypeProto) -> Option<Declared> {
        let Some(TypeValue::TensorType(tensor)) = &ty.value else {
            return None;
        };
        let dims = tensor.shape.as_ref();
        Some(Declared {
            data_type: tensor.elem_type.unwrap_or(0),
            dims: dims.map(|shape| shape.dim.iter().map(|dim| dim.value.clone()).collect()),
        })
    }
}

impl Graph<'_> {
    pub(super) fn declare(&mut self, id: ValueId, declared: &Declared) {
        let dims = declared.dims.as_ref().map(|dims| {
            let symbols = &mut self.symbols;
            let dims = dims.iter().map(|dim| match dim {
                Some(DimValue::DimValue(extent)) if *extent >= 0 => Dim::Known(*extent as usize),
                Some(DimValue::DimParam(name)) if !name.is_empty() => symbols.named(name),
                _ => symbols.fresh(),
            });
            Rc::new(Shape(dims.collect()))
        });
        let value = self.value_mut(id);
        if value.data_type == 0 {
            value.data_type = declared.data_type;
        }
        if value.shape.is_none() {
            value.shape = dims;
        }
    }

    /// Inference's word, completed by the declaration's.
    fn settle(&mut self, id: ValueId, inferred: Vec<Dim>) {
        let declared = self.value(id).shape.clone();
        let dims = match declared {
            Some(declared) if declared.rank() == inferred.len() => {
                let both = inferred.iter().zip(&declared.0);
                both.map(|(inferred, declared)| match (inferred, declared) {
                    (Dim::Symbol(_), Dim::Known(_)) => *declared,
                    _ => *inferred,
                })
                .collect()
            }
            _ => inferred,
        };
        self.value_mut(id).shape = Some(Rc::new(Shape(dims)));
    }
}

/// The shape that two shapes broadcast to, aligned at the last axis.
pub(super) fn broadcast(a: &[Dim], b: &[Dim], symbols: &mut Symbols) -> Vec<Dim> {
    let rank = a.len().max(b.len());
    let at = |dims: &[Dim], i: usize| match (i + dims.len()).checked_sub(rank) {
        Some(axis) => dims[axis],
        None => Dim::Known(1),
    };
    let dims = (0..rank).map(|i| match (at(a, i), at(b, i)) {
        (x, y) if x == y => x,
        (Dim::Known(1), y) => y,
        (x, Dim::Known(1)) => x,
        (Dim::Known(x), _) => Dim::Known(x),
        (_, Dim::Known(y)) => Dim::Known(y),
        _ => symbols.fresh(),
    });
    dims.collect()
}

/// The extents of Reshape's output (opset 5 and later: 0 copies unless `allow_zero`, one −1 is what remains).
pub(super) fn reshaped(
    input: Option<&[Dim]>,
    target: &[Dim],
    allow_zero: bool,
    infer_at: Option<usize>,
    symbols: &mut Symbols,
) -> Vec<Dim> {
    let mut dims: Vec<Dim> = target
        .iter()
        .enumerate()
        .map(|(axis, &dim)| match dim {
            Dim::Known(0) if !allow_zero => input
                .and_then(|input| input.get(axis).copied())
                .unwrap_or_else(|| symbols.fresh()),
            _ => dim,
        })
        .collect();
    if let Some(axis) = infer_at {
        let others: Vec<Dim> = (0..dims.len())
            .filter(|&i| i != axis)
            .map(|i| dims[i])
            .collect();
        dims[axis] = input
            .and_then(|input| quotient(input, &others))
            .unwrap_or_else(|| symbols.fresh());
    }
    dims
}

/// `Π dividend / Π divisor` where it is a number or a single symbol.
fn quotient(dividend: &[Dim], divisor: &[Dim]) -> Option<Dim> {
    let mut symbols: Vec<Dim> = dividend
        .iter()
        .copied()
        .filter(|dim| dim.known().is_none())
        .collect();
    for dim in divisor.iter().filter(|dim| dim.known().is_none()) {
        let found = symbols.iter().position(|symbol| symbol == dim)?;
        symbols.swap_remove(found);
    }
    let product = |dims: &[Dim]| {
        dims.iter()
            .filter_map(|dim| dim.known())
            .try_fold(1usize, usize::checked_mul)
    };
    let (above, below) = (product(dividend)?, product(divisor)?);
    if below == 0 || above % below != 0 {
        return None;
    }
    match (&symbols[..], above / below) {
        ([], number) => Some(Dim::Known(number)),
        ([symbol], 1) => Some(*symbol),
        _ => None,
    }
}
