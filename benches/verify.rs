//! What a verification costs beside two plain runs of the models that it compares.
//!
//! The model is ResNet-50 at 1×3×224×224 with random weights: 53 Conv, 53 BN, 25.6 million parameters.
//! It is folded and verified as `bnfold MODEL -o OUT` does it: in a process of its own, with the default
//! options, so each sample is run by original and rewritten model in float32 and once more in float64, and
//! every fold's end is compared. The figure is
//!
//! ```text
//! wall time of that verification, from start to verdict, reading both models in both precisions included
//! ───────────────────────────────────────────────────────────────────────────────────────────────────────
//! wall time of the engine's float32 runs of the original on as many samples, then of the rewritten model
//! ```
//!
//! where the runs below the line are on sessions that are loaded and warm. Both are measured in turns, and
//! the medians and the minima of all rounds are divided. The bound is 4.
//!
//! On a machine that is busy with other things, the processor time says more: that of the verification is spent
//! on two processors at once, that of the plain runs on one.
//!
//! `cargo bench --bench verify` prints the figure, where the time goes, and what ONNX Runtime takes for the
//! same runs if `BNFOLD_PYTHON` names a Python that has it (`pip install onnxruntime`).
//! `-- operators` prints the time per operator in float32 and in float64 instead, for this model and for
//! some of other kinds.

#![expect(clippy::print_stdout, reason = "the figures are its product")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bnfold::apply::apply;
use bnfold::engine::{
    BuiltIn, Dim, Engine, ModelBytes, NoObserver, Observer, Precision, Produced, Session, Step,
    Tensor,
};
use bnfold::graph::{Graph, Reading};
use bnfold::onnx::proto::ModelProto;
use bnfold::onnx::{Model, SaveOptions};
use bnfold::plan::{Plan, PlanOptions};
use bnfold::testing::{ToBytes, Value, model};
use bnfold::verify::isolated::{Limits, Source, Worker, verify_isolated};
use bnfold::verify::{Verdict, Verification, VerifyOptions};

type Outcome<T> = Result<T, Box<dyn Error>>;
type Inputs = Vec<(String, Tensor)>;

const ROUNDS: usize = 7;

/// Longer than a worker takes to give its memory back.
const ENDING: Duration = Duration::from_millis(300);

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.any(|argument| argument == "operators") {
        return operators();
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let file = directory.path().join("resnet.onnx");
    std::fs::write(&file, resnet_50().to_bytes())?;
    let folded = Fold::new(&file)?;
    for (stage, time) in &folded.stages {
        println!("{stage:<28} {}", milliseconds(*time));
    }
    for samples in [VerifyOptions::default().samples, 1] {
        compare(&file, &folded, samples)?;
    }
    onnx_runtime(&[file, folded.file.clone()])
}

