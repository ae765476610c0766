//! NumPy's `.npy` format, versions 1 to 3: a header that is a Python dictionary, then the elements.

use half::f16;

use crate::engine::{Element, Tensor};

/// The longest header that is read; NumPy's own are below 128 bytes.
const LONGEST_HEADER: usize = 1 << 16;

/// The tensor that the bytes of a `.npy` file hold.
pub(super) fn parse(bytes: &[u8]) -> Result<Tensor, String> {
    let (header, body) = split(bytes).ok_or("it is no .npy file")?;
    let descr = entry(header, "descr").ok_or("its header has no type")?;
    let descr = descr.trim_matches(|c| c == '\'' || c == '"');
    let is_column_major = entry(header, "fortran_order") == Some("True");
    let shape = shape(entry(header, "shape").ok_or("its header has no shape")?)
        .ok_or("its header's shape is invalid")?;
    let tensor = elements(descr, &shape, body, is_column_major)?;
    Ok(tensor)
}

fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (&[major, _], rest) = rest.split_first_chunk::<2>()?;
    let (length, rest) = if major == 1 {
        let (length, rest) = rest.split_first_chunk::<2>()?;
        (usize::from(u16::from_le_bytes(*length)), rest)
    } else {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        (u32::from_le_bytes(*length) as usize, rest)
    };
    let header = rest.get(..length).filter(|_| length <= LONGEST_HEADER)?;
    Some((std::str::from_utf8(header).ok()?, &rest[length..]))
}

/// The text of a key's value: up to the next comma outside parentheses.
fn entry<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let after = quoted
        .iter()
        .find_map(|key| header.split_once(key.as_str()))?
        .1;
    let value = after.trim_start().strip_prefix(':')?.trim_start();
    let mut depth = 0usize;
    let end = value.find(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' | '}' => return depth == 0,
            _ => {}
        }
        false
    })?;
    Some(value[..end].trim())
}

fn shape(text: &str) -> Option<Vec<usize>> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    let extents = inner
        .split(',')
        .map(str::trim)
        .filter(|extent| !extent.is_empty());
    extents
        .map(|extent| extent.trim_end_matches('L').parse().ok())
        .collect()
}

fn elements(
    descr: &str,
    shape: &[usize],
    body: &[u8],
    is_column_major: bool,
) -> Result<Tensor, String> {
    let (order, kind) = match descr.split_at_checked(1) {
        Some((order @ ("<" | ">" | "|" | "="), kind)) => (order, kind),
        _ => ("|", descr),
    };
    let is_swapped = order == ">";
    macro_rules! read {
        ($type:ty) => {
            decode::<$type, { size_of::<$type>() }>(shape, body, is_column_major, |mut raw| {
                if is_swapped {
                    raw.reverse();
                }
                <$type>::from_le_bytes(raw)
            })
        };
    }
    match kind {
        "f2" => read!(f16),
        "f4" => read!(f32),
        "f8" => read!(f64),
        "i1" => read!(i8),
        "i2" => read!(i16),
        "i4" => read!(i32),
        "i8" => read!(i64),
        "u1" => read!(u8),
        "u2" => read!(u16),
        "u4" => read!(u32),
        "u8" => read!(u64),
        "b1" => decode::<bool, 1>(shape, body, is_column_major, |raw| raw != [0]),
        other => Err(format!(
            "it holds elements of NumPy type {other:?}, which the engine lacks"
        )),
    }
}

fn decode<T: Element, const WIDTH: usize>(
    shape: &[usize],
    body: &[u8],
    is_column_major: bool,
    element: impl Fn([u8; WIDTH]) -> T,
) -> Result<Tensor, String> {
    let (chunks, rest) = body.as_chunks::<WIDTH>();
    if !rest.is_empty() {
        return Err("its last element is cut off".to_owned());
    }
    let elements: Vec<T> = chunks.iter().map(|raw| element(*raw)).collect();
    let count = elements.len();
    let misfit = |_| format!("its {count} elements do not fill its shape {shape:?}");
    let tensor = Tensor::new(shape.to_vec(), elements).map_err(misfit)?;
    if !is_column_major || shape.len() < 2 {
        return Ok(tensor);
    }
    let elements = tensor.elements::<T>().unwrap_or_default();
    let ordered = column_major_positions(shape).map(|position| elements[position].clone());
    Tensor::new(shape.to_vec(), ordered.collect()).map_err(misfit)
}

/// Where each element of a row-major walk lies in column-major storage.
fn column_major_positions(shape: &[usize]) -> impl Iterator<Item = usize> {
    let mut steps = Vec::with_capacity(shape.len());
    let mut step = 1usize;
    for extent in shape {
        steps.push(step);
        step *= extent;
    }
    let shape = shape.to_vec();
    (0..step).map(move |mut rest| {
        let axes = shape.iter().zip(&steps).rev();
        axes.fold(0, |position, (&extent, &step)| {
            let index = rest % extent;
            rest /= extent;
            position + index * step
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), body].concat()
    }

    #[test]
    fn elements_are_read_in_both_byte_orders_and_both_layouts() {
        let little: Vec<u8> = (0..6).flat_map(|x: i32| x.to_le_bytes()).collect();
        let big: Vec<u8> = (0..6).flat_map(|x: i32| x.to_be_bytes()).collect();
        let rows = Tensor::new(vec![2, 3], vec![0i32, 1, 2, 3, 4, 5]).unwrap();
        let columns = Tensor::new(vec![2, 3], vec![0i32, 2, 4, 1, 3, 5]).unwrap();
        let header = |descr: &str, order: &str| {
            format!(
                "{{'descr': '{descr}', 'fortran_order': {order}, 'shape': (2, 3), }}          \n"
            )
        };
        assert_eq!(
            parse(&file(&header("<i4", "False"), &little)),
            Ok(rows.clone())
        );
        assert_eq!(parse(&file(&header(">i4", "False"), &big)), Ok(rows));
        assert_eq!(parse(&file(&header("<i4", "True"), &little)), Ok(columns));
    }

    #[test]
    fn scalars_flags_and_halves_are_read() {
        let header = |descr: &str, shape: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}")
        };
        assert_eq!(
            parse(&file(&header("|b1", "(2,)"), &[1, 0])),
            Ok(Tensor::vector(vec![true, false]))
        );
        let half = f16::from_f32(1.5).to_le_bytes();
        assert_eq!(
            parse(&file(&header("<f2", "()"), &half)),
            Ok(Tensor::scalar(f16::from_f32(1.5)))
        );
    }

    #[test]
    fn broken_files_are_told_from_unknown_types() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}";
        for (bytes, said) in [
            (b"PK\x03\x04".to_vec(), "no .npy file"),
            (file(header, &[0; 11]), "cut off"),
            (file(header, &[0; 8]), "do not fill"),
            (
                file("{'descr': '<U4', 'fortran_order': False, 'shape': ()}", &[]),
                "\"U4\"",
            ),
            (
                file(
                    "{'descr': '<f4', 'shape': (1152921504606846976, 1024)}",
                    &[],
                ),
                "do not fill",
            ),
        ] {
            let reason = parse(&bytes).unwrap_err();
            assert!(reason.contains(said), "{reason}");
        }
        for length in 0..80 {
            let whole = file(header, &[0; 12]);
            let _ = parse(&whole[..length.min(whole.len())]);
        }
    }
}
