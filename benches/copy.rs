//! What a fold costs beside what `cp` costs, in interleaved runs on the same file system with a hot cache.
//!
//! Models are generated: one in the shape of VGG-16-BN, one in that of ResNet-50, and some that grow from 10 MB to 2 GB.
//! Each layer has an input and an output of its own and a BN behind it, so that every weight is folded and gets a bias.
//! The runs are `bnfold --no-verify`; neither side syncs. Peak memory is that of a further run.
//!
//! `cargo bench --bench copy` runs all; `-- vgg`, `-- resnet`, `-- growth`, `-- external` or `-- nodes` one of them;
//! `-- generate vgg|resnet|nodes|MEGABYTES FILE` writes a model to measure something else with.

#![expect(clippy::print_stdout, reason = "the figures are its product")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bnfold::onnx::proto;
use bnfold::onnx::wire::{put_bytes_field, put_length, put_varint_field};
use prost::Message;

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 9;
const FLOAT: i32 = 1;

/// Extents of each layer's weight; a BN follows every one.
type Layers = Vec<Vec<u64>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if let ["generate", name, path] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return generate(Path::new(path), &layers(name)?);
    }
    let wanted =
        |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    println!(
        "{:<20} {:>9} {:>10} {:>10} {:>7} {:>7} {:>9}",
        "model", "MB", "cp", "bnfold", "median", "best", "peak"
    );
    if wanted("resnet") {
        compare("ResNet-50", "resnet", &[])?;
    }
    if wanted("vgg") {
        compare("VGG-16-BN", "vgg", &[])?;
    }
    if wanted("growth") {
        for megabytes in ["10", "20", "100", "500", "2000"] {
            compare(&format!("{megabytes} MB"), megabytes, &[])?;
        }
    }
    if wanted("external") {
        compare("VGG-16-BN external", "vgg", &["--external-data", "always"])?;
    }
    if wanted("nodes") {
        compare("100,000 nodes", "nodes", &[])?;
    }
    Ok(())
}

/// Copies and folds a model in turns and prints what each took.
fn compare(title: &str, name: &str, options: &[&str]) -> Outcome<()> {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let [input, copied, folded] =
        ["in.onnx", "copied.onnx", "folded.onnx"].map(|name| directory.path().join(name));
    generate(&input, &layers(name)?)?;
    let mut fold = Command::new(env!("CARGO_BIN_EXE_bnfold"));
    fold.arg(&input).arg("-o").arg(&folded);
    fold.args(["--no-verify", "-q"]).args(options);
    // What replaces a file is synced first, and `cp` does not sync.
    let clear = || {
        [
            copied.clone(),
            folded.clone(),
            folded.with_extension("onnx.data"),
        ]
        .map(fs::remove_file)
    };
    let (mut copies, mut folds) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        // Whoever comes second meets the pages that the first has left to be written.
        for is_copy in [round % 2 == 0, round % 2 == 1] {
            let mut copy = Command::new("cp");
            copy.arg("--reflink=never").arg(&input).arg(&copied);
            let time = timed(if is_copy { &mut copy } else { &mut fold })?;
            drop(clear());
            // The first round warms the cache.
            if round > 0 {
                if is_copy { &mut copies } else { &mut folds }.push(time);
            }
        }
    }
    let peak = peak_of(&mut fold)?;
    copies.sort();
    folds.sort();
    let ratio = |index: usize| folds[index].as_secs_f64() / copies[index].as_secs_f64();
    let median = |times: &[Duration]| format!("{:.1} ms", times[ROUNDS / 2].as_secs_f64() * 1e3);
    println!(
        "{title:<20} {:>9.1} {:>10} {:>10} {:>7.2} {:>7.2} {:>6.1} MB",
        fs::metadata(&input)?.len() as f64 / 1e6,
        median(&copies),
        median(&folds),
        ratio(ROUNDS / 2),
        ratio(0),
        peak as f64 / 1e3,
    );
    Ok(())
}