/// A model's fold, and how long each stage took.
struct Fold {
    file: PathBuf,
    bytes: Vec<u8>,
    ends: Vec<String>,
    stages: Vec<(&'static str, Duration)>,
}

impl Fold {
    fn new(file: &Path) -> Outcome<Fold> {
        let (model, reading) = timed(|| Model::open(file));
        let model = model?;
        let (planned, planning) = timed(|| -> Outcome<_> {
            let graph = Graph::new(&model, Reading::default())?;
            let plan = Plan::new(&graph, &PlanOptions::default())?;
            Ok((graph, plan))
        });
        let (graph, plan) = planned?;
        assert_eq!(plan.counts(), (53, 0), "every BN folds");
        let (folded, folding) = timed(|| -> Outcome<_> {
            let applied = apply(&graph, &plan)?;
            let (bytes, flaws) = applied.edits.to_rope()?.to_vec(&model)?;
            assert!(flaws.is_empty(), "the weights fit their type");
            Ok((applied, bytes))
        });
        let (applied, bytes) = folded?;
        let target = file.with_extension("folded.onnx");
        let (written, writing) = timed(|| applied.edits.save(&target, &SaveOptions::default()));
        written?;
        Ok(Fold {
            file: target,
            bytes,
            ends: applied.ends,
            stages: vec![
                ("read", reading),
                ("plan", planning),
                ("fold", folding),
                ("write", writing),
            ],
        })
    }
}

/// Runs and verifies in turns, and prints what each took.
fn compare(file: &Path, folded: &Fold, samples: usize) -> Outcome<()> {
    let bytes = std::fs::read(file)?;
    let mut original = BuiltIn::default().load(ModelBytes::new(&bytes), Precision::Declared)?;
    let mut rewritten =
        BuiltIn::default().load(ModelBytes::new(&folded.bytes), Precision::Declared)?;
    let inputs: Vec<Inputs> = (0..samples)
        .map(|sample| inputs(original.as_ref(), sample))
        .collect::<Outcome<_>>()?;
    let (mut plain, mut verified) = (Vec::new(), Vec::new());
    let mut computed = [Duration::ZERO; 2];
    for round in 0..=ROUNDS {
        let start = processor_time();
        let first = run_all(original.as_mut(), &inputs)?;
        let second = run_all(rewritten.as_mut(), &inputs)?;
        let middle = processor_time();
        let (verification, time) = timed(|| verify(file, folded, samples));
        // The answer comes before the worker's end, which is no part of its time.
        thread::sleep(ENDING);
        let end = processor_time();
        assert_eq!(verification.verdict, Verdict::Equivalent);
        assert_eq!(verification.samples, samples, "no doubt asked for more");
        // The first round warms the sessions and the file cache.
        if round > 0 {
            plain.push([first, second]);
            verified.push((time, verification.timings));
            computed[0] += middle - start;
            computed[1] += end - middle;
        }
    }
    plain.sort_by_key(|[first, second]| *first + *second);
    verified.sort_by_key(|(time, _)| *time);
    println!("\n{samples} samples                     median       best");
    let row = |name: &str, of: &dyn Fn(usize) -> Duration| {
        let (median, best) = (of(ROUNDS / 2), of(0));
        println!("{name:<28} {} {}", milliseconds(median), milliseconds(best));
    };
    row("original, float32", &|at| plain[at][0]);
    row("rewritten, float32", &|at| plain[at][1]);
    row("verification", &|at| verified[at].0);
    row("  load (twice float32, 64)", &|at| verified[at].1.load);
    row("  float32 pair", &|at| verified[at].1.runs);
    row("  truth, float64 pair", &|at| verified[at].1.truth);
    let ratio = |at: usize| {
        let runs = plain[at][0] + plain[at][1];
        verified[at].0.as_secs_f64() / runs.as_secs_f64()
    };
    println!(
        "{:<28} {:>10.2} {:>10.2}",
        "verification / plain runs",
        ratio(ROUNDS / 2),
        ratio(0)
    );
    let [plain, verified] = computed.map(|time| time / ROUNDS as u32);
    let (plain, verified) = (milliseconds(plain), milliseconds(verified));
    println!("processor time, mean: plain runs {plain}, verification {verified}");
    Ok(())
}

fn verify(file: &Path, folded: &Fold, samples: usize) -> Verification {
    let worker = Worker {
        program: env!("CARGO_BIN_EXE_bnfold").into(),
        arguments: vec!["--serve-one-verification".into()],
        limits: Limits::default(),
    };
    let mut options = VerifyOptions::default();
    options.samples = samples;
    options.compare_values.clone_from(&folded.ends);
    let rewritten = Source::Bytes(ModelBytes::new(&folded.bytes));
    verify_isolated(&worker, Source::File(file), rewritten, &options)
}

fn run_all(session: &mut dyn Session, samples: &[Inputs]) -> Outcome<Duration> {
    let start = Instant::now();
    for inputs in samples {
        session.run(inputs, &mut NoObserver)?;
    }
    Ok(start.elapsed())
}

/// Inputs of the declared shapes, symbolic extents taken as 1.
fn inputs(session: &dyn Session, sample: usize) -> Outcome<Inputs> {
    let mut inputs = Vec::new();
    for port in &session.signature().inputs {
        let dims = port.dims.as_ref().ok_or("an input has no declared shape")?;
        let extent = |dim: &Dim| match dim {
            Dim::Fixed(extent) => *extent,
            _ => 1,
        };
        let shape: Vec<usize> = dims.iter().map(extent).collect();
        let number = |index: usize| ((index * 31 + sample * 7) as f32 * 0.37).sin();
        let numbers = (0..shape.iter().product()).map(number).collect();
        inputs.push((port.name.clone(), Tensor::new(shape, numbers)?));
    }
    Ok(inputs)
}

/// What this process and those that it has waited for have computed so far, in steps of 10 ms.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before these fields may hold spaces, but ends with the last parenthesis.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(4);
    Duration::from_millis(
        10 * ticks
            .filter_map(|tick| tick.parse::<u64>().ok())
            .sum::<u64>(),
    )
}

fn timed<T>(stage: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = stage();
    (result, start.elapsed())
}

fn milliseconds(time: Duration) -> String {
    format!("{:>7.1} ms", time.as_secs_f64() * 1e3)
}

const PYTHON: &str = include_str!("onnx_runtime.py");

/// What the same two runs take on ONNX Runtime.
fn onnx_runtime(files: &[PathBuf]) -> Outcome<()> {
    let Some(python) = std::env::var_os("BNFOLD_PYTHON") else {
        println!(
            "\nset BNFOLD_PYTHON to a Python with onnxruntime (pip install onnxruntime) to compare with it"
        );
        return Ok(());
    };
    let mut command = Command::new(&python);
    command
        .args(["-c", PYTHON, &ROUNDS.to_string()])
        .args(files);
    let output = command.output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{} failed: {words}", python.display()).into());
    }
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// Adds up the time between values by the operator that gave the second.
struct Stopwatch {
    last: Instant,
    times: BTreeMap<String, Duration>,
}

