//! The kernel's speed beside that of a plain copy of the same bytes, measured in turns.
//!
//! `cargo bench --bench kernel [-- FILTER]` prints GB/s, counting what an ideal kernel must move:
//! one read and one write in inference mode, two reads and one write in training mode.
//! `share` is the median over the turns of the kernel's rate by the copy's, `from` and `to` are the
//! quartiles.
//! Values begin with a line of the cache, as those of an engine do.
//! For f16 on x86-64 with AVX-512 it ends with `least`: a loop of the processor's conversions and the
//! fewest operations that the formula and the sums can do with, on values that never leave the nearest
//! cache. A kernel far below it is slow for another reason than its arithmetic.
//! Beside it stands tract's own BatchNormalization, which allocates what it returns.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use bnfold::batch_norm::{Attributes, BatchNorm, Element, Normalizer, Parameters};
use half::{bf16, f16};
use ndarray::{ArrayViewD, ArrayViewMutD, IxDyn};
use rayon::prelude::*;

const SHAPES: [&[usize]; 7] = [
    &[1, 64, 112, 112],
    &[32, 256, 56, 56],
    &[8, 2048, 7, 7],
    &[4096, 512],
    &[2, 64, 16, 56, 56],
    &[100_000, 3],
    &[64, 512, 4, 4],
];

/// How long the turns of one comparison go on, and how many there are at least.
/// Turns are short and the median counts, so other work on the machine hardly shows.
const TIME: Duration = Duration::from_millis(400);
const TURNS: usize = 15;

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with('-'))
        .unwrap_or_default();
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{:20} {:5} {:7} {:20} {:>8} {:>8} {:>6} {:>6} {:>6}",
        "shape", "dtype", "threads", "kernel", "GB/s", "copy", "share", "from", "to"
    );
    for threads in [1, all] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        pool.install(|| {
            for shape in SHAPES {
                bench::<f32>(shape, "f32", &filter);
                bench::<f16>(shape, "f16", &filter);
                bench::<bf16>(shape, "bf16", &filter);
            }
        });
    }
}

/// Elements that begin with a line of the cache.
struct Value<T> {
    shape: Vec<usize>,
    elements: Vec<T>,
    start: usize,
}

impl<T: Element> Value<T> {
    fn new(shape: &[usize], mut next: impl FnMut() -> T) -> Self {
        const LINE: usize = 64;
        let length: usize = shape.iter().product();
        let mut elements = vec![T::default(); length + LINE];
        let start = elements.as_ptr().align_offset(LINE);
        elements[start..start + length].fill_with(&mut next);
        Self {
            shape: shape.to_vec(),
            elements,
            start,
        }
    }

    fn places(&self) -> Range<usize> {
        self.start..self.start + self.shape.iter().product::<usize>()
    }

    fn slice(&self) -> &[T] {
        &self.elements[self.places()]
    }

    fn slice_mut(&mut self) -> &mut [T] {
        let places = self.places();
        &mut self.elements[places]
    }

    fn view(&self) -> ArrayViewD<'_, T> {
        ArrayViewD::from_shape(IxDyn(&self.shape), self.slice()).expect("as many elements")
    }

    fn view_mut(&mut self) -> ArrayViewMutD<'_, T> {
        let shape = IxDyn(&self.shape);
        ArrayViewMutD::from_shape(shape, self.slice_mut()).expect("as many elements")
    }
}

/// Reads the one and writes the other, or only rewrites that.
type Run<'a, T> = dyn Fn(ArrayViewD<'_, T>, ArrayViewMutD<'_, T>) + 'a;

/// One way to normalise, and how often it must move the value through memory.
struct Contender<'a, T> {
    name: &'static str,
    passes: f64,
    run: Box<Run<'a, T>>,
}

