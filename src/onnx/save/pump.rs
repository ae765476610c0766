//! From a rope to a writer: one thread reads and transforms, the other writes, and a few buffers go round between them.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::io_error;
use crate::onnx::error::{Flaw, ReadError, WriteError};
use crate::onnx::load::Model;
use crate::onnx::rope::{PageBuffer, Rope, RopeReader};

/// Buffers under way.
const BUFFERS: usize = 4;
/// A shorter rope is not worth a thread.
const SHORT: u64 = 2 << 20;

type Filled = Result<(PageBuffer, usize), ReadError>;

/// Writes a whole rope, and says what its tensors could not hold.
pub(super) fn pump(
    model: &Model,
    rope: &Rope,
    writer: &mut dyn Write,
    name: &Path,
) -> Result<Vec<Flaw>, WriteError> {
    if rope.len() < SHORT {
        return rope.write_to(model, writer).map_err(|error| error.at(name));
    }
    let (filled_sender, filled) = sync_channel::<Filled>(BUFFERS);
    let (empty_sender, empty) = sync_channel::<PageBuffer>(BUFFERS);
    for _ in 0..BUFFERS {
        // The channel has room for all of them.
        drop(empty_sender.try_send(PageBuffer::new()));
    }
    std::thread::scope(|scope| {
        let reading =
            scope.spawn(move || read(RopeReader::new(model, rope), &empty, &filled_sender));
        let written = write(&filled, &empty_sender, writer, name);
        // A reader that waits for a buffer or for room sees that nobody is left.
        drop((filled, empty_sender));
        let flaws = reading
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written.map(|()| flaws)
    })
}

fn read(
    mut reader: RopeReader<'_>,
    empty: &Receiver<PageBuffer>,
    filled: &SyncSender<Filled>,
) -> Vec<Flaw> {
    while let Ok(mut buffer) = empty.recv() {
        let result = reader.fill(buffer.bytes());
        let is_last = matches!(result, Ok(0) | Err(_));
        if !matches!(result, Ok(0)) && filled.send(result.map(|count| (buffer, count))).is_err()
            || is_last
        {
            break;
        }
    }
    reader.flaws
}

fn write(
    filled: &Receiver<Filled>,
    empty: &SyncSender<PageBuffer>,
    writer: &mut dyn Write,
    name: &Path,
) -> Result<(), WriteError> {
    while let Ok(next) = filled.recv() {
        let (mut buffer, count) = next?;
        let bytes = buffer.bytes().get(..count).unwrap_or_default();
        writer
            .write_all(bytes)
            .map_err(|source| io_error(name, source))?;
        // The reading thread may be done already and want no more buffers.
        drop(empty.try_send(buffer));
    }
    Ok(())
}
