//! Undoes content codings.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::{HeaderMap, header};

/// What [`unpack`] understands.
pub(super) const ACCEPTED: &str = "gzip";

/// The maximum of codings of a body. Several proxies could each add one; more are an attack.
const MAX_LAYERS: usize = 2;

/// Why a body cannot be unpacked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// It is larger than the limit.
    TooLarge,
    /// Its end is missing.
    CutShort,
    /// It is not what its coding says.
    Damaged,
    /// It has a coding that was not requested.
    Unknown,
}

/// Undoes the codings that the headers name, the last one first. No step may produce more than `max` bytes.
pub(super) fn unpack(headers: &HeaderMap, body: Bytes, max: usize) -> Result<Bytes, Packed> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let codings: Vec<&str> = values
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
        .collect();
    if codings.len() > MAX_LAYERS || !codings.iter().all(is_gzip) {
        return Err(Packed::Unknown);
    }
    codings.iter().try_fold(body, |body, _| gunzip(&body, max))
}

/// Codings are case-insensitive, and `x-gzip` is an older name of gzip.
fn is_gzip(coding: &&str) -> bool {
    ["gzip", "x-gzip"]
        .iter()
        .any(|name| coding.eq_ignore_ascii_case(name))
}

/// Decompresses gzip. A body may have several members; an empty body stays empty.
fn gunzip(packed: &[u8], max: usize) -> Result<Bytes, Packed> {
    let mut body = Vec::new();
    if packed.is_empty() {
        return Ok(Bytes::new());
    }
    let mut unpacked = MultiGzDecoder::new(packed).take(max as u64 + 1);
    match unpacked.read_to_end(&mut body) {
        Ok(_) if body.len() > max => Err(Packed::TooLarge),
        Ok(_) => Ok(body.into()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Packed::CutShort),
        Err(_) => Err(Packed::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(codings: &[&str], body: Vec<u8>) -> Result<Bytes, Packed> {
        let mut headers = HeaderMap::new();
        for coding in codings {
            headers.append(header::CONTENT_ENCODING, coding.parse().unwrap());
        }
        super::unpack(&headers, body.into(), 1000)
    }

    #[test]
    fn gzip_is_unpacked_under_each_of_its_names() {
        for codings in [
            &["gzip"][..],
            &["GZIP"],
            &["x-gzip"],
            &["X-GZip"],
            &["identity, gzip"],
            &[" gzip ,"],
            &["Identity", "gZip"],
        ] {
            let body = unpack(codings, packed(b"[1,2,3]"));
            assert_eq!(body.as_deref(), Ok(&b"[1,2,3]"[..]), "{codings:?}");
        }
        for codings in [&[][..], &["identity"], &["IDENTITY"], &[""], &[","]] {
            let body = unpack(codings, b"[]".to_vec());
            assert_eq!(body.as_deref(), Ok(&b"[]"[..]), "{codings:?}");
        }
        for codings in [&["gzip, gzip"][..], &["gzip", "x-gzip"]] {
            let body = unpack(codings, packed(&packed(b"[]")));
            assert_eq!(body.as_deref(), Ok(&b"[]"[..]), "{codings:?}");
        }
    }

    #[test]
    fn all_members_of_a_body_count() {
        let members = [packed(b"[1,"), packed(b""), packed(b"2]")].concat();
        assert_eq!(unpack(&["gzip"], members).as_deref(), Ok(&b"[1,2]"[..]));
        assert_eq!(unpack(&["gzip"], vec![]).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn a_body_that_cannot_be_unpacked_says_why() {
        let whole = packed(b"[1,2,3]");
        let cut = |by: usize| whole[..whole.len() - by].to_vec();
        let bomb = packed(&[b' '; 1001]);
        let second_is_cut = [whole.clone(), cut(3)].concat();
        for (codings, body, why) in [
            (&["gzip"][..], cut(1), Packed::CutShort),
            (&["gzip"], cut(9), Packed::CutShort),
            (&["gzip"], second_is_cut, Packed::CutShort),
            (&["gzip"], b"[1,2,3] is no gzip".to_vec(), Packed::Damaged),
            (&["gzip"], bomb.clone(), Packed::TooLarge),
            (&["gzip, gzip"], packed(&bomb), Packed::TooLarge),
            (&["br"], whole.clone(), Packed::Unknown),
            (&["gzip, br"], whole.clone(), Packed::Unknown),
            (&["gzip, gzip, gzip"], whole.clone(), Packed::Unknown),
            (&["gzipped"], whole.clone(), Packed::Unknown),
        ] {
            assert_eq!(unpack(codings, body), Err(why), "{codings:?}");
        }
    }
}