fn bench<T: Element>(shape: &[usize], dtype: &str, filter: &str) {
    if !format!("{shape:?} {dtype}").contains(filter) {
        return;
    }
    let channels = shape[1];
    let mut state = 1u64;
    let x = Value::new(shape, || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        T::from_f64((state >> 40) as f64 / f64::from(1 << 24) - 0.5)
    });
    let ones = vec![1.0f64; channels];
    let parameters = Parameters::new(&ones, &ones, &ones, &ones).expect("equal lengths");
    let attributes = Attributes {
        training_mode: Some(1),
        ..Attributes::default()
    };
    let node = BatchNorm::new(15, &attributes, 3).expect("valid attributes");
    let normalizer = Normalizer::new(&parameters, 1e-5, true);
    for contender in contenders(&node, &normalizer, &parameters) {
        compare(&x, dtype, &contender);
    }
    #[cfg(target_arch = "x86_64")]
    if dtype == "f16" && rayon::current_num_threads() == 1 {
        for contender in least::contenders(&x) {
            compare(&x, dtype, &contender);
        }
    }
    #[cfg(feature = "engine")]
    if dtype == "f32" && rayon::current_num_threads() == 1 {
        compare(&x, dtype, &tract::contender(&x));
    }
}

/// All that are measured; another implementation joins here.
fn contenders<'a, T: Element>(
    node: &'a BatchNorm,
    normalizer: &'a Normalizer,
    parameters: &'a Parameters,
) -> Vec<Contender<'a, T>> {
    vec![
        Contender {
            name: "inference",
            passes: 2.0,
            run: Box::new(|x, y| normalizer.apply_into(x, y).expect("shapes fit")),
        },
        Contender {
            name: "inference in place",
            passes: 2.0,
            run: Box::new(|_, y| normalizer.apply_in_place(y).expect("shapes fit")),
        },
        Contender {
            name: "training",
            passes: 3.0,
            run: Box::new(|x, y| {
                node.train_into(x, parameters, y).expect("shapes fit");
            }),
        },
        Contender {
            name: "training in place",
            passes: 3.0,
            run: Box::new(|_, y| {
                node.train_in_place(y, parameters).expect("shapes fit");
            }),
        },
    ]
}

