//! Random models run, say something, and reach every operator that they promise.
//!
//! With `BNFOLD_CASES=folder` many of them and the fixtures are also written there, in the layout of the ONNX standard's
//! own test cases, with outputs in float64, so that another implementation can be held against them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bnfold::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use bnfold::onnx::proto::{GraphProto, ModelProto, ValueInfoProto, type_proto};
use bnfold::testing::random::{Options, random_inputs, random_model};
use bnfold::testing::reference::{Values, run};
use bnfold::testing::{DataType, Storage, Tensor, ToBytes};
use prost::Message;

/// `RANDOM_SEEDS` asks for more.
fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("RANDOM_SEEDS")
        .ok()
        .and_then(|count| count.parse().ok());
    0..count.unwrap_or(200)
}

fn options(seed: u64) -> Options {
    let nodes = if seed.is_multiple_of(25) {
        100..=200
    } else {
        5..=60
    };
    Options {
        nodes,
        jumps: seed.is_multiple_of(7),
        ..Options::default()
    }
}

fn case(seed: u64) -> (ModelProto, Vec<(String, Tensor)>) {
    let model = random_model(seed, &options(seed));
    let inputs = random_inputs(&model, seed).expect("inputs with known extents");
    (model, inputs)
}

fn results(model: &ModelProto, inputs: &[(String, Tensor)]) -> Values {
    let inputs: Vec<(&str, Tensor)> = inputs
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.clone()))
        .collect();
    run(model, &inputs).expect("the model runs")
}

/// Operators of the graph and of the graphs in it, with how often each occurs.
fn count_operators(graph: &GraphProto, counts: &mut BTreeMap<String, usize>) {
    for node in &graph.node {
        *counts.entry(node.op_type().to_string()).or_default() += 1;
        for body in node
            .attribute
            .iter()
            .filter_map(|attribute| attribute.g.as_ref())
        {
            count_operators(body, counts);
        }
    }
}

#[test]
fn every_model_runs_and_says_something() {
    for seed in seeds() {
        let (model, inputs) = case(seed);
        let values = results(&model, &inputs);
        let graph = model.graph.as_ref().expect("a graph");
        let nodes = options(seed).nodes;
        assert!(
            nodes.contains(&graph.node.len()),
            "seed {seed}: {} nodes",
            graph.node.len()
        );
        for info in graph.output.iter().chain(&graph.value_info) {
            assert!(
                describes(info, &values[info.name()]),
                "seed {seed}: {info:?}"
            );
        }
        for output in &graph.output {
            let value = &values[output.name()];
            let greatest = value.max_magnitude();
            assert!(
                greatest > 1e-6 && greatest < 1e4,
                "seed {seed}, {}: {greatest}",
                output.name()
            );
        }
    }
}

/// Whether a declared type holds for the value; named and unknown extents hold for anything.
fn describes(info: &ValueInfoProto, value: &Tensor) -> bool {
    let ty = info.r#type.as_ref().and_then(|ty| ty.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = ty else {
        return false;
    };
    let Some(shape) = &tensor.shape else {
        return false;
    };
    let extent = |(dim, &extent): (&Dimension, &usize)| match dim.value {
        Some(dimension::Value::DimValue(stated)) => stated == extent as i64,
        Some(dimension::Value::DimParam(_)) | None => true,
    };
    tensor.elem_type == Some(value.dtype.into())
        && shape.dim.len() == value.shape.len()
        && shape.dim.iter().zip(&value.shape).all(extent)
}

/// Models without jumps, which turn the rounding of any executor into a large difference.
#[test]
fn cases_for_other_runtimes_are_written() {
    let asked = std::env::var_os("BNFOLD_CASES").map(PathBuf::from);
    let own = tempfile::tempdir().expect("a temporary directory");
    let (folder, count) = match &asked {
        Some(folder) => (folder.as_path(), 500),
        None => (own.path(), 3),
    };
    for seed in 0..count {
        let model = random_model(seed, &Options::default());
        let inputs = random_inputs(&model, seed).expect("inputs with known extents");
        write_case(&folder.join(format!("random_{seed:04}")), &model, &inputs);
    }
    for (name, model) in fixtures()
        .into_iter()
        .take(if asked.is_some() { 99 } else { 1 })
    {
        let inputs = random_inputs(&model, 7).expect("inputs with known extents");
        write_case(&folder.join(name), &model, &inputs);
    }
    let written = fs::read_dir(folder).expect("the folder").count() as u64;
    assert!(written > count, "{written}");
}

