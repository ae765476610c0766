//! NumPy's `.npz` format: a zip archive of `.npy` members, stored or deflated.
//!
//! Of the zip format what NumPy writes: one disk, no encryption, sizes of 64 bits where needed.
//! Members are found through the central directory; their checksums are compared.

use std::path::Path;

use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::{DataError, Sample, npy};

/// The largest member that is unpacked, so that a small archive cannot fill the memory.
const LARGEST_MEMBER: u64 = 8 << 30;

pub(super) fn parse(path: &Path, archive: &[u8]) -> Result<Sample, DataError> {
    let fail = |reason: String| DataError::new(path, reason);
    let members = directory(archive).ok_or_else(|| fail("it is no .npz file".to_owned()))?;
    if overlap(&members) {
        // Else a few bytes could unpack into any amount, once per member.
        return Err(fail("its members overlap".to_owned()));
    }
    let mut inputs = Vec::with_capacity(members.len());
    for member in &members {
        let name = &member.name;
        let in_member = |reason: String| fail(format!("member {name:?}: {reason}"));
        let bytes = member.unpack(archive).map_err(in_member)?;
        let tensor = npy::parse(&bytes).map_err(in_member)?;
        let name = name.strip_suffix(".npy").unwrap_or(name).to_owned();
        // np.savez without keywords calls its members arr_0, arr_1, …
        let is_unnamed = name
            .strip_prefix("arr_")
            .is_some_and(|n| n.parse::<usize>().is_ok());
        inputs.push(((!is_unnamed).then_some(name), tensor));
    }
    Ok(Sample {
        origin: path.to_owned(),
        inputs,
        outputs: Vec::new(),
        is_strict: true,
    })
}

fn overlap(members: &[Member]) -> bool {
    let span = |member: &Member| (member.header, member.header.saturating_add(member.packed));
    let mut spans: Vec<(u64, u64)> = members.iter().map(span).collect();
    spans.sort_unstable();
    spans.windows(2).any(|pair| pair[0].1 > pair[1].0)
}

/// An entry of the central directory.
struct Member {
    name: String,
    method: u16,
    checksum: u32,
    packed: u64,
    unpacked: u64,
    header: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The members, from the records at the archive's end.
fn directory(archive: &[u8]) -> Option<Vec<Member>> {
    const END: &[u8] = b"PK\x05\x06";
    // The record is followed by a comment of up to 65,535 bytes.
    let tail = archive.len().saturating_sub(22 + 65_535);
    let end = tail
        + archive[tail..]
            .windows(4)
            .rposition(|window| window == END)?;
    archive.get(end..end + 22)?;
    let (mut count, mut start) = (
        u64::from(u16_at(archive, end + 10)?),
        u64::from(u32_at(archive, end + 16)?),
    );
    let locator = end
        .checked_sub(20)
        .filter(|&at| archive[at..].starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let wide = usize::try_from(u64_at(archive, locator + 8)?).ok()?;
        archive
            .get(wide..)?
            .starts_with(b"PK\x06\x06")
            .then_some(())?;
        (count, start) = (u64_at(archive, wide + 32)?, u64_at(archive, wide + 48)?);
    }
    let mut at = usize::try_from(start).ok()?;
    let mut members = Vec::new();
    for _ in 0..count {
        let record = archive.get(at..)?;
        record.starts_with(b"PK\x01\x02").then_some(())?;
        let [name, extra, comment] = [
            u16_at(record, 28)?,
            u16_at(record, 30)?,
            u16_at(record, 32)?,
        ]
        .map(usize::from);
        members.push(member(record, name, extra)?);
        at += 46 + name + extra + comment;
    }
    Some(members)
}

fn member(record: &[u8], name: usize, extra: usize) -> Option<Member> {
    let text = std::str::from_utf8(record.get(46..46 + name)?).ok()?;
    let mut member = Member {
        name: text.to_owned(),
        method: u16_at(record, 10)?,
        checksum: u32_at(record, 16)?,
        packed: u32_at(record, 20)?.into(),
        unpacked: u32_at(record, 24)?.into(),
        header: u32_at(record, 42)?.into(),
    };
    let mut fields = record.get(46 + name..46 + name + extra)?;
    while let (Some(kind), Some(length)) = (u16_at(fields, 0), u16_at(fields, 2)) {
        let body = fields.get(4..4 + usize::from(length))?;
        if kind == 1 {
            // The 64-bit numbers stand for those of 32 bits that are all ones, in this order.
            let mut next = body.chunks_exact(8).map(|chunk| u64_at(chunk, 0));
            for number in [&mut member.unpacked, &mut member.packed, &mut member.header] {
                if *number == u64::from(u32::MAX) {
                    *number = next.next()??;
                }
            }
        }
        fields = &fields[4 + usize::from(length)..];
    }
    Some(member)
}

impl Member {
    fn unpack(&self, archive: &[u8]) -> Result<Vec<u8>, String> {
        if self.unpacked > LARGEST_MEMBER {
            return Err(format!("it is larger than {LARGEST_MEMBER} bytes"));
        }
        let packed = self.packed_bytes(archive).ok_or("it is cut off")?;
        let bytes = match self.method {
            0 => packed.to_vec(),
            8 => decompress_to_vec_with_limit(packed, self.unpacked as usize)
                .map_err(|error| format!("it does not unpack ({error})"))?,
            other => {
                return Err(format!(
                    "it is packed by method {other}, which is not supported"
                ));
            }
        };
        if bytes.len() as u64 != self.unpacked || crc32(&bytes) != self.checksum {
            return Err("it is damaged: its checksum differs".to_owned());
        }
        Ok(bytes)
    }