fn compare<T: Element>(x: &Value<T>, dtype: &str, contender: &Contender<'_, T>) {
    let mut elements = x.slice().iter().copied();
    let mut y = Value::new(&x.shape, || elements.next().unwrap_or_default());
    let bytes = size_of_val(x.slice()) as f64;
    let repeats = (1e7 / bytes).ceil() as usize;
    let start = Instant::now();
    let mut turns: Vec<[f64; 2]> = Vec::new();
    while turns.len() < TURNS || start.elapsed() < TIME {
        let copy = time(repeats, || {
            copy(x.slice(), y.slice_mut());
            black_box(y.slice_mut());
        });
        let kernel = time(repeats, || {
            (contender.run)(x.view(), y.view_mut());
            black_box(y.slice_mut());
        });
        let rate = |passes: f64, time: Duration| {
            passes * bytes * repeats as f64 / time.as_secs_f64() / 1e9
        };
        turns.push([rate(contender.passes, kernel), rate(2.0, copy)]);
    }
    let [rate, copy_rate] = [0, 1].map(|which| sorted(turns.iter().map(|turn| turn[which])));
    let shares = sorted(turns.iter().map(|[rate, copy]| 100.0 * rate / copy));
    let quartile = |quarters: usize| quarters * (turns.len() - 1) / 4;
    println!(
        "{:20} {dtype:5} {:7} {:20} {:8.1} {:8.1} {:5.0}% {:5.0}% {:5.0}%",
        format!("{:?}", x.shape).replace(' ', ""),
        rayon::current_num_threads(),
        contender.name,
        rate[quartile(2)],
        copy_rate[quartile(2)],
        shares[quartile(2)],
        shares[quartile(1)],
        shares[quartile(3)],
    );
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn time(repeats: usize, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..repeats {
        work();
    }
    start.elapsed()
}

fn copy<T: Element>(from: &[T], to: &mut [T]) {
    if rayon::current_num_threads() == 1 {
        return to.copy_from_slice(from);
    }
    let pieces = to.par_chunks_mut(1 << 16).zip(from.par_chunks(1 << 16));
    pieces.for_each(|(to, from)| to.copy_from_slice(from));
}

#[cfg(target_arch = "x86_64")]
mod least {
    use std::arch::x86_64::*;
    use std::cell::RefCell;
    use std::hint::black_box;

    use bytemuck::must_cast;
    use fearless_simd::prelude::*;
    use fearless_simd::{Level, f32x16, kernel};

    use super::{Contender, Element, Value};

    /// Elements that stay in the nearest cache, read and written.
    const NEAR: usize = 1 << 12;

    /// `x·factor + offset` of as many elements as `x` has, without and with the sums of training mode
    /// before it; nothing on a processor without AVX-512.
    pub(super) fn contenders<T: Element>(x: &Value<T>) -> Vec<Contender<'static, T>> {
        let Some(avx512) = Level::new().as_avx512() else {
            return Vec::new();
        };
        let times = x.slice().len().div_ceil(NEAR);
        let contender = |name, passes, sums| {
            let values = RefCell::new([[0x3c00; NEAR]; 2]);
            Contender {
                name,
                passes,
                run: Box::new(move |_, _| {
                    for _ in 0..times {
                        let [from, to] = &mut *values.borrow_mut();
                        if sums {
                            black_box(add_up(avx512, from));
                        }
                        normalize(avx512, from, to);
                        black_box(to);
                    }
                }),
            }
        };
        vec![
            contender("least inference", 2.0, false),
            contender("least training", 3.0, true),
        ]
    }

    kernel!(
        fn normalize(avx512: Avx512, from: &[u16; NEAR], to: &mut [u16; NEAR]) {
            let factor = f32x16::splat(avx512, black_box(1.5));
            let offset = f32x16::splat(avx512, black_box(0.5));
            for (to, from) in to.as_chunks_mut().0.iter_mut().zip(from.as_chunks().0) {
                let value = _mm512_cvtph_ps(must_cast::<[u16; 16], __m256i>(*from));
                let value = f32x16::simd_from(avx512, value).mul_add(factor, offset);
                let value = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value.into());
                *to = must_cast::<__m256i, [u16; 16]>(value);
            }
        }
    );

    kernel!(
        fn add_up(avx512: Avx512, from: &[u16; NEAR]) -> [[f32; 16]; 8] {
            let mut sums = [[f32x16::splat(avx512, 0.0); 2]; 4];
            for from in from.as_chunks::<64>().0 {
                for ([sum, squares], from) in sums.iter_mut().zip(from.as_chunks().0) {
                    let value = _mm512_cvtph_ps(must_cast::<[u16; 16], __m256i>(*from));
                    let value = f32x16::simd_from(avx512, value);
                    *sum += value;
                    *squares = value.mul_add(value, *squares);
                }
            }
            // No closure: it would not be compiled for these vectors.
            let mut lanes = [[0.0; 16]; 8];
            for (lanes, sum) in lanes.iter_mut().zip(sums.as_flattened()) {
                *lanes = sum.to_array();
            }
            lanes
        }
    );
}

#[cfg(feature = "engine")]
mod tract {
    use bnfold::testing::model;
    use prost::Message;
    use tract_onnx::prelude::*;

    use super::{Contender, Element, Value};

    /// tract's own kernel, as it runs a model of one node on `x` in f32.
    pub(super) fn contender<T: Element>(x: &Value<T>) -> Contender<'static, T> {
        let model = model(|g| g.input("x", &x.shape).batch_norm().output("y"));
        let runnable = tract_onnx::onnx()
            .model_for_read(&mut model.encode_to_vec().as_slice())
            .and_then(|model| model.into_optimized())
            .and_then(|model| model.into_runnable())
            .expect("tract runs a BatchNormalization");
        let values: Vec<f32> = x
            .slice()
            .iter()
            .map(|value| value.to_f64() as f32)
            .collect();
        let input = Tensor::from_shape(&x.shape, &values).expect("as many elements");
        let input = input.into_tvalue();
        Contender {
            name: "tract",
            passes: 2.0,
            run: Box::new(move |_, _| {
                runnable.run(tvec!(input.clone())).expect("tract runs");
            }),
        }
    }
}
