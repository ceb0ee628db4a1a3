//! Packs rows from CallTools for a file: a JSON array compressed with zlib, to a tenth of its size. Any tool can unpack it.

use std::io::{self, Read, Write};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use serde::Serialize;
use serde_json::value::RawValue;

/// In bytes. No list that openseat reads is larger, so larger data is not ours.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;

/// Packs rows.
pub fn pack(rows: impl Iterator<Item = impl Serialize>) -> Vec<u8> {
    let rows: Vec<_> = rows.collect();
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let json = serde_json::to_vec(&rows).expect("rows that were JSON before serialize");
    packed
        .write_all(&json)
        .and_then(|()| packed.finish())
        .expect("writing to memory cannot fail")
}

/// Unpacks rows.
///
/// # Errors
/// Anything that [`pack`] did not write.
pub fn unpack(packed: &[u8]) -> io::Result<Vec<Box<RawValue>>> {
    let mut json = String::new();
    ZlibDecoder::new(packed)
        .take(MAX_UNPACKED)
        .read_to_string(&mut json)?;
    Ok(serde_json::from_str(&json)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::available;

    #[test]
    fn rows_survive_packing_and_other_input_is_rejected() {
        let agents = available(25);
        let packed = pack(agents.iter().map(|agent| &agent.raw));
        let raw = |row: &RawValue| row.get().to_owned();
        let back: Vec<_> = unpack(&packed)
            .unwrap()
            .iter()
            .map(|row| raw(row))
            .collect();
        assert_eq!(
            back,
            agents
                .iter()
                .map(|agent| raw(&agent.raw.json()))
                .collect::<Vec<_>>()
        );
        for wrong in [&b""[..], b"[]", &packed[..packed.len() / 2]] {
            assert!(unpack(wrong).is_err());
        }
    }
}