fn timed(command: &mut Command) -> Outcome<Duration> {
    let start = Instant::now();
    let output = command.output()?;
    let time = start.elapsed();
    match output.status.success() {
        true => Ok(time),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

/// The peak of resident memory in kB, as far as looking at it all the time shows; 0 where the system does not.
fn peak_of(command: &mut Command) -> Outcome<u64> {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        peak = line
            .and_then(|number| number.parse().ok())
            .map_or(peak, |now: u64| now.max(peak));
    }
    Ok(peak)
}

fn layers(name: &str) -> Outcome<Layers> {
    Ok(match name {
        "vgg" => vgg_16(),
        "resnet" => resnet_50(),
        "nodes" => vec![vec![1, 1, 1, 1]; 50_000],
        megabytes => vec![vec![256, 1024 * megabytes.parse::<u64>()? / 100, 3, 3]; 10],
    })
}

fn vgg_16() -> Layers {
    let channels = [
        3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512,
    ];
    let convolutions = channels.windows(2).map(|pair| vec![pair[1], pair[0], 3, 3]);
    convolutions
        .chain([vec![4096, 25088], vec![4096, 4096], vec![1000, 4096]])
        .collect()
}

fn resnet_50() -> Layers {
    let mut layers = vec![vec![64, 3, 7, 7]];
    let mut from = 64;
    for (width, blocks) in [(64, 3), (128, 4), (256, 6), (512, 3)] {
        for block in 0..blocks {
            layers.extend([
                vec![width, from, 1, 1],
                vec![width, width, 3, 3],
                vec![4 * width, width, 1, 1],
            ]);
            if block == 0 {
                layers.push(vec![4 * width, from, 1, 1]);
            }
            from = 4 * width;
        }
    }
    layers.push(vec![1000, 2048]);
    layers
}

/// Writes the layers as a model, a tensor at a time.
fn generate(path: &Path, layers: &Layers) -> Outcome<()> {
    let mut graph = proto::GraphProto::default();
    let mut tensors = Vec::new();
    for (index, dims) in layers.iter().enumerate() {
        add_layer(&mut graph, index, dims);
        tensors.push((
            tensor_head(&format!("weight_{index}"), dims),
            dims.iter().product::<u64>(),
        ));
        let parameters = ["scale", "B", "mean", "var"].map(|kind| format!("{kind}_{index}"));
        tensors.extend(parameters.map(|name| (tensor_head(&name, &dims[..1]), dims[0])));
    }
    let graph = graph.encode_to_vec();
    let length: u64 = tensors
        .iter()
        .map(|(head, count)| head.len() as u64 + 4 * count)
        .sum();
    let mut start = Vec::new();
    put_varint_field(&mut start, 1, 8);
    put_bytes_field(&mut start, 8, &[0x10, 17]);
    put_length(&mut start, 7, graph.len() as u64 + length);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    out.write_all(&start)?;
    out.write_all(&graph)?;
    // Positive throughout, as a variance must be.
    let number = |index: usize| 0.1 + 0.05 * (index as f32 * 0.37).sin();
    let pattern: Vec<u8> = (0..65_536)
        .flat_map(|index| number(index).to_le_bytes())
        .collect();
    for (head, count) in tensors {
        out.write_all(&head)?;
        let mut left = 4 * count as usize;
        while left > 0 {
            let now = left.min(pattern.len());
            out.write_all(&pattern[..now])?;
            left -= now;
        }
    }
    out.into_inner()?.sync_all()?;
    Ok(())
}

/// A Conv, or a Gemm where the weight is a matrix, and a BN.
fn add_layer(graph: &mut proto::GraphProto, index: usize, dims: &[u64]) {
    let name = |kind: &str| format!("{kind}_{index}");
    let node = |op_type: &str, inputs: &[&str], output: &str, attribute| proto::NodeProto {
        op_type: Some(op_type.to_owned()),
        name: Some(name(op_type)),
        input: inputs.iter().map(|kind| name(kind)).collect(),
        output: vec![name(output)],
        attribute,
        ..Default::default()
    };
    let transposed = proto::AttributeProto {
        name: Some("transB".to_owned()),
        r#type: Some(proto::attribute_proto::AttributeType::Int as i32),
        i: Some(1),
        ..Default::default()
    };
    let layer = match dims {
        [_, _] => node("Gemm", &["x", "weight"], "y", vec![transposed]),
        _ => node("Conv", &["x", "weight"], "y", Vec::new()),
    };
    graph.node.extend([
        layer,
        node(
            "BatchNormalization",
            &["y", "scale", "B", "mean", "var"],
            "z",
            Vec::new(),
        ),
    ]);
    let (inputs, outputs) = match dims {
        [rows, columns] => (vec![1, *columns], vec![1, *rows]),
        _ => (
            vec![1, dims[1], 8, 8],
            vec![1, dims[0], 9 - dims[2], 9 - dims[3]],
        ),
    };
    graph.input.push(value_info(&name("x"), &inputs));
    graph.output.push(value_info(&name("z"), &outputs));
}

fn value_info(name: &str, dims: &[u64]) -> proto::ValueInfoProto {
    let dim = |&extent: &u64| proto::tensor_shape_proto::Dimension {
        value: Some(proto::tensor_shape_proto::dimension::Value::DimValue(
            extent as i64,
        )),
        ..Default::default()
    };
    let shape = Some(proto::TensorShapeProto {
        dim: dims.iter().map(dim).collect(),
    });
    let tensor = proto::type_proto::Tensor {
        elem_type: Some(FLOAT),
        shape,
    };
    let value = Some(proto::type_proto::Value::TensorType(tensor));
    proto::ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(proto::TypeProto {
            value,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// An initializer's field up to its data.
fn tensor_head(name: &str, dims: &[u64]) -> Vec<u8> {
    let size = 4 * dims.iter().product::<u64>();
    let mut body = Vec::new();
    dims.iter()
        .for_each(|&extent| put_varint_field(&mut body, 1, extent));
    put_varint_field(&mut body, 2, FLOAT as u64);
    put_bytes_field(&mut body, 8, name.as_bytes());
    put_length(&mut body, 9, size);
    let mut head = Vec::new();
    put_length(&mut head, 5, body.len() as u64 + size);
    head.extend(body);
    head
}
