//! ONNX Runtime's fused operators, as the standard nodes that they stand for.
//!
//! `FusedConv(x, W, B, Z) = act(Conv(x, W, B) + Z)`, `FusedGemm = act(Gemm)`, `FusedMatMul = alpha·MatMul`,
//! `QuickGelu(x) = x·sigmoid(alpha·x)`, `BiasGelu(x, b) = Gelu(x + b)`.
//! A function of the model that has such a name goes first; FusedMatMul with transposed operands and the
//! blocked layouts of `com.microsoft.nchwc` stay foreign.

use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto};

const DOMAIN: &str = "com.microsoft";

/// Expands them in every graph of a model.
pub(super) fn expand(model: &mut ModelProto) {
    let functions = model.functions.iter();
    let own: Vec<String> = functions
        .filter(|function| function.domain() == DOMAIN)
        .map(|function| function.name().to_owned())
        .collect();
    if let Some(graph) = &mut model.graph {
        expand_graph(graph, &own);
    }
    for function in &mut model.functions {
        expand_nodes(&mut function.node, &own);
    }
}

fn expand_graph(graph: &mut GraphProto, own: &[String]) {
    expand_nodes(&mut graph.node, own);
}

fn expand_nodes(nodes: &mut Vec<NodeProto>, own: &[String]) {
    let is_fused = |node: &NodeProto| {
        node.domain() == DOMAIN && !own.iter().any(|name| name == node.op_type())
    };
    for node in nodes.iter_mut() {
        for attribute in &mut node.attribute {
            attribute
                .g
                .iter_mut()
                .for_each(|graph| expand_graph(graph, own));
        }
    }
    if !nodes.iter().any(is_fused) {
        return;
    }
    for node in std::mem::take(nodes) {
        match is_fused(&node).then(|| expanded(&node)).flatten() {
            Some(parts) => nodes.extend(parts),
            None => nodes.push(node),
        }
    }
}

fn expanded(node: &NodeProto) -> Option<Vec<NodeProto>> {
    match node.op_type() {
        "FusedConv" => fused_conv(node),
        "FusedGemm" => fused_gemm(node),
        "FusedMatMul" => fused_matmul(node),
        "QuickGelu" => quick_gelu(node),
        "BiasGelu" => {
            let mut chain = Chain::new(node);
            chain.push("Add", node.input.clone(), Vec::new());
            chain.unary("Gelu", Vec::new());
            Some(chain.finished())
        }
        "Gelu" => {
            let mut chain = Chain::new(node);
            chain.push("Gelu", node.input.clone(), Vec::new());
            Some(chain.finished())
        }
        _ => None,
    }
}

fn fused_conv(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let mut chain = Chain::new(node);
    let own = |attribute: &&AttributeProto| !attribute.name().starts_with("activation");
    let kept = node.attribute.iter().filter(own).cloned().collect();
    let inputs = node.input.iter().take(3).cloned().collect();
    chain.push("Conv", inputs, kept);
    if let Some(summand) = node.input.get(3).filter(|name| !name.is_empty()) {
        let sum = vec![chain.last(), summand.clone()];
        chain.push("Add", sum, Vec::new());
    }
    let parameters = attribute(node, "activation_params").map(|a| a.floats.clone());
    chain.activate(node, &parameters.unwrap_or_default())?;
    Some(chain.finished())
}

fn fused_gemm(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let mut chain = Chain::new(node);
    let own = |attribute: &&AttributeProto| !attribute.name().starts_with("activation");
    let kept = node.attribute.iter().filter(own).cloned().collect();
    chain.push("Gemm", node.input.clone(), kept);
    let names = ["activation_alpha", "activation_beta"];
    let parameters = names
        .iter()
        .filter_map(|name| attribute(node, name))
        .map(AttributeProto::f);
    chain.activate(node, &parameters.collect::<Vec<f32>>())?;
    Some(chain.finished())
}

