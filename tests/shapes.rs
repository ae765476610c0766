//! Shapes that the file does not state, behind operators that stand in front of a BatchNormalization.

use bnfold::graph::{Dim, Graph, Reading};
use bnfold::onnx::Model;
use bnfold::testing::builder::{self, Value};
use bnfold::testing::{Tensor, ToBytes, model};

/// The inferred extents of what the node of an operator gives; −1 where they are not known.
fn extents(op: &str, build: impl Fn(&builder::Graph, &Value) -> Value) -> Option<Vec<i64>> {
    let built = model(|g| {
        let y = build(g, &g.input("x", [2, 4, 6, 5]));
        y.op("Relu").output("z")
    });
    let read = Model::from_bytes(built.to_bytes()).expect("the model reads");
    let graph = Graph::new(&read, Reading::default()).expect("the graph is sound");
    let node = graph.node_ids().find(|&node| *graph.node(node).op == *op);
    let shape = graph.shape(graph.output(node?, 0)?)?;
    let extent = |dim: &Dim| dim.known().map_or(-1, |extent| extent as i64);
    Some(shape.0.iter().map(extent).collect())
}

fn list(g: &builder::Graph, name: &str, elements: &[i64]) -> Value {
    g.initializer(
        name,
        Tensor::ints(&[elements.len()], elements.iter().copied()),
    )
}

#[test]
fn operators_that_keep_every_extent() {
    for op in ["Atan", "Shrink", "Trilu", "RandomNormalLike"] {
        let same = extents(op, |_, x| x.op(op));
        assert_eq!(same, Some(vec![2, 4, 6, 5]), "{op}");
    }
    let summed = extents("CumSum", |g, x| {
        g.op("CumSum", &[x, &list(g, "axis", &[1])])
    });
    assert_eq!(summed, Some(vec![2, 4, 6, 5]));
    let scattered = extents("ScatterND", |g, x| {
        let (at, new) = (g.input("at", [1, 4]), g.input("new", [1]));
        g.op("ScatterND", &[x, &at, &new])
    });
    assert_eq!(scattered, Some(vec![2, 4, 6, 5]));
}

#[test]
fn operators_that_read_elsewhere() {
    let sampled = extents("GridSample", |g, x| {
        g.op("GridSample", &[x, &g.input("grid", [2, 8, 9, 2])])
    });
    assert_eq!(sampled, Some(vec![2, 4, 8, 9]));
    let cropped = extents("RoiAlign", |g, x| {
        let (rois, batch) = (g.input("rois", [7, 4]), g.input("batch", [7]));
        g.op("RoiAlign", &[x, &rois, &batch])
            .attr("output_height", 3)
            .attr("output_width", 2)
    });
    assert_eq!(cropped, Some(vec![7, 4, 3, 2]));
    let gathered = extents("GatherElements", |g, x| {
        g.op("GatherElements", &[x, &g.input("at", [2, 4, 1, 5])])
    });
    assert_eq!(gathered, Some(vec![2, 4, 1, 5]));
    let places = |batch: i64, depth: usize| {
        extents("GatherND", |g, x| {
            g.op("GatherND", &[x, &g.input("at", [2, 3, depth])])
                .attr("batch_dims", batch)
        })
    };
    assert_eq!(places(0, 2), Some(vec![2, 3, 6, 5]));
    assert_eq!(places(1, 2), Some(vec![2, 3, 5]));
    // More axes than there are.
    assert_eq!(places(0, 5), None);
}

#[test]
fn operators_that_repeat_or_choose() {
    let tiled = |repeats: &[i64]| {
        extents("Tile", |g, x| {
            g.op("Tile", &[x, &list(g, "repeats", repeats)])
        })
    };
    assert_eq!(tiled(&[1, 2, 1, 3]), Some(vec![2, 8, 6, 15]));
    assert_eq!(tiled(&[1, -2, 1, 1]), Some(vec![2, -1, 6, 5]));
    let computed = extents("Tile", |g, x| g.op("Tile", &[x, &g.input("repeats", [4])]));
    assert_eq!(computed, Some(vec![-1; 4]));
    let largest = |axis: i64| {
        extents("TopK", |g, x| {
            g.op("TopK", &[x, &list(g, "k", &[3])]).attr("axis", axis)
        })
    };
    assert_eq!(largest(1), Some(vec![2, 3, 6, 5]));
    assert_eq!(largest(-1), Some(vec![2, 4, 6, 3]));
    assert_eq!(largest(4), None);
}
