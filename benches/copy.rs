//! What a fold costs beside what `cp` costs, in interleaved runs on the same file system with a hot cache.
//!
//! Models are generated: one in the shape of VGG-16-BN, one in that of ResNet-50, and chains that grow from 10 MB to 2 GB.
//! Every weight is scaled per output channel, every BN node and parameter goes, every weight gets a bias.
//! Each run is a process of its own, as `cp` is, and reports its peak memory.
//!
//! `cargo bench --bench copy` runs all; `-- vgg`, `-- resnet`, `-- growth`, `-- nodes` or `-- external` one of them;
//! `-- generate vgg|resnet|nodes|MEGABYTES FILE` writes a model to measure something else with.

#![expect(clippy::print_stdout, reason = "the figures are its product")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bnfold::onnx::model::Name;
use bnfold::onnx::wire::{put_bytes_field, put_length, put_varint_field};
use bnfold::onnx::{Edits, ExternalPolicy, Model, NewData, NewTensor, SaveOptions, Transform};
use ndarray::ArrayD;

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
    if let [command, input, output] = arguments.as_slice() {
        return fold(command, Path::new(input), Path::new(output));
    }
    let wanted =
        |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    println!(
        "{:<22} {:>9} {:>9} {:>9} {:>7} {:>7} {:>9}",
        "model", "MB", "cp", "fold", "median", "best", "peak"
    );
    if wanted("resnet") {
        compare("ResNet-50", &resnet_50(), &directory, "fold")?;
    }
    if wanted("vgg") {
        compare("VGG-16-BN", &vgg_16(), &directory, "fold")?;
    }
    if wanted("growth") {
        for megabytes in [10, 20, 100, 500, 2000] {
            compare(
                &format!("chain of {megabytes} MB"),
                &chain(megabytes),
                &directory,
                "fold",
            )?;
        }
    }
    if wanted("nodes") {
        compare(
            "50,000 layers",
            &vec![vec![1, 1, 1, 1]; 50_000],
            &directory,
            "fold",
        )?;
    }
    if wanted("external") {
        compare("VGG-16-BN to external", &vgg_16(), &directory, "external")?;
    }
    Ok(())
}

fn compare(name: &str, layers: &Layers, directory: &Path, command: &str) -> Outcome<()> {
    let [input, copied, folded] =
        ["in.onnx", "copied.onnx", "folded.onnx"].map(|name| directory.join(name));
    generate(&input, layers)?;
    let size = fs::metadata(&input)?.len();
    let (mut copies, mut folds, mut peak) = (Vec::new(), Vec::new(), 0);
    for round in 0..=ROUNDS {
        let copy = timed(
            Command::new("cp")
                .arg("--reflink=never")
                .arg(&input)
                .arg(&copied),
        )?;
        fs::remove_file(&copied)?;
        let (fold, output) = timed_output(
            Command::new(std::env::current_exe()?)
                .arg(command)
                .arg(&input)
                .arg(&folded),
        )?;
        fs::remove_file(&folded)?;
        // What replaces a file is synced first, and `cp` does not sync.
        drop(fs::remove_file(directory.join("folded.onnx.data")));
        // The first round warms the cache.
        if round > 0 {
            copies.push(copy);
            folds.push(fold);
            peak = peak.max(output.trim().parse::<u64>()?);
        }
    }
    fs::remove_file(&input)?;
    copies.sort();
    folds.sort();
    let ratio = |index: usize| folds[index].as_secs_f64() / copies[index].as_secs_f64();
    let milliseconds =
        |times: &[Duration]| format!("{:.1} ms", times[ROUNDS / 2].as_secs_f64() * 1e3);
    println!(
        "{name:<22} {:>9.1} {:>9} {:>9} {:>7.2} {:>7.2} {:>6.1} MB",
        size as f64 / 1e6,
        milliseconds(&copies),
        milliseconds(&folds),
        ratio(ROUNDS / 2),
        ratio(0),
        peak as f64 / 1e3,
    );
    Ok(())
}

fn timed(command: &mut Command) -> Outcome<Duration> {
    timed_output(command).map(|(time, _)| time)
}

fn timed_output(command: &mut Command) -> Outcome<(Duration, String)> {
    let start = Instant::now();
    let output = command.output()?;
    let time = start.elapsed();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok((time, String::from_utf8(output.stdout)?))
}

