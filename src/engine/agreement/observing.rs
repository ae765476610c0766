//! What a caller sees and changes while a model runs.

use super::*;

#[test]
fn an_observer_sees_every_named_value_and_may_replace_it() {
    struct Doubling(Vec<String>);
    impl Observer for Doubling {
        fn value(&mut self, produced: &Produced<'_>) -> Step {
            self.0.push(produced.name.to_owned());
            if produced.operator != "Relu" {
                return Step::Keep;
            }
            let doubled = produced
                .tensor
                .elements::<f32>()
                .unwrap()
                .iter()
                .map(|x| 2.0 * x)
                .collect();
            Step::Replace(Tensor::new(produced.tensor.shape().to_vec(), doubled).unwrap())
        }
    }
    let model = model(|g| {
        g.input("x", [2])
            .relu()
            .value_name("r")
            .op("Neg")
            .output("y")
    });
    let mut observer = Doubling(Vec::new());
    let x = ("x".to_owned(), Tensor::vector(vec![-1f32, 3.0]));
    let outputs = load(&model).unwrap().run(&[x], &mut observer).unwrap();
    assert_eq!(observer.0, ["r", "y"]);
    assert_eq!(only(outputs), [0.0, -6.0]);
}

#[test]
fn perturbed_weights_move_by_at_most_one_rounding_and_steering_numbers_stay() {
    let model = model(|g| {
        g.input("x", [1, 3, 6, 6])
            .conv(4)
            .resize([1.0, 1.0, 1.5, 1.5])
            .output("y")
    });
    let bytes = model.to_bytes();
    let other = self::model(|g| g.input("x", [1]).relu().output("y")).to_bytes();
    let x = (
        "x".to_owned(),
        Tensor::new(vec![1, 3, 6, 6], vec![1f32; 108]).unwrap(),
    );
    let of = |session: Result<Box<dyn Session>, EngineError>| {
        only(
            session
                .unwrap()
                .run(std::slice::from_ref(&x), &mut NoObserver)
                .unwrap(),
        )
    };
    let (engine, bytes) = (BuiltIn::default(), ModelBytes::new(&bytes));
    let exact = of(engine.load(bytes, Precision::Double));
    assert_eq!(exact, of(engine.load_perturbed(bytes, bytes, 1)));
    let moved = of(engine.load_perturbed(bytes, ModelBytes::new(&other), 1));
    assert_eq!(exact.len(), moved.len());
    assert_ne!(exact, moved);
    for (exact, moved) in exact.iter().zip(&moved) {
        // 27 weights of magnitude below 1, each off by 2⁻²⁴ of itself at most.
        assert!(
            (exact - moved).abs() <= 27.0 * 2f64.powi(-24),
            "{exact} {moved}"
        );
    }
}
