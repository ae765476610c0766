//! Which value of a sample belongs to which input or output of a model.

use super::Sample;
use crate::engine::{Dim, Port, Tensor};

/// Values in the ports' order: by name where one fits, the others by position.
///
/// `Err` says what does not fit, and names the sample.
pub(crate) fn resolve<'a>(
    sample: &'a Sample,
    kind: &str,
    values: &'a [(Option<String>, Tensor)],
    ports: &[Port],
) -> Result<Vec<&'a Tensor>, String> {
    let origin = sample.origin.display();
    let names = || -> Vec<&str> { ports.iter().map(|port| port.name.as_str()).collect() };
    let is_known = |name: &Option<String>| {
        name.as_ref()
            .is_some_and(|name| ports.iter().any(|port| port.name == *name))
    };
    let stranger = values
        .iter()
        .find(|(name, _)| sample.is_strict && name.is_some() && !is_known(name));
    if let Some((Some(stranger), _)) = stranger {
        let names = names();
        return Err(format!(
            "{origin} names {stranger:?}, the model's {kind}s are {names:?}"
        ));
    }
    if values.len() != ports.len() {
        let plural = if values.len() == 1 { "" } else { "s" };
        let (given, wanted, names) = (values.len(), ports.len(), names());
        return Err(format!(
            "{origin} gives {given} {kind}{plural}, the model has {wanted}: {names:?}"
        ));
    }
    let mut unnamed = values
        .iter()
        .filter(|(name, _)| !is_known(name))
        .map(|(_, tensor)| tensor);
    let mut resolved = Vec::with_capacity(ports.len());
    for port in ports {
        let named = values
            .iter()
            .find(|(name, _)| name.as_deref() == Some(port.name.as_str()));
        let tensor = named.map(|(_, tensor)| tensor).or_else(|| unnamed.next());
        let tensor =
            tensor.ok_or_else(|| format!("{origin} gives no value for {:?}", port.name))?;
        fits(port, tensor)
            .map_err(|reason| format!("{origin}: {kind} {:?} {reason}", port.name))?;
        resolved.push(tensor);
    }
    Ok(resolved)
}

/// Whether a value has the type and the extents that a port declares; `Err` says what it has not.
pub(in crate::verify) fn fits(port: &Port, tensor: &Tensor) -> Result<(), String> {
    if let Some(element) = port.element.filter(|&element| element != tensor.element()) {
        return Err(format!(
            "is declared {element}, the value is {}",
            tensor.element()
        ));
    }
    let Some(dims) = &port.dims else {
        return Ok(());
    };
    let agrees = |(dim, &extent): (&Dim, &usize)| match dim {
        Dim::Fixed(declared) => *declared == extent,
        Dim::Symbol(_) | Dim::Unknown => true,
    };
    if dims.len() != tensor.rank() || !dims.iter().zip(tensor.shape()).all(agrees) {
        let dim = |dim: &Dim| match dim {
            Dim::Fixed(extent) => extent.to_string(),
            Dim::Symbol(name) => name.clone(),
            Dim::Unknown => "?".to_owned(),
        };
        let declared = dims.iter().map(dim).collect::<Vec<_>>().join(", ");
        return Err(format!(
            "is declared [{declared}], the value is {:?}",
            tensor.shape()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ElementType;

    fn port(name: &str, extent: usize) -> Port {
        Port {
            name: name.to_owned(),
            element: Some(ElementType::Float32),
            dims: Some(vec![Dim::Fixed(extent)]),
        }
    }

    fn sample(values: &[(Option<&str>, usize)]) -> Sample {
        let value = |(name, extent): &(Option<&str>, usize)| {
            (name.map(str::to_owned), Tensor::vector(vec![0f32; *extent]))
        };
        Sample {
            origin: "data".into(),
            inputs: values.iter().map(value).collect(),
            outputs: vec![],
            is_strict: false,
        }
    }

    fn lengths(values: &[(Option<&str>, usize)]) -> Result<Vec<usize>, String> {
        let sample = sample(values);
        let ports = [port("a", 2), port("b", 3)];
        let found = resolve(&sample, "input", &sample.inputs, &ports)?;
        Ok(found.iter().map(|tensor| tensor.len()).collect())
    }

    #[test]
    fn values_belong_by_name_and_else_by_position() {
        assert_eq!(lengths(&[(Some("b"), 3), (Some("a"), 2)]), Ok(vec![2, 3]));
        assert_eq!(lengths(&[(None, 2), (None, 3)]), Ok(vec![2, 3]));
        assert_eq!(lengths(&[(Some("b"), 3), (None, 2)]), Ok(vec![2, 3]));
        for (first, second) in [("in0", "in1"), ("a", "in1"), ("in0", "b")] {
            let named = [(Some(first), 2), (Some(second), 3)];
            assert_eq!(lengths(&named), Ok(vec![2, 3]));
        }
    }

    #[test]
    fn misfits_are_said() {
        for (values, said) in [
            (&[(None, 2)][..], "gives 1 input, the model has 2"),
            (
                &[(None, 3), (None, 3)],
                "input \"a\" is declared [2], the value is [3]",
            ),
        ] {
            let reason = lengths(values).unwrap_err();
            assert!(reason.contains(said), "{reason}");
        }
        for values in [&[(Some("a"), 2), (Some("c"), 3)][..], &[(Some("c"), 2)]] {
            let sample = Sample {
                is_strict: true,
                ..sample(values)
            };
            let ports = [port("a", 2), port("b", 3)];
            let reason = resolve(&sample, "input", &sample.inputs, &ports).unwrap_err();
            assert!(reason.contains("names \"c\""), "{reason}");
        }
        let sample = Sample {
            inputs: vec![(None, Tensor::vector(vec![0f64; 2]))],
            ..sample(&[])
        };
        let reason = resolve(&sample, "input", &sample.inputs, &[port("a", 2)]).unwrap_err();
        assert!(
            reason.contains("is declared float32, the value is float64"),
            "{reason}"
        );
    }
}
