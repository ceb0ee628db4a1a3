use std::io::Read as _;

use flate2::read::GzDecoder;

use super::*;
use crate::{clock::Clock as _, fixtures::Still};

fn request(headers: &[(HeaderName, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, value.parse().expect("a value"));
    }
    map
}

#[test]
fn gzip_is_sent_only_to_clients_that_accept_it() {
    for accepting in [
        "gzip",
        "br, gzip",
        "GZIP;q=0.5",
        "gzip;q=1.0, identity",
        "gzip ; q=1",
    ] {
        let request_headers = request(&[(header::ACCEPT_ENCODING, accepting)]);
        assert!(accepts_gzip(&request_headers), "{accepting}");
    }
    for refusing in [
        "",
        "br",
        "gzip;q=0",
        "gzip;q=0.000",
        "xgzip",
        "identity, gzip; q=0",
    ] {
        let request_headers = request(&[(header::ACCEPT_ENCODING, refusing)]);
        assert!(!accepts_gzip(&request_headers), "{refusing}");
    }
    assert!(!accepts_gzip(&HeaderMap::new()));
}

#[test]
fn a_page_with_the_same_content_is_not_sent_again() {
    let now = Still::new().now();
    let page = RenderedPage::new("<p>10:00".to_owned(), &["p"]);
    let later = RenderedPage::new("<p>10:01".to_owned(), &["p"]);
    let other = RenderedPage::new("<q>10:01".to_owned(), &["q"]);
    let tag = page.answer(&HeaderMap::new(), now).headers()[header::ETAG].clone();
    let tag = tag.to_str().expect("a text");
    let strong = tag.trim_start_matches("W/");
    for known in [tag, strong, "*", &format!("\"a\", {tag}")] {
        let request_headers = request(&[(header::IF_NONE_MATCH, known)]);
        let status = |page: &RenderedPage| page.answer(&request_headers, now).status().as_u16();
        assert_eq!(status(&page), 304, "{known}");
        assert_eq!(status(&later), 304, "{known}");
        assert_eq!(status(&other), if known == "*" { 304 } else { 200 });
    }
    let request_headers = request(&[(header::IF_NONE_MATCH, "\"another\"")]);
    assert_eq!(page.answer(&request_headers, now).status(), 200);
}

#[test]
fn the_compressed_page_is_the_same_page() {
    let text = "<p>seats</p>".repeat(1_000);
    let page = RenderedPage::new(text.clone(), &[]);
    let mut unpacked = String::new();
    GzDecoder::new(&*page.gzip)
        .read_to_string(&mut unpacked)
        .expect("valid gzip");
    assert_eq!(unpacked, text);
    let now = Still::new().now();
    let request_headers = request(&[(header::ACCEPT_ENCODING, "gzip")]);
    let compressed = page.answer(&request_headers, now);
    assert_eq!(compressed.headers()[header::CONTENT_ENCODING], "gzip");
    let plain = page.answer(&HeaderMap::new(), now);
    assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
    for answer in [compressed, plain] {
        assert_eq!(answer.headers()[header::VARY], "accept-encoding");
        let kind = &answer.headers()[header::CONTENT_TYPE];
        assert_eq!(kind, "text/html; charset=utf-8");
    }
    let [plain, gzip] = page.sizes();
    assert!(gzip < plain / 20, "{plain} {gzip}");
}
