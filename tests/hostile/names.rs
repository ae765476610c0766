//! Names that stand twice or are no text.

use prost::Message;

use crate::bounds::{SMALL, all_commands};
use crate::models::node;
use crate::parts::{batch_norm, call, conv, function, graph, of_functions, of_nodes, plain};

#[test]
fn names_that_stand_twice_are_told_apart_or_refused() {
    let mut nodes = plain();
    graph(&mut nodes)
        .node
        .iter_mut()
        .for_each(|node| node.name = Some("n".to_owned()));
    let values = of_nodes(vec![
        conv("x", "c"),
        node("Relu", &["x"], &["c"]),
        batch_norm("c", "y"),
    ]);
    let mut initializers = plain();
    let again = graph(&mut initializers).initializer.clone();
    graph(&mut initializers).initializer.extend(again);
    let mut inputs = plain();
    let again = graph(&mut inputs).input.clone();
    graph(&mut inputs).input.extend(again);
    let mut imports = plain();
    imports.opset_import.extend(imports.opset_import.clone());
    let twice = vec![function("F", vec![node("Relu", &["a"], &["z"])]); 2];
    let own = vec![function(
        "F",
        vec![node("Relu", &["a"], &["z"]), call("F", "z", "z")],
    )];
    for (what, bytes, code) in [
        ("nodes", nodes.encode_to_vec(), 0),
        ("values", values.encode_to_vec(), 2),
        ("initializers", initializers.encode_to_vec(), 2),
        ("imports", imports.encode_to_vec(), 0),
    ] {
        assert_eq!(all_commands(what, &bytes, SMALL).code, code, "{what}");
    }
    for (what, bytes) in [
        ("inputs", inputs.encode_to_vec()),
        ("functions", of_functions(twice)),
        ("a value in a function", of_functions(own)),
    ] {
        all_commands(what, &bytes, SMALL);
    }
}

#[test]
fn names_that_are_no_text_are_kept_or_refused() {
    let mut message = plain();
    let nodes = &mut graph(&mut message).node;
    nodes[0].output[0] = "QQQQ".to_owned();
    nodes[1].input[0] = "QQQQ".to_owned();
    nodes[1].name = Some("QQQQ".to_owned());
    let mut bytes = message.encode_to_vec();
    for at in 0..bytes.len() - 4 {
        if &bytes[at..at + 4] == b"QQQQ" {
            bytes[at..at + 4].copy_from_slice(b"\xff\xc3\x28\x80");
        }
    }
    all_commands("no text", &bytes, SMALL);
}
