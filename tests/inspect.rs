//! `bnfold inspect`: the table, its orders, and the graph for Graphviz.

use std::process::{Command, Stdio};

use bnfold::testing::{Tensor, ToBytes, model};

mod desk;
use desk::{Desk, code, fixtures, stderr, stdout};

fn inspect(desk: &Desk, flags: &[&str]) -> String {
    let output = desk.run(&[&["inspect", "model.onnx"], flags].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    stdout(&output)
}

/// A BN that folds and one that stays, with a dead channel and a tiny variance.
fn desk() -> Desk {
    let desk = Desk::new();
    let built = model(|g| {
        let scale = g.initializer("scale", Tensor::floats(&[4], [1.0, -40.0, 0.0, 2.0]));
        let var = g.initializer("var", Tensor::floats(&[4], [1.0, 1.0, 1.0, 4e-6]));
        let x = g.input("x", [1, 4, 5, 5]).conv(8).batch_norm().sigmoid();
        let x = x.conv(4).sigmoid().batch_norm();
        x.with_input(1, &scale)
            .with_input(4, &var)
            .sigmoid()
            .output("y")
    });
    desk.put("model.onnx", &built.to_bytes());
    desk
}

#[test]
fn the_table_comes_first_and_the_reasons_of_those_that_stay_after_it() {
    insta::assert_snapshot!(inspect(&desk(), &[]), @r##"
    model.onnx: 7 nodes, 2 BatchNormalizations, opset 17, 3.2 kB
      name  channels  epsilon         scale           shift            var  dead  verdict
      bn_0         8   1.0e-5  0.499 … 1.67  -0.877 … 0.708   0.606 … 1.71     0  upstream → conv_0
      bn_1         4   1.0e-5   -40.0 … 535    -0.224 … 397  4.0e-6 … 1.00     1  stays: nonlinear
      stay 1
        bn_1
          upstream   nonlinear (impossible) at sigmoid_1 (Sigmoid): Sigmoid lets no affine pass
          downstream nonlinear (impossible) at sigmoid_2 (Sigmoid): Sigmoid lets no affine pass
    "##);
}

#[test]
fn the_ways_that_were_tried_are_shown_on_demand() {
    insta::assert_snapshot!(inspect(&desk(), &["-v"]), @r##"
    model.onnx: 7 nodes, 2 BatchNormalizations, opset 17, 3.2 kB
      name  channels  epsilon         scale           shift            var  dead  verdict
      bn_0         8   1.0e-5  0.499 … 1.67  -0.877 … 0.708   0.606 … 1.71     0  upstream → conv_0
      bn_1         4   1.0e-5   -40.0 … 535    -0.224 … 397  4.0e-6 … 1.00     1  stays: nonlinear
      folded 1
        bn_0 → conv_0 (output)
      stay 1
        bn_1
          upstream   nonlinear (impossible) at sigmoid_1 (Sigmoid): Sigmoid lets no affine pass
          downstream nonlinear (impossible) at sigmoid_2 (Sigmoid): Sigmoid lets no affine pass
          sideways   no-sibling (impossible) at bn_1 (BatchNormalization): no convolution of its input is summed with it
    "##);
}

#[test]
fn a_column_orders_the_table_and_the_json() {
    let desk = desk();
    let first = |column: &str| {
        let said = inspect(&desk, &["--sort", column]);
        let line = said.lines().nth(2).expect("a first row").to_owned();
        line.split_whitespace().next().expect("a name").to_owned()
    };
    let orders = [
        "name", "channels", "scale", "shift", "var", "dead", "verdict",
    ]
    .map(first);
    assert_eq!(
        orders,
        ["bn_0", "bn_0", "bn_1", "bn_1", "bn_1", "bn_1", "bn_1"]
    );
    let json = inspect(&desk, &["--sort", "verdict", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(report["batch_norms"][0]["name"], "bn_1");
    let wrong = desk.run(&["inspect", "model.onnx", "--sort", "colour"]);
    assert_eq!(code(&wrong), 2);
    assert!(stderr(&wrong).contains("verdict"), "{}", stderr(&wrong));
}

#[test]
fn the_graph_for_graphviz_shows_who_takes_what() {
    insta::assert_snapshot!(inspect(&desk(), &["--dot", "--only", "bn_0"]), @r##"
    digraph bnfold {
      node [shape=box, style=rounded, fontname="sans-serif"];
      edge [fontname="sans-serif", fontsize=10];
      n0 [label="BatchNormalization\nbn_0\nfolded upstream", style="rounded,filled", fillcolor="#dafbe1"];
      n1 [label="Conv\nconv_0", penwidth=2, color="#1a7f37"];
      n2 [label="Sigmoid\nsigmoid_0"];
      n3 [label="Conv\nconv_1"];
      n4 [label="x", shape=plaintext];
      n0 -> n2;
      n1 -> n0;
      n2 -> n3;
      n4 -> n1;
      n0 -> n1 [label="output", style=dashed, color="#1a7f37", fontcolor="#1a7f37", constraint=false];
    }
    "##);
}

/// Each statement is a node with a label or an edge between nodes that were declared.
fn check_dot(text: &str) {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("digraph bnfold {"));
    let mut declared = Vec::new();
    for line in lines {
        let line = line.trim();
        if line == "}" || line.starts_with("node [") || line.starts_with("edge [") {
            continue;
        }
        let statement = line.strip_suffix(';').expect("a statement ends");
        match statement.split_once(" -> ") {
            Some((from, to)) if !from.contains('[') => {
                let to = to.split_whitespace().next().expect("an end");
                assert!(declared.contains(&from.to_owned()), "{line}");
                assert!(declared.contains(&to.to_owned()), "{line}");
            }
            _ => {
                let (id, attributes) = statement.split_once(' ').expect("attributes");
                assert!(
                    attributes.starts_with("[label=\"") && attributes.ends_with(']'),
                    "{line}"
                );
                let quotes = attributes.replace("\\\\", "").replace("\\\"", "");
                assert_eq!(quotes.matches('"').count() % 2, 0, "{line}");
                declared.push(id.to_owned());
            }
        }
    }
    assert!(!declared.is_empty());
    assert!(text.ends_with("}\n"));
}

/// Graphviz's own word, where it is installed.
fn ask_graphviz(text: &str) {
    let dot = Command::new("dot")
        .arg("-Tdot")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut dot) = dot else { return };
    let mut stdin = dot.stdin.take().expect("an input");
    std::io::Write::write_all(&mut stdin, text.as_bytes()).expect("a reader");
    drop(stdin);
    let output = dot.wait_with_output().expect("Graphviz ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("syntax error"),
        "{said}"
    );
}

#[test]
fn every_graph_is_valid_for_graphviz() {
    for name in [
        "unet",
        "stgcn",
        "siamese",
        "pointmlp3d__dynamo",
        "unet__dynopt",
    ] {
        let desk = Desk::new();
        let bytes = std::fs::read(fixtures().join(format!("{name}.onnx"))).expect("a fixture");
        desk.put("model.onnx", &bytes);
        let text = inspect(&desk, &["--dot"]);
        if name != "unet__dynopt" {
            check_dot(&text);
        }
        ask_graphviz(&text);
    }
    let desk = Desk::new();
    let mut hostile = model(|g| {
        g.input("x", [1, 4, 5, 5])
            .conv(4)
            .batch_norm()
            .relu()
            .output("y")
    });
    for node in &mut hostile.graph.get_or_insert_default().node {
        node.name = Some(format!("{}\"];}}\\\n-> \\N &amp; \u{1b}", node.name()));
    }
    desk.put("model.onnx", &hostile.to_bytes());
    let text = inspect(&desk, &["--dot"]);
    check_dot(&text);
    ask_graphviz(&text);
}