    fn packed_bytes<'a>(&self, archive: &'a [u8]) -> Option<&'a [u8]> {
        let header = archive.get(usize::try_from(self.header).ok()?..)?;
        header.starts_with(b"PK\x03\x04").then_some(())?;
        let start = 30 + usize::from(u16_at(header, 26)?) + usize::from(u16_at(header, 28)?);
        header.get(start..start.checked_add(usize::try_from(self.packed).ok()?)?)
    }
}

/// The checksum of zip archives (polynomial 0xEDB88320, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0u32; 256];
    for (index, entry) in table.iter_mut().enumerate() {
        *entry = (0..8).fold(index as u32, |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        });
    }
    let step = |crc: u32, &byte: &u8| (crc >> 8) ^ table[usize::from(crc as u8 ^ byte)];
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec;

    use super::*;
    use crate::engine::Tensor;

    /// An archive as NumPy writes it: with 64-bit sizes in every header.
    fn archive(members: &[(&str, bool, &[u8])]) -> Vec<u8> {
        let (mut out, mut central) = (Vec::new(), Vec::new());
        for (name, is_packed, content) in members {
            let packed = if *is_packed {
                compress_to_vec(content, 6)
            } else {
                content.to_vec()
            };
            let method = if *is_packed { 8u16 } else { 0 };
            let sizes = [
                (content.len() as u64).to_le_bytes(),
                (packed.len() as u64).to_le_bytes(),
            ];
            let extra = [&[1, 0, 16, 0][..], &sizes[0], &sizes[1]].concat();
            let offset = out.len() as u32;
            let common = [
                &45u16.to_le_bytes()[..],
                &[0; 2],
                &method.to_le_bytes(),
                &[0; 4],
                &crc32(content).to_le_bytes(),
                &[0xff; 8],
                &(name.len() as u16).to_le_bytes(),
                &(extra.len() as u16).to_le_bytes(),
            ]
            .concat();
            out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), &extra, &packed].concat());
            let tail = [&[0; 10][..], &offset.to_le_bytes(), name.as_bytes(), &extra].concat();
            central.extend([b"PK\x01\x02", &[45, 0][..], &common, &tail].concat());
        }
        let (count, start) = ((members.len() as u16).to_le_bytes(), out.len() as u32);
        let size = central.len() as u32;
        out.extend(central);
        out.extend([b"PK\x05\x06", &[0; 4][..], &count, &count].concat());
        out.extend([&size.to_le_bytes()[..], &start.to_le_bytes(), &[0; 2]].concat());
        out
    }

    fn member_bytes() -> Vec<u8> {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}";
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        let body: Vec<u8> = [1.5f32, -2.0]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &body].concat()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Sample, DataError> {
        parse(Path::new("x.npz"), bytes)
    }

    #[test]
    fn stored_and_deflated_members_are_read_by_name() {
        let member = member_bytes();
        let members = [("x.npy", false, &member[..]), ("arr_0.npy", true, &member)];
        let sample = read_bytes(&archive(&members)).unwrap();
        let tensor = Tensor::vector(vec![1.5f32, -2.0]);
        assert_eq!(
            sample.inputs,
            [(Some("x".to_owned()), tensor.clone()), (None, tensor)]
        );
    }

    #[test]
    fn damage_is_noticed_and_never_panics() {
        let member = member_bytes();
        let whole = archive(&[("x.npy", true, &member)]);
        assert!(
            read_bytes(b"no archive")
                .unwrap_err()
                .to_string()
                .contains("no .npz file")
        );
        for length in 0..whole.len() {
            assert!(read_bytes(&whole[..length]).is_err(), "cut at {length}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            let _ = read_bytes(&bytes);
        }
        let mut stored = archive(&[("x.npy", false, &member)]);
        stored[30 + 5 + 20 + member.len() - 1] ^= 1;
        assert!(
            read_bytes(&stored)
                .unwrap_err()
                .to_string()
                .contains("damaged")
        );
    }

    #[test]
    fn members_that_share_their_bytes_are_refused() {
        let header = "{'descr': '|i1', 'fortran_order': False, 'shape': (100000,)}";
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        let member = [
            b"\x93NUMPY\x01\x00",
            &length[..],
            header.as_bytes(),
            &[0; 100_000],
        ]
        .concat();
        let whole = archive(&[("x.npy", true, &member)]);
        assert_eq!(read_bytes(&whole).unwrap().inputs.len(), 1);
        let end = whole.len() - 22;
        let start = u32_at(&whole, end + 16).unwrap() as usize;
        let mut record = whole[end..].to_vec();
        record[8..12].copy_from_slice(&[3, 0, 3, 0]);
        let shared = [&whole[..start], &whole[start..end].repeat(3), &record].concat();
        let error = read_bytes(&shared).unwrap_err().to_string();
        assert!(error.contains("overlap"), "{error}");
    }

    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
