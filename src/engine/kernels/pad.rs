//! Pad in every mode, with negative pads that cut, and the other operators that pick by position.

use super::each::for_any;
use super::gather::advance;
use super::strided::strides;
use crate::engine::call::{Call, Fault, Outcome, axis};
use crate::engine::tensor::{Element, Tensor};

/// Pads and value are attributes up to opset 10, inputs from opset 11; `axes` is an input from opset 18.
pub(super) fn pad(call: &mut Call<'_>) -> Outcome {
    let x = call.input(0)?;
    let rank = x.rank();
    let listed = match call.integers(1)? {
        Some(list) => list,
        None => {
            let list = call.ints("pads")?.or(call.ints("paddings")?);
            list.ok_or_else(|| Fault::invalid("pads is missing"))?
                .to_vec()
        }
    };
    let along = match call.integers(3)? {
        Some(list) => list
            .iter()
            .map(|&a| axis(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if listed.len() != 2 * along.len() {
        return Err(Fault::invalid(format!(
            "pads {listed:?} do not fit the axes"
        )));
    }
    let mut before = vec![0i64; rank];
    let mut shape = x.shape().to_vec();
    for (index, &at) in along.iter().enumerate() {
        let (first, last) = (listed[index], listed[along.len() + index]);
        let extent = (shape[at] as i64)
            .checked_add(first)
            .and_then(|x| x.checked_add(last));
        let extent = extent.and_then(|x| usize::try_from(x).ok());
        shape[at] = extent.ok_or_else(|| Fault::invalid("pads cut more than there is"))?;
        before[at] = first;
    }
    let size = call.size(&shape)?;
    let mode = Mode::read(call.text("mode", "constant")?)?;
    for_any!(x, T => {
        let fill = fill_value::<T>(call)?;
        let out = padded(call.elements::<T>(0)?, x.shape(), &shape, &before, mode, fill, size)?;
        Ok(vec![Tensor::new(shape, out)?])
    })
}

fn fill_value<T: Element + Default>(call: &Call<'_>) -> Result<T, Fault> {
    if let Some(tensor) = call.optional(2) {
        let element = tensor.elements::<T>().and_then(|list| list.first());
        return element
            .cloned()
            .ok_or_else(|| Fault::invalid("the value's type is not the data's"));
    }
    let value = Tensor::scalar(call.float("value", 0.0)?).with_floats_as(T::TYPE);
    Ok(value
        .elements::<T>()
        .and_then(|list| list.first().cloned())
        .unwrap_or_default())
}

#[derive(Clone, Copy)]
enum Mode {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

impl Mode {
    fn read(name: &str) -> Result<Mode, Fault> {
        Ok(match name {
            "constant" => Mode::Constant,
            "reflect" => Mode::Reflect,
            "edge" => Mode::Edge,
            "wrap" => Mode::Wrap,
            other => return Err(Fault::invalid(format!("mode is {other:?}"))),
        })
    }

    /// The input index that index `at` (which may lie outside) stands for.
    fn source(self, at: i64, extent: usize) -> Option<usize> {
        let count = extent as i64;
        if (0..count).contains(&at) {
            return Some(at as usize);
        }
        let inside = match self {
            Mode::Constant => return None,
            _ if count == 0 => return None,
            Mode::Edge => at.clamp(0, count - 1),
            Mode::Wrap => at.rem_euclid(count),
            Mode::Reflect if count == 1 => 0,
            Mode::Reflect => {
                let period = 2 * (count - 1);
                let within = at.rem_euclid(period);
                within.min(period - within)
            }
        };
        Some(inside as usize)
    }
}

fn padded<T: Element>(
    source: &[T],
    input: &[usize],
    output: &[usize],
    before: &[i64],
    mode: Mode,
    fill: T,
    size: usize,
) -> Result<Vec<T>, Fault> {
    let along = |(at, &extent): (usize, &usize)| -> Vec<Option<usize>> {
        (0..extent as i64)
            .map(|index| mode.source(index - before[at], input[at]))
            .collect()
    };
    let tables: Vec<Vec<Option<usize>>> = output.iter().enumerate().map(along).collect();
    let steps = strides(input);
    let Some((last, outer)) = tables.split_last() else {
        return Ok(source.to_vec());
    };
    let mut out = Vec::with_capacity(size);
    let mut counter = vec![0usize; outer.len()];
    let n_rows: usize = output[..outer.len()].iter().product();
    for _ in 0..n_rows {
        let mut base = Some(0usize);
        for (at, &index) in counter.iter().enumerate() {
            base = base
                .zip(outer[at][index])
                .map(|(base, place)| base + place * steps[at] as usize);
        }
        for place in last {
            let value = base
                .zip(*place)
                .and_then(|(base, place)| source.get(base + place));
            out.push(value.unwrap_or(&fill).clone());
        }
        advance(&mut counter, &output[..outer.len()]);
    }
    Ok(out)
}

/// Keeps the upper or lower triangle of the last two axes.
pub(super) fn trilu(call: &mut Call<'_>) -> Outcome {
    let is_upper = call.int("upper", 1)? != 0;
    let k = call
        .integers(1)?
        .and_then(|list| list.first().copied())
        .unwrap_or(0);
    let tensor = call.take(0)?;
    let shape = tensor.shape().to_vec();
    let [.., rows, columns] = shape[..] else {
        return Err(Fault::invalid("the input is not of rank 2 or more"));
    };
    for_any!(tensor, T => {
        let mut out = tensor.into_elements::<T>().map_err(|_| Fault::unsupported("this type"))?;
        for (index, element) in out.iter_mut().enumerate() {
            let (row, column) = ((index / columns % rows) as i64, (index % columns) as i64);
            let offset = column - row;
            if if is_upper { offset < k } else { offset > k } {
                *element = T::default();
            }
        }
        Ok(vec![Tensor::new(shape, out)?])
    })
}

/// Reverses each batch item's sequence up to its length.
pub(super) fn reverse_sequence(call: &mut Call<'_>) -> Outcome {
    let tensor = call.input(0)?;
    let time = axis(call.int("time_axis", 0)?, tensor.rank())?;
    let batch = axis(call.int("batch_axis", 1)?, tensor.rank())?;
    let lengths = call
        .integers(1)?
        .ok_or_else(|| Fault::invalid("sequence_lens is missing"))?;
    let is_fine = |&length: &i64| length >= 0 && length <= tensor.shape()[time] as i64;
    if lengths.len() != tensor.shape()[batch] || !lengths.iter().all(is_fine) || time == batch {
        return Err(Fault::invalid("sequence_lens does not fit the input"));
    }
    let steps = strides(tensor.shape());
    for_any!(tensor, T => {
        let source = call.elements::<T>(0)?;
        let mut counter = vec![0usize; tensor.rank()];
        let mut out = Vec::with_capacity(source.len());
        for index in 0..source.len() {
            let (step, length) = (counter[time], lengths[counter[batch]] as usize);
            let from = if step < length { length - 1 - step } else { step };
            let shift = (from as isize - step as isize) * steps[time];
            out.push(T::clone(&source[(index as isize + shift) as usize]));
            advance(&mut counter, tensor.shape());
        }
        Ok(vec![Tensor::new(tensor.shape().to_vec(), out)?])
    })
}
