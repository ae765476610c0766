//! Very many nodes, outputs, initializers, operands and functions: time and memory grow as the file does.

use bnfold::onnx::proto::{GraphProto, ModelProto};
use prost::Message;

use crate::bounds::{Bounds, End, is_well, run};
use crate::is_long;
use crate::models::{node, tensor};
use crate::parts::{batch_norm, chain, conv, function, graph, info, of_functions, of_nodes, plain};

fn folded(what: &str, model: &[u8], bounds: Bounds) -> End {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("m.onnx"), model).unwrap();
    let arguments = ["m.onnx", "-o", "o.onnx", "-q", "--no-verify"];
    let end = run(directory.path(), &arguments, bounds);
    is_well(&end, what);
    assert_eq!(end.code, 0, "{what}: {end:?}");
    let length = model.len() >> 10;
    println!(
        "{what}: {length} kB, {:.2} s, {} MiB",
        end.seconds, end.peak_mebibytes
    );
    end
}

/// Enough for 1e5 parts in a debug build beside other work.
const MANY: Bounds = Bounds {
    seconds: 120,
    mebibytes: 4096,
};

fn row(
    count: usize,
    step: impl Fn(&str, &str, usize) -> Vec<bnfold::onnx::proto::NodeProto>,
) -> ModelProto {
    let mut nodes = Vec::new();
    for i in 0..count {
        nodes.extend(step(&format!("r{i}"), &format!("r{}", i + 1), i));
    }
    nodes.insert(0, conv("x", "r0"));
    nodes.push(node("Identity", &[&format!("r{count}")], &["y"]));
    of_nodes(nodes)
}

#[test]
fn a_long_chain_takes_time_and_memory_by_its_length() {
    let length = if is_long() { 1_000_000 } else { 100_000 };
    let bounds = Bounds {
        seconds: 600,
        mebibytes: 16384,
    };
    let short = folded(
        "a tenth",
        &chain("Relu", length / 10).encode_to_vec(),
        bounds,
    );
    let long = folded("whole", &chain("Relu", length).encode_to_vec(), bounds);
    // A tenth of the file within a generous factor; quadratic growth would be a hundredfold.
    assert!(
        long.seconds < 40.0 * short.seconds.max(0.2),
        "{short:?} {long:?}"
    );
    assert!(
        long.peak_mebibytes < 20 * short.peak_mebibytes.max(40),
        "{short:?} {long:?}"
    );
}

#[test]
fn many_parts_of_any_kind_are_no_trouble() {
    let n = if is_long() { 100_000 } else { 20_000 };
    let numbered = |stem: &str| (0..n).map(|i| format!("{stem}{i}")).collect::<Vec<_>>();
    let mut outputs = plain();
    for name in numbered("o") {
        let graph = graph(&mut outputs);
        graph.node.push(node("Relu", &["y"], &[&name]));
        graph.output.push(info(&name, &[1, 2, 4, 4], 1));
    }
    let mut initializers = plain();
    let more = numbered("i")
        .into_iter()
        .map(|name| tensor(&name, &[1], &[1.0]));
    graph(&mut initializers).initializer.extend(more);
    let mut infos = plain();
    let more = numbered("c").into_iter().map(|name| info(&name, &[1], 1));
    graph(&mut infos).value_info.extend(more);
    let mut constants = plain();
    let links = (0..n).map(|i| node("Identity", &[&format!("w{i}")], &[&format!("w{}", i + 1)]));
    let mut nodes = vec![node("Identity", &["w"], &["w0"])];
    nodes.extend(links);
    nodes.push(node("Conv", &["x", &format!("w{n}")], &["c"]));
    nodes.push(batch_norm("c", "y"));
    graph(&mut constants).node = nodes;
    let operands = numbered("c");
    let mut sum: Vec<_> = operands.iter().map(|name| conv("x", name)).collect();
    let names: Vec<&str> = operands.iter().map(String::as_str).collect();
    sum.push(node("Sum", &names, &["t"]));
    sum.push(batch_norm("t", "y"));
    for (what, message) in [
        ("outputs", outputs),
        ("initializers", initializers),
        ("value infos", infos),
        ("constants in a row", constants),
        ("operands of one sum", of_nodes(sum)),
    ] {
        folded(what, &message.encode_to_vec(), MANY);
    }
    let relu = |name: &String| function(name, vec![node("Relu", &["a"], &["z"])]);
    let mut functions: Vec<_> = numbered("F").iter().map(relu).collect();
    functions.push(relu(&"F".to_owned()));
    folded("functions", &of_functions(functions), MANY);
}

#[test]
fn many_folds_around_shared_weights_are_no_trouble() {
    let n = if is_long() { 20_000 } else { 3_000 };
    let behind = row(n, |from, to, i| {
        let inner = format!("c{i}");
        vec![
            node("Conv", &[from, "square"], &[&inner]),
            batch_norm(&inner, to),
        ]
    });
    let alone = row(n, |from, to, _| vec![batch_norm(from, to)]);
    for (what, mut message) in [("Conv and BN", behind), ("BN after BN", alone)] {
        let square = tensor("square", &[2, 2, 1, 1], &[0.1, 0.2, 0.3, 0.4]);
        graph(&mut message).initializer.push(square);
        folded(what, &message.encode_to_vec(), MANY);
    }
}

#[test]
fn a_model_of_nothing_is_the_output_itself() {
    let nothing = crate::parts::empty();
    assert_eq!(nothing.graph, Some(GraphProto::default()));
    folded("nothing", &nothing.encode_to_vec(), MANY);
}
