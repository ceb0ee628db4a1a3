use super::*;

const PROXY: Arrival = Arrival::UNIX;

fn link(arrival: Arrival, given: &[(&'static str, &str)]) -> String {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("seat:7717"));
    for (name, value) in given {
        headers.append(*name, value.parse().expect("a header"));
    }
    Base::new(&headers, arrival).link("/api/queues/", "page=2")
}

#[test]
fn without_a_proxy_a_client_gets_its_own_scheme_and_host() {
    let far = Arrival::default();
    assert_eq!(link(far, &[]), "http://seat:7717/api/queues/?page=2");
    let tls = Arrival { tls: true, ..far };
    assert_eq!(link(tls, &[]), "https://seat:7717/api/queues/?page=2");
    let headers = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
    ];
    assert_eq!(link(far, &headers), "http://seat:7717/api/queues/?page=2");
    let nothing = HeaderMap::new();
    assert_eq!(Base::new(&nothing, far).link("/", ""), "http://localhost/");
}

#[test]
fn a_local_proxy_says_how_its_client_connected() {
    for proto in ["https", "HTTPS", " https ", "https, https"] {
        let link = link(PROXY, &[("x-forwarded-proto", proto)]);
        assert!(link.starts_with("https://seat:7717/"), "{proto}: {link}");
    }
    let to_plain = Arrival {
        tls: true,
        near: true,
        ..Arrival::default()
    };
    let link_of_plain = link(to_plain, &[("x-forwarded-proto", "http")]);
    assert!(link_of_plain.starts_with("http://seat"), "{link_of_plain}");
    for host in [
        "seats.example",
        "seats.example:8443",
        "under_score.example",
        "192.0.2.1",
        "192.0.2.1:80",
        "[2001:db8::1]",
        "[2001:db8::1]:8443",
    ] {
        let link = link(PROXY, &[("x-forwarded-host", host)]);
        assert_eq!(link, format!("http://{host}/api/queues/?page=2"));
    }
}

#[test]
fn invalid_and_contradictory_headers_are_ignored() {
    for proto in [
        "",
        "ftp",
        "javascript",
        "https://evil.example",
        "https:",
        "https, http",
        "http,https",
        "https,",
        "ht tps",
        "wss",
    ] {
        let link = link(PROXY, &[("x-forwarded-proto", proto)]);
        assert!(link.starts_with("http://seat:7717/"), "{proto}: {link}");
    }
    let twice = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-proto", "http"),
    ];
    assert!(link(PROXY, &twice).starts_with("http://seat"));
    for host in [
        "",
        "seats example",
        "a.example, b.example",
        "user@seats.example",
        "user:word@seats.example",
        "seats.example/path",
        "seats.example?a",
        "seats.example#a",
        "https://seats.example",
        "seats.example:",
        "seats.example:0",
        "seats.example:65536",
        "seats.example:+80",
        "seats.example:80:80",
        "2001:db8::1",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]80",
        "[2001:db8::1%eth0]",
        "[not-an-address]",
        "[]",
        "seats\\example",
        "seats.example\t",
        "%73eats.example",
        "seats\u{e9}.example",
        "..",
        &"a".repeat(300),
    ] {
        let Ok(value) = HeaderValue::from_str(host) else {
            continue;
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("seat:7717"));
        headers.insert("x-forwarded-host", value);
        let link = Base::new(&headers, PROXY).link("/", "");
        // Spaces and tabs around a value are not part of it.
        let good = host.trim() == "seats.example";
        assert_eq!(link == "http://seat:7717/", !good, "{host:?}: {link}");
    }
    let forwarded = [("forwarded", "proto=https;host=evil.example")];
    assert!(link(PROXY, &forwarded).starts_with("http://seat:7717/"));
}
