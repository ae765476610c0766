//! What passes between the caller and its worker: CBOR, each message behind its length.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

use serde::{Deserialize, Serialize};

use super::Source;
use crate::verify::options::VerifyOptions;
use crate::verify::verification::Verification;

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

/// The bytes of a model, or the thread that reads them.
enum Pending<'scope> {
    Reading(ScopedJoinHandle<'scope, Result<Vec<u8>, String>>),
    Arrived(Result<Vec<u8>, String>),
}

impl Pending<'_> {
    fn bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Pending::Reading(thread) => {
                let crashed = |_| Err("the reader of a model crashed".to_owned());
                thread.join().unwrap_or_else(crashed)
            }
            Pending::Arrived(bytes) => bytes,
        }
    }
}

/// A file is read while the model behind it arrives.
pub(super) fn receive_models(input: &mut impl Read, header: &Header) -> Result<Models, String> {
    thread::scope(|scope| {
        let [first, second] = header.models.each_ref().map(|sent| match sent {
            Sent::File(path) => Pending::Reading(scope.spawn(move || read_file(path.as_ref()))),
            Sent::Bytes { length, .. } => Pending::Arrived(receive(input, *length)),
        });
        let [one, other] = header.models.each_ref().map(|sent| match sent {
            Sent::File(path) => Path::new(path).parent().map(Path::to_owned),
            Sent::Bytes { directory, .. } => directory.as_ref().map(PathBuf::from),
        });
        Ok([(first.bytes()?, one), (second.bytes()?, other)])
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn receive(input: &mut impl Read, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let expected = usize::try_from(length).map_err(|error| error.to_string())?;
    let reserved = bytes.try_reserve_exact(expected);
    reserved.map_err(|error| error.to_string())?;
    let read = input.take(length).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    match bytes.len() == expected {
        true => Ok(bytes),
        false => Err("the model's bytes end early".to_owned()),
    }
}

/// Two models: their bytes, and where their external data lies.
pub(super) type Models = [(Vec<u8>, Option<PathBuf>); 2];

pub(super) fn reply(verification: &Verification) -> Result<Vec<u8>, String> {
    message(verification)
}

/// One message, or as much of it as comes.
pub(super) fn read_answer(mut output: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before an error still counts.
    let _ = output.by_ref().take(8).read_to_end(&mut bytes);
    if let Some(length) = bytes.first_chunk::<8>() {
        let length = u64::from_le_bytes(*length);
        let _ = output.take(length).read_to_end(&mut bytes);
    }
    bytes
}

/// The verification that a worker's output holds, if it is whole.
pub(super) fn answer(bytes: &[u8]) -> Option<Verification> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let body = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    ciborium::from_reader(body).ok()
}
