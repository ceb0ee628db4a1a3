//! Rows as CallTools sent them, packed for a file: a JSON array under zlib, a tenth of its size, which any tool can unpack.

use std::io::{self, Read, Write};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use serde_json::value::RawValue;

/// No list that openseat reads is longer; what unpacks to more is not ours.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Packs rows.
pub fn pack<'a>(rows: impl Iterator<Item = &'a RawValue>) -> Vec<u8> {
    let rows: Vec<&RawValue> = rows.collect();
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let json = serde_json::to_vec(&rows).expect("rows that were JSON before serialize");
    packed
        .write_all(&json)
        .and_then(|()| packed.finish())
        .expect("writing to memory cannot fail")
}

/// The rows that were packed.
///
/// # Errors
/// Anything that [`pack`] did not write.
pub fn unpack(packed: &[u8]) -> io::Result<Vec<Box<RawValue>>> {
    let mut json = String::new();
    ZlibDecoder::new(packed)
        .take(LONGEST)
        .read_to_string(&mut json)?;
    Ok(serde_json::from_str(&json)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::available;

    #[test]
    fn rows_come_back_as_they_were_and_nothing_else_does() {
        let agents = available(25);
        let packed = pack(agents.iter().map(|agent| &*agent.raw));
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
                .map(|agent| raw(&agent.raw))
                .collect::<Vec<_>>()
        );
        for wrong in [&b""[..], b"[]", &packed[..packed.len() / 2]] {
            assert!(unpack(wrong).is_err());
        }
    }
}
