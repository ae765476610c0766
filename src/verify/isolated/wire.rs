//! What passes between the caller and its worker: CBOR, each message behind its length.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Source;
use crate::verify::options::VerifyOptions;
use crate::verify::verdict::Verification;

/// A model, or where it is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Sent {
    File(OsString),
    /// So many bytes follow the header.
    Bytes {
        length: u64,
        directory: Option<OsString>,
    },
}

/// All that a worker is told, the models' bytes apart.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) options: VerifyOptions,
    pub(super) models: [Sent; 2],
    pub(super) memory: Option<u64>,
}

fn message(content: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; 8];
    ciborium::into_writer(content, &mut bytes).map_err(|error| error.to_string())?;
    let length = (bytes.len() as u64 - 8).to_le_bytes();
    bytes[..8].copy_from_slice(&length);
    Ok(bytes)
}

pub(super) fn header(
    sources: [Source<'_>; 2],
    options: &VerifyOptions,
    memory: Option<u64>,
) -> Result<Vec<u8>, String> {
    let models = sources.map(|source| match source {
        Source::File(path) => Sent::File(path.as_os_str().to_owned()),
        Source::Bytes(model) => Sent::Bytes {
            length: model.bytes.len() as u64,
            directory: model.directory.map(|path| path.as_os_str().to_owned()),
        },
    });
    message(&Header {
        options: options.clone(),
        models,
        memory,
    })
    .map_err(|error| format!("could not be told what to do ({error})"))
}

pub(super) fn receive_header(input: &mut impl Read) -> Result<Header, String> {
    let mut length = [0; 8];
    input
        .read_exact(&mut length)
        .map_err(|error| error.to_string())?;
    let limited = input.take(u64::from_le_bytes(length));
    ciborium::from_reader(limited).map_err(|error| error.to_string())
}

pub(super) fn receive_models(input: &mut impl Read, header: &Header) -> Result<Models, String> {
    let mut receive = |sent: &Sent| match sent {
        Sent::File(path) => {
            let path = PathBuf::from(path);
            let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            Ok((bytes, path.parent().map(ToOwned::to_owned)))
        }
        Sent::Bytes { length, directory } => {
            let mut bytes = Vec::new();
            input
                .by_ref()
                .take(*length)
                .read_to_end(&mut bytes)
                .map_err(|e| e.to_string())?;
            if bytes.len() as u64 != *length {
                return Err("the model's bytes end early".to_owned());
            }
            Ok((bytes, directory.as_ref().map(PathBuf::from)))
        }
    };
    let [first, second] = &header.models;
    Ok([receive(first)?, receive(second)?])
}

/// Two models: their bytes, and where their external data lies.
pub(super) type Models = [(Vec<u8>, Option<PathBuf>); 2];

pub(super) fn reply(verification: &Verification) -> Result<Vec<u8>, String> {
    message(verification)
}

/// The verification that a worker's output holds, if it is whole.
pub(super) fn answer(bytes: &[u8]) -> Option<Verification> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let body = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    ciborium::from_reader(body).ok()
}
