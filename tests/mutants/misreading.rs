//! Wrong parameters: a BatchNormalization that is read wrongly before it is folded rightly.
//!
//! With `s = scale/√(var + ε)` and `t = B − mean·s`, each misreading is the right reading of other parameters,
//! for example `s = scale/(var + ε)` that of the variance `(var + ε)² − ε`.

use bnfold::onnx::proto::{AttributeProto, ModelProto, NodeProto};
use bnfold::testing::{Storage, Tensor};

/// The parameters of a BatchNormalization.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    epsilon: f64,
    scale: Vec<f64>,
    b: Vec<f64>,
    mean: Vec<f64>,
    var: Vec<f64>,
}

/// A way to read them wrongly.
pub(crate) type Misreading = fn(&mut Parameters);

/// ε where a model does not give one (BatchNormalization-15).
const EPSILON: f32 = 1e-5;

/// Every way to read them wrongly.
pub(crate) const MISREADINGS: &[(&str, Misreading)] = &[
    ("epsilon forgotten", |p| p.epsilon = 0.0),
    ("epsilon outside the root", |p| {
        let epsilon = p.epsilon;
        p.var
            .iter_mut()
            .for_each(|var| *var = (var.sqrt() + epsilon).powi(2) - epsilon);
    }),
    ("epsilon the default", |p| p.epsilon = f64::from(EPSILON)),
    ("variance not square-rooted", |p| {
        let epsilon = p.epsilon;
        p.var
            .iter_mut()
            .for_each(|var| *var = (*var + epsilon).powi(2) - epsilon);
    }),
    ("variance ignored", |p| p.var.fill(1.0 - p.epsilon)),
    ("mean ignored", |p| p.mean.fill(0.0)),
    ("mean added", |p| {
        p.mean.iter_mut().for_each(|mean| *mean = -*mean)
    }),
    ("mean not scaled", |p| {
        for (c, mean) in p.mean.iter_mut().enumerate() {
            *mean *= (p.var[c] + p.epsilon).sqrt() / p.scale[c];
        }
    }),
    ("B ignored", |p| p.b.fill(0.0)),
    ("scale ignored", |p| p.scale.fill(1.0)),
    ("mean and variance exchanged", |p| {
        std::mem::swap(&mut p.mean, &mut p.var);
        p.var.iter_mut().for_each(|var| *var = var.abs());
    }),
];

/// The model with the parameters of one node misread; why not, where it makes no difference to them.
pub(crate) fn misread(
    model: &ModelProto,
    node: &str,
    misreading: Misreading,
) -> Result<ModelProto, &'static str> {
    let mut model = model.clone();
    let graph = model.graph.as_mut().ok_or("there is no graph")?;
    let at = graph.node.iter().position(|other| other.name() == node);
    let at = at.ok_or("it stands in a nested graph or a function")?;
    if graph.node[at].op_type() != "BatchNormalization" {
        return Err("it is no BatchNormalization");
    }
    let tensors = [1, 2, 3, 4].map(|slot| {
        let name = &graph.node[at].input[slot];
        let stored = graph
            .initializer
            .iter()
            .find(|tensor| tensor.name() == name);
        stored.and_then(|tensor| Tensor::from_proto(tensor).ok())
    });
    let [Some(scale), Some(b), Some(mean), Some(var)] = tensors else {
        return Err("its parameters are computed");
    };
    let right = Parameters {
        epsilon: epsilon(&graph.node[at]),
        scale: scale.data.clone(),
        b: b.data,
        mean: mean.data,
        var: var.data,
    };
    let mut wrong = right.clone();
    misreading(&mut wrong);
    if same(&right, &wrong) {
        return Err("the parameter has that value");
    }
    let read = [&wrong.scale, &wrong.b, &wrong.mean, &wrong.var];
    for (slot, data) in read.into_iter().enumerate() {
        let name = format!("misread.{slot}");
        let tensor = Tensor::new(scale.dtype, &scale.shape, data.clone()).rounded();
        graph.initializer.push(tensor.to_proto(&name, Storage::Raw));
        graph.node[at].input[slot + 1] = name;
    }
    set_epsilon(&mut graph.node[at], wrong.epsilon as f32);
    Ok(model)
}

fn same(right: &Parameters, wrong: &Parameters) -> bool {
    right.epsilon == wrong.epsilon
        && right.scale == wrong.scale
        && right.b == wrong.b
        && right.mean == wrong.mean
        && right.var == wrong.var
}

fn epsilon(node: &NodeProto) -> f64 {
    let given = node
        .attribute
        .iter()
        .find(|attribute| attribute.name() == "epsilon");
    f64::from(given.map_or(EPSILON, AttributeProto::f))
}

fn set_epsilon(node: &mut NodeProto, epsilon: f32) {
    node.attribute
        .retain(|attribute| attribute.name() != "epsilon");
    node.attribute.push(AttributeProto {
        name: Some("epsilon".to_owned()),
        r#type: Some(1),
        f: Some(epsilon),
        ..AttributeProto::default()
    });
}
