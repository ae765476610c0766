fn main() {
    let a: Vec<String> = std::env::args().collect();
    let m = bnfold::onnx::Model::open(a[1].as_ref()).unwrap();
    let f = bnfold::fold::fold(&m, bnfold::graph::Reading{evaluate: Some(bnfold::engine::constant::evaluate), freeze_inputs:false}, &Default::default())
        .unwrap_or_else(|e| panic!("{e}"));
    for e in &f.plan.entries {
        match &e.outcome {
            bnfold::plan::Outcome::Folded(fold) => println!(
                "{} {} -> {:?} via {:?}",
                e.label,
                fold.way.name(),
                fold.sites
                    .iter()
                    .map(|s| format!("{} {}", s.label, s.side))
                    .collect::<Vec<_>>(),
                fold.carriers
            ),
            bnfold::plan::Outcome::Stays(r) => {
                for (w, r) in r {
                    println!("{} stays: {} {r}", e.label, w.name())
                }
            }
        }
    }
    println!(
        "counts {:?} nodes_removed {}",
        f.plan.counts(),
        f.applied.nodes_removed
    );
    f.applied
        .edits
        .save(a[2].as_ref(), &Default::default())
        .unwrap();
}
