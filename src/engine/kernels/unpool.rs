//! MaxUnpool: the opposite of MaxPool, by the indices that it gave.
//!
//! Indices count in the extents that the pooling's own attributes give; a wanted shape only adds zeros.

use super::each::for_real;
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::tensor::{Element, Tensor};

pub(super) fn max_unpool(call: &mut Call<'_>) -> Outcome {
    let shape = pooled_from(call)?;
    let wanted = match call.integers(2)? {
        Some(list) => list
            .iter()
            .map(|&extent| usize::try_from(extent).ok())
            .collect(),
        None => Some(shape.clone()),
    };
    let wanted: Vec<usize> =
        wanted.ok_or_else(|| Fault::invalid("its output shape is negative"))?;
    if wanted.len() != shape.len() || wanted.iter().zip(&shape).any(|(want, has)| want < has) {
        let reason = format!("its output shape {wanted:?} does not hold {shape:?}");
        return Err(Fault::invalid(reason));
    }
    call.size(&wanted)?;
    let indices = call.integers(1)?.unwrap_or_default();
    let tensor = call.take(0)?;
    let spread: Result<Tensor, Fault> = for_real!(tensor, T => {
        let numbers: &[T] = tensor.elements().unwrap_or_default();
        spread(numbers, &indices, &shape, &wanted)
    });
    Ok(vec![spread?])
}

/// The extents of what was pooled, as far as the attributes tell.
fn pooled_from(call: &Call<'_>) -> Result<Vec<usize>, Fault> {
    let input = call.input(0)?.shape();
    let missing = || Fault::invalid("it has no kernel_shape");
    let kernel = call.ints("kernel_shape")?.ok_or_else(missing)?;
    let rank = kernel.len();
    let strides = call
        .ints("strides")?
        .map_or_else(|| vec![1; rank], <[i64]>::to_vec);
    let pads = call
        .ints("pads")?
        .map_or_else(|| vec![0; 2 * rank], <[i64]>::to_vec);
    let misfit = || Fault::invalid("its attributes do not fit its input");
    if input.len() != rank + 2 || strides.len() != rank || pads.len() != 2 * rank {
        return Err(misfit());
    }
    let mut shape = input[..2].to_vec();
    for axis in 0..rank {
        let steps = i64::try_from(input[axis + 2]).map_err(|_| misfit())? - 1;
        let grown = steps.checked_mul(strides[axis]).ok_or_else(misfit)?;
        let extent = grown + kernel[axis] - pads[axis] - pads[rank + axis];
        shape.push(usize::try_from(extent).map_err(|_| misfit())?);
    }
    Ok(shape)
}

fn spread<T: Element + Copy + Default>(
    numbers: &[T],
    indices: &[i64],
    shape: &[usize],
    wanted: &[usize],
) -> Result<Tensor, Fault> {
    let mut output = vec![T::default(); wanted.iter().product()];
    let count: usize = shape.iter().product();
    if indices.len() != numbers.len() {
        return Err(Fault::invalid("it has not one index per element"));
    }
    for (&number, &index) in numbers.iter().zip(indices) {
        let index = usize::try_from(index).ok().filter(|&index| index < count);
        let mut rest = index.ok_or_else(|| Fault::invalid("an index is outside its output"))?;
        let (mut place, mut step) = (0, 1);
        for (&extent, &room) in shape.iter().zip(wanted).rev() {
            place += rest % extent * step;
            rest /= extent;
            step *= room;
        }
        output[place] = number;
    }
    Ok(Tensor::new(wanted.to_vec(), output)?)
}

#[cfg(test)]
mod tests {
    use crate::engine::{BuiltIn, Engine, ModelBytes, NoObserver, Precision, Tensor};
    use crate::testing::{DataType, Tensor as Weights, ToBytes, model};

    /// The standard's own example: four numbers, each at the index that it came from.
    fn unpooled(wanted: Option<[i64; 4]>) -> Vec<f64> {
        let bytes = model(|g| {
            let x = g.input("x", [1, 1, 2, 2]);
            let indices = g.typed_input("i", DataType::Int64, [1, 1, 2, 2]);
            let wanted = wanted.map(|shape| g.initializer("s", Weights::ints(&[4], shape)));
            let inputs: Vec<_> = [&x, &indices].into_iter().chain(&wanted).collect();
            let y = g.op("MaxUnpool", &inputs).attr("kernel_shape", [2, 2]);
            y.attr("strides", [2, 2]).shape("1,1,h,w").output("y")
        })
        .to_bytes();
        let engine = BuiltIn::default();
        let mut session = engine
            .load(ModelBytes::new(&bytes), Precision::Double)
            .unwrap();
        let shape = vec![1, 1, 2, 2];
        let x = Tensor::new(shape.clone(), vec![1f32, 2.0, 3.0, 4.0]).unwrap();
        let indices = Tensor::new(shape, vec![5i64, 7, 13, 15]).unwrap();
        let inputs = [("x".to_owned(), x), ("i".to_owned(), indices)];
        session.run(&inputs, &mut NoObserver).unwrap()[0]
            .1
            .to_f64()
            .unwrap()
    }

    #[test]
    fn each_number_returns_to_where_it_came_from() {
        let row = |a: f64, b: f64| [0.0, a, 0.0, b];
        let (zero, first, second) = (row(0.0, 0.0), row(1.0, 2.0), row(3.0, 4.0));
        assert_eq!(unpooled(None), [zero, first, zero, second].concat());
        let wide = |row: [f64; 4]| [row[0], row[1], row[2], row[3], 0.0];
        let rows = [zero, first, zero, second, zero].map(wide);
        assert_eq!(unpooled(Some([1, 1, 5, 5])), rows.concat());
    }
}