fn fixtures() -> Vec<(String, ModelProto)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let files = fs::read_dir(folder).expect("the fixtures");
    let files = files.map(|file| file.expect("a file").path());
    let models = files.filter(|file| file.extension().is_some_and(|ending| ending == "onnx"));
    let mut models: Vec<(String, ModelProto)> = models
        .map(|file| {
            let name = file
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let bytes = fs::read(file).expect("a file");
            (name, ModelProto::decode(&*bytes).expect("a model"))
        })
        .collect();
    models.sort_by(|a, b| a.0.cmp(&b.0));
    models
}

/// The model, its inputs, and what it gives in float64.
fn write_case(folder: &Path, model: &ModelProto, inputs: &[(String, Tensor)]) {
    fs::create_dir_all(folder).expect("a writable folder");
    let write = |file: String, bytes: Vec<u8>| {
        fs::write(folder.join(file), bytes).expect("a writable folder");
    };
    write("model.onnx".into(), model.to_bytes());
    for (number, (name, tensor)) in inputs.iter().enumerate() {
        let bytes = tensor.to_proto(name, Storage::Raw).to_bytes();
        write(format!("input_{number}.pb"), bytes);
    }
    let values = results(model, inputs);
    let outputs = model.graph.iter().flat_map(|graph| &graph.output);
    for (number, output) in outputs.enumerate() {
        let mut truth = values[output.name()].clone();
        truth.dtype = DataType::Double;
        let bytes = truth.to_proto(output.name(), Storage::Raw).to_bytes();
        write(format!("truth_{number}.pb"), bytes);
    }
}

#[test]
fn one_seed_is_one_model() {
    for seed in [3, 10, 14] {
        assert_eq!(case(seed).0.to_bytes(), case(seed).0.to_bytes());
    }
    assert_ne!(case(3).0, case(4).0);
}

#[test]
fn every_promised_operator_occurs() {
    let mut counts = BTreeMap::new();
    let (mut opsets, mut dtypes) = (BTreeSet::new(), BTreeSet::new());
    let (mut functions, mut outputs) = (0, 0);
    for seed in seeds() {
        let (model, inputs) = case(seed);
        let graph = model.graph.as_ref().expect("a graph");
        count_operators(graph, &mut counts);
        opsets.extend(
            model
                .opset_import
                .iter()
                .filter(|i| i.domain().is_empty())
                .map(|i| i.version()),
        );
        dtypes.extend(inputs.iter().map(|(_, tensor)| tensor.dtype));
        functions += model.functions.len();
        outputs += graph.output.len();
    }
    let missing: Vec<&str> = PROMISED
        .split_whitespace()
        .filter(|&op_type| !counts.contains_key(op_type))
        .collect();
    assert!(missing.is_empty(), "{missing:?} never occur: {counts:?}");
    assert!(counts["BatchNormalization"] > 1500, "{counts:?}");
    assert_eq!(opsets, (7..=24).collect());
    let wanted = [
        DataType::Float,
        DataType::Double,
        DataType::Float16,
        DataType::Bfloat16,
    ];
    dtypes.remove(&DataType::Int64);
    assert_eq!(dtypes, BTreeSet::from(wanted));
    assert!(
        functions > 20 && outputs > 600,
        "{functions} functions, {outputs} outputs"
    );
}

const PROMISED: &str = "
    BatchNormalization InstanceNormalization LayerNormalization LRN
    Conv ConvTranspose Gemm MatMul LSTM GRU RNN
    Add Sub Mul Div Pow Sum Mean Max Min Sqrt Reciprocal Log Neg Abs Where Greater
    Relu LeakyRelu PRelu Elu Selu Sigmoid HardSigmoid HardSwish Tanh Erf Gelu Softplus Softsign Mish
    Softmax LogSoftmax Clip Identity Dropout Cast QuantizeLinear DequantizeLinear
    MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool Pad Resize Upsample
    Transpose Reshape Flatten Squeeze Unsqueeze Slice Split Concat Tile Expand Gather Shape
    DepthToSpace SpaceToDepth ReduceMean ReduceMax ReduceMin ReduceSum ReduceL2
    If Loop Scan Constant";
