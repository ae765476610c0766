//! Einsum, two operands at a time, as permutations around one batched matrix product.

use super::binary::Arithmetic;
use super::each::for_number;
use super::matmul::matrix_product;
use super::strided::permuted;
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::tensor::Tensor;

/// Two operands at a time: labels are batch, contracted, left only or right only.
pub(super) fn einsum(call: &mut Call<'_>) -> Outcome {
    let equation: String = call
        .text("equation", "")?
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    if equation.contains('.') {
        return Err(Fault::unsupported("an equation with an ellipsis"));
    }
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms.to_owned(), result.to_owned()),
        None => (equation.clone(), implicit_result(&equation)),
    };
    let terms: Vec<Vec<char>> = terms
        .split(',')
        .map(|term| term.chars().collect())
        .collect();
    let result: Vec<char> = result.chars().collect();
    if terms.len() != call.inputs.len() {
        return Err(Fault::invalid(
            "the equation's terms and the inputs differ in number",
        ));
    }
    let mut labelled = Labelled::new(call.input(0)?.clone(), terms[0].clone())?;
    for index in 1..terms.len() {
        let other = Labelled::new(call.input(index)?.clone(), terms[index].clone())?;
        let is_needed = |label: &char| {
            result.contains(label) || terms[index + 1..].iter().any(|t| t.contains(label))
        };
        labelled = labelled.contract(other, is_needed, call)?;
    }
    let summed = labelled.summed(&|label| result.contains(label), call)?;
    Ok(vec![summed.ordered(&result)?])
}

/// Labels that appear once, in alphabetical order.
fn implicit_result(terms: &str) -> String {
    let mut labels: Vec<char> = terms.chars().filter(|c| *c != ',').collect();
    labels.sort_unstable();
    let once = |c: &&char| terms.matches(**c).count() == 1;
    labels.iter().filter(once).collect()
}

struct Labelled {
    tensor: Tensor,
    labels: Vec<char>,
}

impl Labelled {
    fn new(tensor: Tensor, labels: Vec<char>) -> Result<Labelled, Fault> {
        if tensor.rank() != labels.len() {
            return Err(Fault::invalid("a term and its input differ in rank"));
        }
        if labels
            .iter()
            .enumerate()
            .any(|(i, label)| labels[..i].contains(label))
        {
            return Err(Fault::unsupported("an equation with a diagonal"));
        }
        Ok(Labelled { tensor, labels })
    }

    fn extent(&self, label: char) -> usize {
        let at = self.labels.iter().position(|&l| l == label);
        at.map_or(1, |at| self.tensor.shape()[at])
    }

    fn ordered(&self, labels: &[char]) -> Result<Tensor, Fault> {
        let place = |label: &char| self.labels.iter().position(|l| l == label);
        let order: Option<Vec<usize>> = labels.iter().map(place).collect();
        permuted(
            &self.tensor,
            &order.ok_or_else(|| Fault::invalid("a label is unknown"))?,
        )
    }

    /// Sums over labels that nobody needs any more.
    fn summed(self, needed: &dyn Fn(&char) -> bool, call: &Call<'_>) -> Result<Labelled, Fault> {
        let (kept, gone): (Vec<char>, Vec<char>) = self.labels.iter().partition(|l| needed(l));
        if gone.is_empty() {
            return Ok(self);
        }
        let rows = self.ordered(&[&kept[..], &gone[..]].concat())?;
        let length = gone.iter().map(|&label| self.extent(label)).product();
        let shape: Vec<usize> = kept.iter().map(|&label| self.extent(label)).collect();
        let count = call.size(&shape)?;
        let matrix = rows.reshaped(vec![count, length])?;
        let ones = for_number!(matrix, T => {
            Ok::<_, Fault>(Tensor::new(vec![length], vec![T::from_f64(1.0); length])?)
        })?;
        let tensor = matrix_product(call, &matrix, &ones)?.reshaped(shape)?;
        Ok(Labelled {
            tensor,
            labels: kept,
        })
    }

    fn contract(
        self,
        other: Labelled,
        needed: impl Fn(&char) -> bool,
        call: &Call<'_>,
    ) -> Result<Labelled, Fault> {
        let left = self.labels.clone();
        let right = other.labels.clone();
        let a = self.summed(&|label| needed(label) || right.contains(label), call)?;
        let b = other.summed(&|label| needed(label) || left.contains(label), call)?;
        let shared = |label: &&char| b.labels.contains(label);
        let batch: Vec<char> = a
            .labels
            .iter()
            .filter(shared)
            .filter(|l| needed(l))
            .copied()
            .collect();
        let inner: Vec<char> = a
            .labels
            .iter()
            .filter(shared)
            .filter(|l| !needed(l))
            .copied()
            .collect();
        let rows: Vec<char> = a
            .labels
            .iter()
            .filter(|l| !b.labels.contains(l))
            .copied()
            .collect();
        let columns: Vec<char> = b
            .labels
            .iter()
            .filter(|l| !a.labels.contains(l))
            .copied()
            .collect();
        let size = |labels: &[char], of: &Labelled| -> usize {
            labels.iter().map(|&label| of.extent(label)).product()
        };
        let (n_batch, m, k, n) = (
            size(&batch, &a),
            size(&rows, &a),
            size(&inner, &a),
            size(&columns, &b),
        );
        let lhs = a
            .ordered(&[&batch[..], &rows, &inner].concat())?
            .reshaped(vec![n_batch, m, k])?;
        let rhs = b
            .ordered(&[&batch[..], &inner, &columns].concat())?
            .reshaped(vec![n_batch, k, n])?;
        let extents = |labels: &[char], of: &Labelled| -> Vec<usize> {
            labels.iter().map(|&label| of.extent(label)).collect()
        };
        let shape = [
            extents(&batch, &a),
            extents(&rows, &a),
            extents(&columns, &b),
        ]
        .concat();
        let tensor = matrix_product(call, &lhs, &rhs)?.reshaped(shape)?;
        Ok(Labelled {
            tensor,
            labels: [batch, rows, columns].concat(),
        })
    }
}
