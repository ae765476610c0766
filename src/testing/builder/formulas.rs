//! How the extents of common operators follow from those of their inputs.

use super::attribute::Attribute;
use super::fact::Dim;
use super::state::NodeState;

/// The extents of each output, if they are known.
pub(super) type Shapes = Option<Vec<Vec<Dim>>>;

pub(super) fn counted(axis: i64, rank: usize) -> usize {
    if axis < 0 {
        (axis + rank as i64) as usize
    } else {
        axis as usize
    }
}

pub(super) fn total(dims: &[Dim]) -> Dim {
    let product: Option<usize> = dims.iter().map(Dim::size).product();
    match (dims, product) {
        (_, Some(product)) => Dim::Size(product),
        ([only], None) => only.clone(),
        _ => Dim::Unknown,
    }
}

pub(super) fn with(mut shape: Vec<Dim>, axis: usize, dim: Dim) -> Vec<Dim> {
    shape[axis] = dim;
    shape
}

pub(super) fn broadcast(a: &[Dim], b: &[Dim]) -> Vec<Dim> {
    let rank = a.len().max(b.len());
    let dim = |shape: &[Dim], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(own) => shape[own].clone(),
        None => Dim::Size(1),
    };
    let wider = |axis: usize| match (dim(a, axis), dim(b, axis)) {
        (Dim::Size(1), other) | (other, Dim::Size(1)) => other,
        (Dim::Size(size), _) | (_, Dim::Size(size)) => Dim::Size(size),
        (one, other) if one == other => one,
        _ => Dim::Unknown,
    };
    (0..rank).map(wider).collect()
}

pub(super) fn product(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let (a_batch, a_rows) = a.split_at(a.len().saturating_sub(2));
    let (b_batch, b_columns) = b.split_at(b.len().saturating_sub(2));
    let rows = (a_rows.len() == 2).then(|| a_rows[0].clone());
    let columns = (b_columns.len() == 2).then(|| b_columns[1].clone());
    let mut shape = broadcast(a_batch, b_batch);
    shape.extend(rows);
    shape.extend(columns);
    Some(shape)
}

/// The output of a window that slides over the spatial axes.
pub(super) fn pooled(node: &NodeState, x: &[Dim], w: Option<Vec<Dim>>, opset: i64) -> Vec<Dim> {
    let spatial = x.len() - 2;
    let given = |name: &str| node.ints(name);
    let setting = |name: &str, axis: usize| given(name).map_or(1, |values| values[axis]);
    let pads = given("pads").unwrap_or_else(|| vec![0; 2 * spatial]);
    let auto_pad = match node.attribute("auto_pad") {
        Some(Attribute::String(text)) => text.as_str(),
        _ => "NOTSET",
    };
    let extent = |axis: usize| {
        let from_weight = || {
            w.as_ref()
                .and_then(|w| w[axis + 2].size())
                .map(|size| size as i64)
        };
        let kernel = given("kernel_shape")
            .map(|kernel| kernel[axis])
            .or_else(from_weight)?;
        let (input, stride) = (x[axis + 2].size()? as i64, setting("strides", axis));
        if auto_pad.starts_with("SAME") {
            return Some((input + stride - 1) / stride);
        }
        let padded = if auto_pad == "VALID" {
            0
        } else {
            pads[axis] + pads[spatial + axis]
        };
        let room = input + padded - (kernel - 1) * setting("dilations", axis) - 1;
        if node.int("ceil_mode", 0) == 0 || auto_pad == "VALID" {
            return Some(room.div_euclid(stride) + 1);
        }
        let steps = (room + stride - 1) / stride;
        let beyond = opset >= 22 && steps * stride >= input + pads[axis];
        Some(if beyond { steps } else { steps + 1 })
    };
    let spatial =
        (0..spatial).map(|axis| extent(axis).map_or(Dim::Unknown, |e| Dim::Size(e as usize)));
    let channels = w.as_ref().map_or(x[1].clone(), |w| w[0].clone());
    [x[0].clone(), channels]
        .into_iter()
        .chain(spatial)
        .collect()
}

