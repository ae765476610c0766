//! ConvTranspose: columns = Wᵀ · x, then each tap's row is added where it falls.
//!
//! Weight (C, M/g, k…); output channel group·(M/g) + j.

use ndarray::{ArrayView2, ArrayViewMut2};
use num_traits::Zero;

use super::conv::Parts;
use super::each::{Real, for_real};
use super::gather::advance;
use super::product::matrix_multiply;
use super::strided::strides;
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::tensor::Tensor;

struct Geometry {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    pads_before: Vec<isize>,
    input: Vec<usize>,
    output: Vec<usize>,
}

pub(super) fn conv_transpose(call: &mut Call<'_>) -> Outcome {
    let parts = Parts::read(call)?;
    let c = parts.x.shape()[1];
    let channels = parts.w.shape()[1] * parts.group;
    if parts.w.shape()[0] != c || c % parts.group != 0 {
        let (x, w, group) = (parts.x.shape(), parts.w.shape(), parts.group);
        return Err(Fault::invalid(format!(
            "input {x:?}, weight {w:?} and group {group} do not fit"
        )));
    }
    parts.check_bias(channels)?;
    let geometry = geometry(call, &parts)?;
    let shape = [&[parts.x.shape()[0], channels], &geometry.output[..]].concat();
    let size = call.size(&shape)?;
    for_real!(parts.x, T => {
        let mut out = vec![T::zero(); size];
        run::<T>(call, &parts, &geometry, &mut out)?;
        Ok(vec![Tensor::new(shape, out)?])
    })
}

/// With `output_shape` the padding follows from it, the odd element before unless `SAME_UPPER`.
fn geometry(call: &Call<'_>, parts: &Parts<'_>) -> Result<Geometry, Fault> {
    let input = parts.x.shape()[2..].to_vec();
    let rank = input.len();
    let list = |name: &str, default: i64, length: usize| -> Result<Vec<i64>, Fault> {
        let list = call
            .ints(name)?
            .map_or_else(|| vec![default; length], <[i64]>::to_vec);
        let is_fine = list.len() == length && list.iter().all(|x| x.abs() < 1 << 40);
        let invalid = || Fault::invalid(format!("attribute {name} is {list:?}"));
        if is_fine { Ok(list) } else { Err(invalid()) }
    };
    let (strides, dilations) = (list("strides", 1, rank)?, list("dilations", 1, rank)?);
    if strides.iter().chain(&dilations).any(|&x| x < 1) {
        return Err(Fault::invalid("strides or dilations are not positive"));
    }
    let extra = list("output_padding", 0, rank)?;
    let pads = list("pads", 0, 2 * rank)?;
    let auto_pad = call.text("auto_pad", "NOTSET")?;
    let is_same = auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER";
    let wanted = match call.ints("output_shape")? {
        // Some exporters list batch and channels too.
        Some(list) if list.len() >= rank => Some(list[list.len() - rank..].to_vec()),
        Some(_) => return Err(Fault::invalid("output_shape is too short")),
        None if is_same => Some((0..rank).map(|at| input[at] as i64 * strides[at]).collect()),
        None => None,
    };
    let (mut output, mut before) = (Vec::with_capacity(rank), Vec::with_capacity(rank));
    for at in 0..rank {
        let span = (parts.kernel[at] as i64 - 1) * dilations[at] + 1;
        let full = strides[at] * (input[at] as i64 - 1) + extra[at] + span;
        let (extent, pad) = match &wanted {
            Some(wanted) => {
                let total = (full - wanted[at]).max(0);
                let small = total / 2;
                (
                    wanted[at],
                    if auto_pad == "SAME_UPPER" {
                        small
                    } else {
                        total - small
                    },
                )
            }
            None if auto_pad == "VALID" => (full, 0),
            None => (full - pads[at] - pads[rank + at], pads[at]),
        };
        let extent = usize::try_from(extent);
        output.push(extent.map_err(|_| Fault::invalid("the output has a negative extent"))?);
        before.push(pad as isize);
    }
    let unsigned = |list: Vec<i64>| list.into_iter().map(|x| x as usize).collect();
    Ok(Geometry {
        kernel: parts.kernel.clone(),
        strides: unsigned(strides),
        dilations: unsigned(dilations),
        pads_before: before,
        input,
        output,
    })
}

fn run<T: Real>(
    call: &Call<'_>,
    parts: &Parts<'_>,
    geometry: &Geometry,
    out: &mut [T],
) -> Result<(), Fault> {
    let (x, w) = (call.elements::<T>(0)?, call.elements::<T>(1)?);
    let (c, m) = (parts.w.shape()[0] / parts.group, parts.w.shape()[1]);
    let taps: usize = geometry.kernel.iter().product();
    let places: usize = geometry.output.iter().product();
    let plane: usize = geometry.input.iter().product();
    if places == 0 || m == 0 {
        return Ok(());
    }
    if parts.bias.is_some() {
        let bias = call.elements::<T>(2)?;
        for (channel, row) in out.chunks_mut(places).enumerate() {
            row.fill(bias[channel % bias.len()]);
        }
    }
    let targets = targets(geometry);
    let mut columns = vec![T::zero(); m * taps * plane];
    for (index, out) in out.chunks_mut(m * places).enumerate() {
        let group = index % parts.group;
        let x = &x[index * c * plane..(index + 1) * c * plane];
        let w = &w[group * c * m * taps..(group + 1) * c * m * taps];
        let views = (
            ArrayView2::from_shape((c, m * taps), w),
            ArrayView2::from_shape((c, plane), x),
            ArrayViewMut2::from_shape((m * taps, plane), &mut columns),
        );
        if let (Ok(w), Ok(x), Ok(mut columns)) = views {
            matrix_multiply(&w.t(), &x, T::zero(), &mut columns);
        }
        for (line, row) in columns.chunks(plane.max(1)).enumerate() {
            let out = &mut out[(line / taps) * places..(line / taps + 1) * places];
            for &(from, to) in &targets[line % taps] {
                out[to] += row[from];
            }
        }
    }
    Ok(())
}

/// For each tap, the pairs (input position, output position) that it joins.
fn targets(geometry: &Geometry) -> Vec<Vec<(usize, usize)>> {
    let steps = strides(&geometry.output);
    let plane: usize = geometry.input.iter().product();
    let mut tap = vec![0usize; geometry.kernel.len()];
    let mut all = Vec::new();
    for _ in 0..geometry.kernel.iter().product() {
        let mut pairs = Vec::with_capacity(plane);
        let mut place = vec![0usize; geometry.input.len()];
        for from in 0..plane {
            let mut to = Some(0isize);
            for at in 0..place.len() {
                let offset =
                    (place[at] * geometry.strides[at] + tap[at] * geometry.dilations[at]) as isize;
                let along = offset - geometry.pads_before[at];
                let is_inside = along >= 0 && along < geometry.output[at] as isize;
                to = to.filter(|_| is_inside).map(|to| to + along * steps[at]);
            }
            if let Some(to) = to {
                pairs.push((from, to as usize));
            }
            advance(&mut place, &geometry.input);
        }
        all.push(pairs);
        advance(&mut tap, &geometry.kernel);
    }
    all
}