/// Scales every weight, takes out what belongs to a BN and prints the peak memory in kB.
fn fold(command: &str, input: &Path, output: &Path) -> Outcome<()> {
    let model = Model::open(input)?;
    let graph = &model.graph;
    if command == "open" {
        return print_peak();
    }
    let mut edits = Edits::new(&model);
    for (pair, tensors) in graph.nodes.chunks(2).zip(graph.initializers.chunks(5)) {
        let ([layer, bn], [weight, parameters @ ..]) = (pair, tensors) else {
            return Err("not a generated model".into());
        };
        let (dims, channels) = (
            weight.dims.clone(),
            weight.dims.first().copied().unwrap_or(1),
        );
        let shape: Vec<usize> = dims
            .iter()
            .enumerate()
            .map(|(axis, &extent)| if axis == 0 { extent } else { 1 })
            .collect();
        let factors = (0..channels)
            .map(|channel| 0.5 + channel as f64 / channels as f64)
            .collect();
        let transform = Arc::new(Transform::new(
            dims,
            ArrayD::from_shape_vec(shape, factors)?,
            Vec::new(),
        )?);
        edits.replace_tensor(
            weight,
            NewData::Transformed {
                from: weight.clone(),
                transform,
            },
        )?;
        let name = Name::from(format!("{}_bias", weight.name).as_str());
        let data = NewData::Values(vec![0.25; channels]);
        edits.add_initializer(
            graph,
            NewTensor {
                name: name.clone(),
                dims: vec![channels],
                data_type: FLOAT,
                data,
            },
        )?;
        edits.rename_input(layer, 2, &name);
        edits.rename_output(layer, 0, &bn.outputs[0]);
        edits.remove_node(bn)?;
        for parameter in parameters {
            edits.remove_initializer(parameter)?;
        }
    }
    let external_data = if command == "external" {
        ExternalPolicy::Always
    } else {
        ExternalPolicy::Auto
    };
    edits.save(
        output,
        &SaveOptions {
            external_data,
            ..SaveOptions::default()
        },
    )?;
    print_peak()
}

fn print_peak() -> Outcome<()> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
    println!("{}", peak.unwrap_or("0"));
    Ok(())
}

fn layers(name: &str) -> Outcome<Layers> {
    Ok(match name {
        "vgg" => vgg_16(),
        "resnet" => resnet_50(),
        "nodes" => vec![vec![1, 1, 1, 1]; 50_000],
        megabytes => chain(megabytes.parse()?),
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

fn chain(megabytes: u64) -> Layers {
    vec![vec![256, 1024 * megabytes / 100, 3, 3]; 10]
}

/// Writes the layers as a model, a tensor at a time.
fn generate(path: &Path, layers: &Layers) -> Outcome<()> {
    let mut nodes = Vec::new();
    let mut tensors = Vec::new();
    for (index, dims) in layers.iter().enumerate() {
        let name = |kind: &str| format!("{kind}_{index}");
        let parameters = ["scale", "B", "mean", "var"].map(name);
        let op_type = if dims.len() == 2 { "Gemm" } else { "Conv" };
        put_node(
            &mut nodes,
            op_type,
            &[&format!("x_{index}"), &name("weight")],
            &name("y"),
        );
        let inputs = [
            &name("y"),
            &parameters[0],
            &parameters[1],
            &parameters[2],
            &parameters[3],
        ];
        put_node(
            &mut nodes,
            "BatchNormalization",
            &inputs,
            &format!("x_{}", index + 1),
        );
        tensors.push((
            tensor_head(&name("weight"), dims),
            dims.iter().product::<u64>(),
        ));
        tensors.extend(parameters.map(|name| (tensor_head(&name, &dims[..1]), dims[0])));
    }
    let length: u64 = tensors
        .iter()
        .map(|(head, count)| head.len() as u64 + 4 * count)
        .sum();
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut head = Vec::new();
    put_varint_field(&mut head, 1, 8);
    put_length(&mut head, 7, nodes.len() as u64 + length);
    out.write_all(&head)?;
    out.write_all(&nodes)?;
    let number = |index: usize| (index as f32 * 0.37).sin() * 0.1;
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
    let mut opset = Vec::new();
    put_varint_field(&mut opset, 2, 17);
    let mut tail = Vec::new();
    put_bytes_field(&mut tail, 8, &opset);
    out.write_all(&tail)?;
    out.into_inner()?.sync_all()?;
    Ok(())
}

fn put_node(out: &mut Vec<u8>, op_type: &str, inputs: &[&String], output: &str) {
    let mut node = Vec::new();
    inputs
        .iter()
        .for_each(|input| put_bytes_field(&mut node, 1, input.as_bytes()));
    put_bytes_field(&mut node, 2, output.as_bytes());
    put_bytes_field(&mut node, 3, format!("{op_type}_{output}").as_bytes());
    put_bytes_field(&mut node, 4, op_type.as_bytes());
    put_bytes_field(out, 1, &node);
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
