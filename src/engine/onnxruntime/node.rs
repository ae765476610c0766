//! Nodes that ONNX Runtime computes, each as a model of its own.
//!
//! A node's session knows the element types of its inputs only, so it serves every shape; weights are given
//! at every run, as views.
//! The own kernels keep BatchNormalization unless it is wanted, and the operators that say their type
//! themselves, because float16 and bfloat16 are held in float32 here. Operators that draw numbers run
//! nowhere: two runs of them never agree.

use std::collections::{BTreeSet, HashMap};

use ort::session::Session;
use prost::Message;

use super::convert::{from_ort, to_ort};
use super::runtime::Runtime;
use crate::engine::call::Call;
use crate::engine::delegate::{Delegate, proto};
use crate::engine::element::ElementType;
use crate::engine::graph::{Graph, Node};
use crate::engine::guard;
use crate::engine::tensor::Tensor;
use crate::onnx::proto::type_proto::{Tensor as TensorType, Value};
use crate::onnx::proto::{GraphProto, ModelProto, OperatorSetIdProto, TypeProto, ValueInfoProto};

/// The IR version of the models around single nodes: any that ONNX Runtime 1.17 reads.
const IR_VERSION: i64 = 8;

/// The prepared nodes of one model.
#[derive(Debug)]
pub(super) struct Nodes {
    runtime: &'static Runtime,
    batch_norm: bool,
    prepared: HashMap<usize, Prepared>,
    /// Operators that ONNX Runtime refused.
    refused: BTreeSet<String>,
}

/// A node's session, or that there is none, for inputs of these types.
#[derive(Debug)]
struct Prepared {
    inputs: Vec<Option<ElementType>>,
    session: Option<Session>,
}

impl Nodes {
    pub(super) fn new(runtime: &'static Runtime, batch_norm: bool) -> Nodes {
        Nodes {
            runtime,
            batch_norm,
            prepared: HashMap::new(),
            refused: BTreeSet::new(),
        }
    }

    fn compute(&mut self, call: &Call<'_>) -> Option<Vec<Tensor>> {
        let inputs = types(call);
        let is_known = self.prepared.get(&call.node.id);
        if is_known.is_none_or(|known| known.inputs != inputs) {
            let session = model(call).and_then(|model| self.runtime.session(&model, None).ok());
            let prepared = Prepared { inputs, session };
            self.prepared.insert(call.node.id, prepared);
        }
        let prepared = self.prepared.get_mut(&call.node.id)?;
        run(prepared.session.as_mut()?, call)
    }
}

impl Delegate for Nodes {
    fn is_preferred(&self, call: &Call<'_>) -> bool {
        let is_batch_norm = call.node.op_type == "BatchNormalization";
        !call.node.says_its_type() && !is_random(call.node) && (self.batch_norm || !is_batch_norm)
    }

    fn run(&mut self, call: &Call<'_>) -> Option<Vec<Tensor>> {
        if is_random(call.node) {
            return None;
        }
        let outputs = guard::catch(|| self.compute(call)).ok().flatten();
        if outputs.is_none() {
            self.refused.insert(form(call));
        }
        outputs
    }

    fn notes(&self) -> Vec<String> {
        if self.refused.is_empty() {
            return Vec::new();
        }
        let refused: Vec<&str> = self.refused.iter().map(String::as_str).collect();
        vec![format!(
            "ONNX Runtime does not run {}; the built-in engine runs what it can of these",
            refused.join(", ")
        )]
    }
}

/// The operator, its opset version and the type of its first input.
fn form(call: &Call<'_>) -> String {
    let (operator, version) = (call.node.operator(), call.version());
    match types(call).into_iter().flatten().next() {
        Some(element) => format!("{operator} (opset {version}) on {element}"),
        None => format!("{operator} (opset {version})"),
    }
}

/// Whether a node draws numbers.
fn is_random(node: &Node) -> bool {
    let draws = [
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    ];
    let op_type = node.op_type.as_str();
    // From opset 12 on, Dropout's third input may put it into training mode.
    let trains = op_type == "Dropout" && node.inputs.get(2).is_some_and(Option::is_some);
    node.domain.is_empty() && (draws.contains(&op_type) || trains)
}

/// Whether a node of the graph, or of one nested in it, draws numbers.
pub(super) fn has_random(graph: &Graph) -> bool {
    let mut nodes = graph.nodes.iter();
    nodes.any(|node| is_random(node) || node.bodies().any(|body| has_random(body)))
}

fn types(call: &Call<'_>) -> Vec<Option<ElementType>> {
    let held = |tensor: &Tensor| tensor.data().element();
    let inputs = call.inputs.iter();
    inputs.map(|input| input.as_ref().map(held)).collect()
}

/// The node as an encoded model; `None` for attributes that no message is made of here.
fn model(call: &Call<'_>) -> Option<Vec<u8>> {
    let is_present: Vec<bool> = call.inputs.iter().map(Option::is_some).collect();
    let node = proto::node(call.node, &is_present)?;
    let info = |name: &String, element: Option<ElementType>| ValueInfoProto {
        name: Some(name.clone()),
        r#type: element.map(tensor_type),
        ..ValueInfoProto::default()
    };
    let inputs = node.input.iter().zip(types(call));
    let inputs = inputs.filter(|(name, _)| !name.is_empty());
    let outputs = node.output.iter().filter(|name| !name.is_empty());
    let graph = GraphProto {
        name: Some("node".to_owned()),
        input: inputs.map(|(name, element)| info(name, element)).collect(),
        output: outputs.map(|name| info(name, None)).collect(),
        node: vec![node.clone()],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto {
        domain: Some(call.node.domain.clone()),
        version: Some(call.version()),
    };
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        opset_import: vec![opset],
        graph: Some(graph),
        ..ModelProto::default()
    };
    Some(model.encode_to_vec())
}

fn tensor_type(element: ElementType) -> TypeProto {
    let tensor = TensorType {
        elem_type: Some(element.to_onnx()),
        shape: None,
    };
    TypeProto {
        value: Some(Value::TensorType(tensor)),
        ..TypeProto::default()
    }
}

fn run(session: &mut Session, call: &Call<'_>) -> Option<Vec<Tensor>> {
    let mut given = Vec::new();
    for (index, input) in call.inputs.iter().enumerate() {
        if let Some(tensor) = input {
            given.push((format!("input{index}"), to_ort(tensor).ok()?));
        }
    }
    let results = session.run(given).ok()?;
    let mut outputs = Vec::new();
    for index in 0..call.node.outputs.len() {
        // An output that the node does not name is a placeholder that nobody reads.
        outputs.push(match call.wants(index) {
            true => from_ort(results.get(format!("output{index}"))?)?,
            false => Tensor::scalar(false),
        });
    }
    if call.node.op_type == "BatchNormalization" {
        let element = call.optional(0)?.element();
        outputs = outputs
            .into_iter()
            .map(|output| output.declared(element))
            .collect();
    }
    Some(outputs)
}
