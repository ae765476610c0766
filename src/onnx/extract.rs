//! A small model cut out of a large one: some of its nodes and constants, and one output.

use prost::Message;

use super::model::{Model, Name, NodeView, OperatorSet, TensorView};
use super::{FileId, ReadError, proto};

/// Collects nodes and constants of a model into a model of its own.
#[derive(Debug)]
pub struct Extract<'m> {
    model: &'m Model,
    proto: proto::ModelProto,
}

impl<'m> Extract<'m> {
    /// An empty cut, written in these operator sets.
    pub fn new(model: &'m Model, opsets: &[OperatorSet]) -> Extract<'m> {
        let opset_import = opsets.iter().map(|opset| proto::OperatorSetIdProto {
            domain: Some(opset.domain.to_string()),
            version: Some(opset.version),
        });
        let proto = proto::ModelProto {
            ir_version: Some(model.ir_version),
            opset_import: opset_import.collect(),
            graph: Some(proto::GraphProto {
                name: Some("constant".to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        Extract { model, proto }
    }

    /// Adds a stored tensor under a name.
    ///
    /// # Errors
    /// If its elements cannot be read.
    pub fn tensor(&mut self, name: &Name, tensor: &TensorView) -> Result<(), ReadError> {
        let mut tensor = self.model.tensor_proto(tensor)?;
        tensor.name = Some(name.to_string());
        self.graph().initializer.push(tensor);
        Ok(())
    }

    /// Adds an int64 vector, or a scalar, under a name.
    pub fn integers(&mut self, name: &Name, (elements, is_scalar): (Vec<i64>, bool)) {
        let dims = if is_scalar {
            Vec::new()
        } else {
            vec![elements.len() as i64]
        };
        self.graph().initializer.push(proto::TensorProto {
            name: Some(name.to_string()),
            data_type: Some(7),
            dims,
            int64_data: elements,
            ..Default::default()
        });
    }

    /// Adds a value of which only the type counts.
    pub fn placeholder(&mut self, name: &Name, data_type: i32) {
        self.graph().initializer.push(proto::TensorProto {
            name: Some(name.to_string()),
            data_type: Some(data_type),
            dims: vec![1],
            raw_data: super::elements::byte_count(data_type, 1)
                .map(|bytes| vec![0; bytes as usize]),
            ..Default::default()
        });
    }

    /// Adds a node; nodes come in topological order.
    ///
    /// # Errors
    /// If the node is no message that prost reads.
    pub fn node(&mut self, node: &NodeView) -> Result<(), ReadError> {
        let node = self.model.node_proto(node)?;
        self.graph().node.push(node);
        Ok(())
    }

    /// The encoded model, with this value as its only output.
    pub fn finish(mut self, output: &Name) -> Vec<u8> {
        self.graph().output.push(proto::ValueInfoProto {
            name: Some(output.to_string()),
            ..Default::default()
        });
        self.proto.encode_to_vec()
    }

    fn graph(&mut self) -> &mut proto::GraphProto {
        self.proto.graph.get_or_insert_default()
    }
}

impl Model {
    /// The bytes of the model's own file.
    ///
    /// # Errors
    /// If the file cannot be read, or is not what it was.
    pub fn bytes(&self) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; usize::try_from(self.len()).unwrap_or(usize::MAX)];
        self.files.read(FileId::MODEL, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// A node as prost reads it.
    ///
    /// # Errors
    /// If its bytes cannot be read, or prost refuses them (a name that is not UTF-8).
    pub fn node_proto(&self, node: &NodeView) -> Result<proto::NodeProto, ReadError> {
        let length = usize::try_from(node.at.body.len()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        self.files
            .read(FileId::MODEL, node.at.body.start, &mut bytes)?;
        proto::NodeProto::decode(&*bytes).map_err(|error| ReadError::Damaged {
            file: self.files.name().to_owned(),
            problem: format!("node {}: {error}", node.label()),
        })
    }
}