impl Observer for Stopwatch {
    fn value(&mut self, produced: &Produced<'_>) -> Step {
        let now = Instant::now();
        let time = self.times.entry(produced.operator.to_owned()).or_default();
        *time += now - self.last;
        self.last = Instant::now();
        Step::Keep
    }
}

/// The least time of each operator over some runs.
fn profile(bytes: &[u8], precision: Precision) -> Outcome<BTreeMap<String, Duration>> {
    let mut session = BuiltIn::default().load(ModelBytes::new(bytes), precision)?;
    let inputs = inputs(session.as_ref(), 0)?;
    let mut least = BTreeMap::new();
    for _ in 0..=ROUNDS {
        let mut watch = Stopwatch {
            last: Instant::now(),
            times: BTreeMap::new(),
        };
        session.run(&inputs, &mut watch)?;
        for (operator, time) in watch.times {
            let known = least.entry(operator).or_insert(time);
            *known = time.min(*known);
        }
    }
    Ok(least)
}

fn operators() -> Outcome<()> {
    let crnn = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/crnn.onnx"))?;
    let models = [
        ("ResNet-50", resnet_50().to_bytes()),
        ("MobileNet-like", mobile().to_bytes()),
        ("TDNN-like", tdnn().to_bytes()),
        ("CRNN", crnn),
    ];
    for (title, bytes) in models {
        let single = profile(&bytes, Precision::Declared)?;
        let double = profile(&bytes, Precision::Double)?;
        println!("\n{title:<24} float32    float64   ratio");
        let total = |times: &BTreeMap<String, Duration>| times.values().sum::<Duration>();
        let row = |name: &str, single: Duration, double: Duration| {
            let ratio = double.as_secs_f64() / single.as_secs_f64();
            let (single, double) = (milliseconds(single), milliseconds(double));
            println!("{name:<20} {single} {double} {ratio:>7.2}");
        };
        for (operator, &time) in &single {
            row(
                operator,
                time,
                double.get(operator).copied().unwrap_or_default(),
            );
        }
        row("all", total(&single), total(&double));
    }
    Ok(())
}

fn block(x: &Value, channels: usize, kernel: i64, stride: i64) -> Value {
    let convolution = x.conv(channels).kernel([kernel; 2]);
    convolution
        .strides([stride; 2])
        .pads([kernel / 2; 4])
        .batch_norm()
}

fn resnet_50() -> ModelProto {
    model(|g| {
        let x = g.input("image", [1, 3, 224, 224]);
        let x = block(&x, 64, 7, 2).relu().op("MaxPool");
        let mut x = x.kernel([3, 3]).strides([2, 2]).pads([1; 4]);
        for (width, blocks, stride) in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)] {
            for number in 0..blocks {
                let stride = if number == 0 { stride } else { 1 };
                let inner = block(&x, width, 1, 1).relu();
                let inner = block(&inner, width, 3, stride).relu();
                let inner = block(&inner, 4 * width, 1, 1);
                let shortcut = match number {
                    0 => block(&x, 4 * width, 1, stride),
                    _ => x,
                };
                x = inner.add(&shortcut).relu();
            }
        }
        let x = x.global_average_pool().flatten();
        x.linear(1000).output("logits")
    })
}

/// Inverted residuals with depthwise convolutions.
fn mobile() -> ModelProto {
    model(|g| {
        let x = g.input("image", [1, 3, 224, 224]);
        let mut x = block(&x, 32, 3, 2).clip(0.0, 6.0);
        for (width, stride) in [(16, 1), (24, 2), (32, 2), (64, 2), (96, 1), (160, 2)] {
            for stride in [stride, 1] {
                let inner = block(&x, 6 * width, 1, 1).clip(0.0, 6.0);
                let inner = inner.conv(6 * width).group(6 * width as i64);
                let inner = inner.strides([stride; 2]).pads([1; 4]).batch_norm();
                let inner = block(&inner.clip(0.0, 6.0), width, 1, 1);
                let fits = stride == 1 && x.sizes() == inner.sizes();
                x = if fits { inner.add(&x) } else { inner };
            }
        }
        let x = x.global_average_pool().flatten();
        x.linear(1000).output("logits")
    })
}

/// Dilated one-dimensional convolutions over 300 frames.
fn tdnn() -> ModelProto {
    model(|g| {
        let mut x = g.input("frames", [1, 40, 300]);
        for (width, kernel, dilation) in [(512, 5, 1), (512, 3, 2), (512, 3, 3), (512, 1, 1)] {
            let convolution = x.conv(width).kernel([kernel]).dilations([dilation]);
            x = convolution.relu().batch_norm();
        }
        let mean = x.op("ReduceMean").attr("axes", [2]).attr("keepdims", 0);
        mean.linear(512)
            .relu()
            .batch_norm()
            .linear(1000)
            .output("y")
    })
}