/// The output of a ConvTranspose.
pub(super) fn unpooled(node: &NodeState, x: &[Dim], w: &[Dim]) -> Vec<Dim> {
    let spatial = x.len() - 2;
    let setting = |name: &str, axis: usize, default: i64| {
        node.ints(name).map_or(default, |values| values[axis])
    };
    let same = matches!(
        node.attribute("auto_pad"),
        Some(Attribute::String(text)) if text.starts_with("SAME")
    );
    let extent = |axis: usize| {
        if let Some(wanted) = node.ints("output_shape") {
            return Some(wanted[wanted.len() - spatial + axis]);
        }
        let (input, kernel) = (x[axis + 2].size()? as i64, w[axis + 2].size()? as i64);
        let stride = setting("strides", axis, 1);
        if same {
            return Some(input * stride);
        }
        let span = (kernel - 1) * setting("dilations", axis, 1) + 1;
        let pads = setting("pads", axis, 0) + setting("pads", spatial + axis, 0);
        Some(stride * (input - 1) + setting("output_padding", axis, 0) + span - pads)
    };
    let channels = w[1]
        .size()
        .map(|size| Dim::Size(size * node.int("group", 1) as usize));
    let spatial =
        (0..spatial).map(|axis| extent(axis).map_or(Dim::Unknown, |e| Dim::Size(e as usize)));
    [x[0].clone(), channels.unwrap_or(Dim::Unknown)]
        .into_iter()
        .chain(spatial)
        .collect()
}

pub(super) fn reshaped(x: &[Dim], wanted: &[i64]) -> Vec<Dim> {
    let dim = |(axis, &extent): (usize, &i64)| match extent {
        0 => x.get(axis).cloned().unwrap_or(Dim::Unknown),
        -1 => Dim::Unknown,
        extent => Dim::Size(extent as usize),
    };
    let mut shape: Vec<Dim> = wanted.iter().enumerate().map(dim).collect();
    let Some(free) = wanted.iter().position(|&extent| extent == -1) else {
        return shape;
    };
    // Equal symbols on both sides cancel.
    let mut ours: Vec<&Dim> = x.iter().filter(|dim| dim.size().is_none()).collect();
    for dim in shape
        .iter()
        .enumerate()
        .filter(|&(at, _)| at != free)
        .map(|(_, dim)| dim)
    {
        if let Some(at) = ours
            .iter()
            .position(|our| *our == dim && **our != Dim::Unknown)
        {
            ours.remove(at);
        }
    }
    let known = |dims: &[Dim]| dims.iter().filter_map(Dim::size).product::<usize>();
    let others = known(&shape);
    shape[free] = match ours.as_slice() {
        [] if others > 0 => Dim::Size(known(x) / others),
        [only] if known(x) == others => (*only).clone(),
        _ => Dim::Unknown,
    };
    shape
}

pub(super) fn squeezed(
    node: &NodeState,
    mut x: Vec<Dim>,
    axes: Option<Vec<i64>>,
) -> Option<Vec<Dim>> {
    if node.op_type == "Unsqueeze" {
        let axes = axes?;
        let rank = x.len() + axes.len();
        let mut axes: Vec<usize> = axes.iter().map(|&axis| counted(axis, rank)).collect();
        axes.sort_unstable();
        for axis in axes {
            x.insert(axis, Dim::Size(1));
        }
        return Some(x);
    }
    let rank = x.len();
    let gone = |(axis, dim): (usize, &Dim)| match &axes {
        Some(axes) => axes.iter().any(|&given| counted(given, rank) == axis),
        None => *dim == Dim::Size(1),
    };
    Some(
        x.iter()
            .enumerate()
            .filter(|&entry| !gone(entry))
            .map(|(_, dim)| dim.clone())
            .collect(),
    )
}

pub(super) fn split(node: &NodeState, x: &[Dim], sizes: Option<Vec<i64>>) -> Shapes {
    let axis = counted(node.int("axis", 0), x.len());
    let parts = node.outputs.len();
    let sizes: Vec<usize> = match sizes {
        Some(sizes) => sizes.iter().map(|&size| size as usize).collect(),
        None => {
            let (extent, size) = (x[axis].size()?, x[axis].size()?.div_ceil(parts));
            (0..parts)
                .map(|part| size.min(extent - part * size))
                .collect()
        }
    };
    Some(
        sizes
            .into_iter()
            .map(|size| with(x.to_vec(), axis, Dim::Size(size)))
            .collect(),
    )
}

pub(super) fn reduced(node: &NodeState, x: Vec<Dim>, axes: Option<Vec<i64>>) -> Vec<Dim> {
    let rank = x.len();
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    let gone = |axis: usize| axes.iter().any(|&given| counted(given, rank) == axis);
    let keeps = node.int("keepdims", 1) != 0;
    let kept = x
        .into_iter()
        .enumerate()
        .filter(|&(axis, _)| keeps || !gone(axis));
    kept.map(|(axis, dim)| if gone(axis) { Dim::Size(1) } else { dim })
        .collect()
}
