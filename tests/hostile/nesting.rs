//! Graphs, functions and groups that nest or call themselves to any depth.

use prost::Message;

use crate::bounds::{SMALL, all_commands};
use crate::models::node;
use crate::parts::{
    batch_norm, branch, call, conv, function, graph, if_node, info, of_functions, of_nodes, plain,
};

fn nested(depth: usize) -> Vec<u8> {
    let leaf = || branch(vec![node("Identity", &["c"], &["z"])]);
    let inner = (0..depth).fold(leaf(), |inner, _| branch(vec![if_node("z", inner, leaf())]));
    let mut message = of_nodes(vec![
        conv("x", "c"),
        batch_norm("c", "y"),
        if_node("t", inner, leaf()),
    ]);
    graph(&mut message).input.push(info("cond", &[], 9));
    message.encode_to_vec()
}

/// A model of graphs in graphs so deep that only its bytes can be put together, not its messages.
fn nested_bytes(depth: usize) -> Vec<u8> {
    let headed = |field: u8, length: usize| {
        let mut header = vec![field << 3 | 2];
        prost::encoding::encode_varint(length as u64, &mut header);
        header
    };
    let node = [&headed(4, 2)[..], b"If"].concat();
    let mut headers = Vec::new();
    let mut length = 0;
    for _ in 0..depth {
        // GraphProto.node, NodeProto.op_type and .attribute, AttributeProto.g
        let attribute = headed(6, length);
        let inside = length + attribute.len();
        let attributes = headed(5, inside);
        let inside = node.len() + attributes.len() + inside;
        let header = [&headed(1, inside)[..], &node, &attributes, &attribute].concat();
        length += header.len();
        headers.push(header);
    }
    headers.push(headed(7, length));
    headers.reverse();
    headers.concat()
}

#[test]
fn branches_in_branches_end_in_a_fold_or_in_a_sentence() {
    assert_eq!(all_commands("8 deep", &nested(8), SMALL).code, 0);
    assert_eq!(all_commands("30 deep", &nested(30), SMALL).code, 0);
    for depth in [60, 1000] {
        let end = all_commands("deeper", &nested(depth), SMALL);
        assert!(end.said.contains("nest more than 100 deep"), "{end:?}");
    }
    for depth in [100, 100_000] {
        assert_eq!(all_commands("bytes", &nested_bytes(depth), SMALL).code, 2);
    }
}

#[test]
fn unknown_groups_in_groups_are_kept_or_refused() {
    for (depth, code) in [(90, 0), (1_000_000, 2)] {
        let mut bytes = plain().encode_to_vec();
        bytes.extend([0x9b, 0x06].repeat(depth));
        bytes.extend([0x9c, 0x06].repeat(depth));
        assert_eq!(all_commands("groups", &bytes, SMALL).code, code);
    }
}

#[test]
fn functions_that_call_themselves_or_grow_beyond_all_bounds_end() {
    let itself = vec![function("F", vec![call("F", "a", "z")])];
    let mutual = vec![
        function("F", vec![call("G", "a", "z")]),
        function("G", vec![call("F", "a", "z")]),
    ];
    let name = |level: usize| {
        if level == 0 {
            "F".to_owned()
        } else {
            format!("F{level}")
        }
    };
    let twice = |level: usize| {
        let next = name(level + 1);
        let calls = vec![call(&next, "a", "b"), call(&next, "b", "z")];
        function(&name(level), calls)
    };
    let leaf = |level: usize| function(&name(level), vec![node("Relu", &["a"], &["z"])]);
    let doubling = (0..40).map(twice).chain([leaf(40)]).collect();
    let once = |level: usize| function(&name(level), vec![call(&name(level + 1), "a", "z")]);
    let deep = (0..10_000).map(once).chain([leaf(10_000)]).collect();
    for (what, functions) in [
        ("itself", itself),
        ("mutual", mutual),
        ("doubling", doubling),
        ("deep", deep),
    ] {
        all_commands(what, &of_functions(functions), SMALL);
    }
}