fn fused_matmul(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let is_set = |name: &str| attribute(node, name).is_some_and(|flag| flag.i() != 0);
    if ["transA", "transB", "transBatchA", "transBatchB"]
        .into_iter()
        .any(is_set)
    {
        return None;
    }
    let mut chain = Chain::new(node);
    chain.push("MatMul", node.input.clone(), Vec::new());
    chain.scale(attribute(node, "alpha").map_or(1.0, AttributeProto::f));
    Some(chain.finished())
}

fn quick_gelu(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let x = node.input.first()?.clone();
    let mut chain = Chain::new(node);
    chain.push("Identity", vec![x.clone()], Vec::new());
    chain.scale(attribute(node, "alpha").map_or(1.702, AttributeProto::f));
    chain.unary("Sigmoid", Vec::new());
    let product = vec![x, chain.last()];
    chain.push("Mul", product, Vec::new());
    Some(chain.finished())
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name() == name)
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Float.into()),
        f: Some(value),
        ..AttributeProto::default()
    }
}

/// Nodes in a row, each named like the fused one; the last gives its output.
struct Chain<'n> {
    fused: &'n NodeProto,
    nodes: Vec<NodeProto>,
}

impl<'n> Chain<'n> {
    fn new(fused: &'n NodeProto) -> Chain<'n> {
        let nodes = Vec::new();
        Chain { fused, nodes }
    }

    /// A name inside the fused node, which no exporter gives.
    fn inner(&self, part: &str) -> String {
        let output = self.fused.output.first().map_or("", String::as_str);
        format!(
            "{output} ({part} {} of {})",
            self.nodes.len(),
            self.fused.op_type()
        )
    }

    fn last(&self) -> String {
        let output = self.nodes.last().and_then(|node| node.output.first());
        output.cloned().unwrap_or_default()
    }

    fn push(&mut self, op_type: &str, input: Vec<String>, attribute: Vec<AttributeProto>) {
        let output = vec![self.inner("node")];
        self.nodes.push(NodeProto {
            name: self.fused.name.clone(),
            op_type: Some(op_type.to_owned()),
            input,
            output,
            attribute,
            ..NodeProto::default()
        });
    }

    fn unary(&mut self, op_type: &str, attributes: Vec<AttributeProto>) {
        let input = vec![self.last()];
        self.push(op_type, input, attributes);
    }

    fn constant(&mut self, value: f32) -> String {
        self.push("Constant", Vec::new(), vec![float("value_float", value)]);
        self.last()
    }

    fn scale(&mut self, factor: f32) {
        let x = self.last();
        // 1 is what most graphs say, and exact without a product.
        if factor.to_bits() != 1f32.to_bits() {
            let factor = self.constant(factor);
            self.push("Mul", vec![x, factor], Vec::new());
        }
    }

    /// `None` for an activation that the fused operators do not have.
    fn activate(&mut self, node: &NodeProto, parameters: &[f32]) -> Option<()> {
        let Some(activation) = attribute(node, "activation") else {
            return Some(());
        };
        let name = std::str::from_utf8(activation.s()).ok()?;
        let named = |names: &[&str]| {
            let pairs = names.iter().zip(parameters);
            pairs.map(|(name, value)| float(name, *value)).collect()
        };
        match name {
            "Relu" | "Sigmoid" | "Tanh" | "Softplus" => self.unary(name, Vec::new()),
            "LeakyRelu" | "Elu" => self.unary(name, named(&["alpha"])),
            "HardSigmoid" => self.unary(name, named(&["alpha", "beta"])),
            "Clip" => {
                let x = self.last();
                let low = self.constant(parameters.first().copied()?);
                let high = self.constant(parameters.get(1).copied()?);
                self.push("Clip", vec![x, low, high], Vec::new());
            }
            _ => return None,
        }
        Some(())
    }

    fn finished(mut self) -> Vec<NodeProto> {
        if let Some(last) = self.nodes.last_mut() {
            last.output.clone_from(&self.fused.output);
        }
        self.nodes
    }
}
