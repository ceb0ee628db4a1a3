//! The transport against servers that misbehave, over real sockets.

use std::{
    future::Future,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

const SECRET: &str = "Token s3cr3ts3cr3ts3cr3t";

/// Long enough for a busy machine; only tests of timeouts wait for one, and those set their own.
const PLENTY: Duration = Duration::from_secs(20);

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);

fn settings(base_url: &str) -> HttpSettings {
    let base_url = base_url.parse().unwrap();
    HttpSettings {
        trust: trusting(&base_url, None).unwrap(),
        base_url,
        authorization: HeaderValue::from_static(SECRET),
        connect_timeout: PLENTY,
        timeout: PLENTY,
        proxy: None,
    }
}

/// Reads the machine's authorities each time, as the configs of different reloads do.
fn trusting(base_url: &Url, ca_pem: Option<&[u8]>) -> Result<Option<Trust>, SetupError> {
    trust(base_url, None, ca_pem, &MachineAuthorities::default())
}

fn transport(settings: HttpSettings) -> Result<HttpTransport, SetupError> {
    HttpTransport::new(settings)
}

/// A server that calls `serve` with each connection once it has read a request head, and the heads that it read.
struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start<F, D>(serve: F) -> Self
    where
        F: Fn(TcpStream, usize) -> D + Send + Sync + 'static,
        D: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&heads);
        tokio::spawn(async move {
            let serve = Arc::new(serve);
            while let Ok((mut stream, _)) = listener.accept().await {
                let (read, serve) = (Arc::clone(&read), Arc::clone(&serve));
                tokio::spawn(async move {
                    let head = head(&mut stream).await;
                    let nth = {
                        let mut read = read.lock().unwrap();
                        read.push(head);
                        read.len()
                    };
                    // A client that hangs up early is what many of these tests are about.
                    let _ = serve(stream, nth).await;
                });
            }
        });
        Self { address, heads }
    }

    /// Sends `answer` and closes.
    async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |mut stream, _| {
            let answer = Arc::clone(&answer);
            async move { stream.write_all(&answer).await }
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://{}/api/", self.address)
    }

    fn transport(&self) -> HttpTransport {
        transport(settings(&self.url())).unwrap()
    }

    fn hurried(&self) -> HttpTransport {
        transport(HttpSettings {
            timeout: SHORT,
            ..settings(&self.url())
        })
        .unwrap()
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Reads up to the empty line, or as much as arrives.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|read| read > 0) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\n{headers}\r\n").into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn gzip(write: impl FnOnce(&mut flate2::write::GzEncoder<Vec<u8>>)) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    write(&mut encoder);
    encoder.finish().unwrap()
}

async fn fails_as(transport: &HttpTransport, expected: Down) -> String {
    let fault = transport.get("agentstatuses/?queue=1").await.unwrap_err();
    let Fault::UpstreamDown { kind, detail, .. } = fault else {
        panic!("{fault:?}")
    };
    assert_eq!(kind, expected, "{detail}");
    assert!(!detail.contains("s3cr3t"), "{detail}");
    assert!(!detail.contains("agentstatuses"), "{detail}");
    assert!(
        detail.len() <= 4 * MAX_DETAIL_CHARS && !detail.contains('\n'),
        "{detail}"
    );
    detail
}

#[tokio::test]
async fn a_request_carries_the_token_the_version_and_the_path() {
    let server = Server::saying(ok("Content-Length: 2\r\nX-Seen: yes\r\n", b"[]")).await;
    let transport = server.transport();
    let reply = transport
        .get("agentstatuses/?queue=5450&page_size=250")
        .await;
    let reply = reply.unwrap();
    assert_eq!(
        (reply.status, &reply.body[..]),
        (StatusCode::OK, &b"[]"[..])
    );
    assert_eq!(reply.headers["x-seen"], "yes");
    let head = server.heads().remove(0);
    let line = head.lines().next().unwrap();
    assert_eq!(
        line,
        "GET /api/agentstatuses/?queue=5450&page_size=250 HTTP/1.1"
    );
    let head = head.to_lowercase();
    assert!(
        head.contains("\r\nauthorization: token s3cr3ts3cr3ts3cr3t\r\n"),
        "{head}"
    );
    let agent = concat!(
        "\r\nuser-agent: openseat/",
        env!("CARGO_PKG_VERSION"),
        "\r\n"
    );
    assert!(head.contains(agent), "{head}");
    assert!(head.contains("\r\naccept-encoding: gzip\r\n"), "{head}");
    let shown = format!("{transport:?} {:?}", transport.authorization());
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[tokio::test]
async fn every_status_is_a_reply() {
    for status in [401, 404, 429, 500, 503] {
        let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
        let server = Server::saying(answer).await;
        let reply = server.transport().get("queues/").await.unwrap();
        assert_eq!(reply.status.as_u16(), status);
    }
}

#[tokio::test]
async fn a_new_token_is_used_from_the_next_request_on() {
    let server = Server::saying(ok("Content-Length: 0\r\nConnection: close\r\n", b"")).await;
    let transport = server.transport();
    let created_before = transport.get("queues/");
    transport.set_authorization(HeaderValue::from_static("Token another"));
    created_before.await.unwrap();
    transport.get("queues/").await.unwrap();
    let heads = server.heads();
    assert!(heads[0].contains("Token s3cr3t"));
    assert!(heads[1].contains("Token another") && !heads[1].contains("s3cr3t"));
    assert!(transport.authorization().is_sensitive());
}

#[tokio::test]
async fn no_path_leads_to_another_origin() {
    let transport = transport(settings("http://calltools.test:81/api/")).unwrap();
    for path in [
        "https://evil.example/",
        "//evil.example/?a=b",
        "@evil.example/",
        "../../evil.example/",
        "\\\\evil.example",
        "?next=https://evil.example/",
    ] {
        let url = transport.url(path);
        assert_eq!(
            url.origin().ascii_serialization(),
            "http://calltools.test:81",
            "{url}"
        );
    }
    let url = transport.url("agentstatuses/?queue=1&page=2");
    assert_eq!(
        url.as_str(),
        "http://calltools.test:81/api/agentstatuses/?queue=1&page=2"
    );
}

#[tokio::test]
async fn a_redirect_is_a_reply_and_its_target_gets_no_request() {
    let target = Server::saying(ok("Content-Length: 0\r\n", b"")).await;
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        target.url()
    );
    let server = Server::saying(answer).await;
    let reply = server.transport().get("queues/").await.unwrap();
    assert_eq!(reply.status, StatusCode::FOUND);
    assert_eq!(target.heads(), [""; 0]);
}

/// A server that keeps its connections open, and the heads of all but the first request on each. Its own `heads` are the first ones.
async fn patient() -> (Server, Arc<Mutex<Vec<String>>>) {
    let further = Arc::new(Mutex::new(Vec::new()));
    let read = Arc::clone(&further);
    let server = Server::start(move |mut stream, _| {
        let read = Arc::clone(&read);
        async move {
            loop {
                stream
                    .write_all(&ok("Content-Length: 2\r\n", b"[]"))
                    .await?;
                let head = head(&mut stream).await;
                if head.is_empty() {
                    return Ok(());
                }
                read.lock().unwrap().push(head);
            }
        }
    })
    .await;
    (server, further)
}

#[tokio::test]
async fn connections_are_reused() {
    let (server, further) = patient().await;
    let transport = server.transport();
    for _ in 0..3 {
        transport.get("queues/").await.unwrap();
    }
    assert_eq!(server.heads().len(), 1);
    assert_eq!(further.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn accounts_of_the_same_calltools_share_connections_but_no_token() {
    let (server, further) = patient().await;
    let own = server.transport();
    let other = transport(HttpSettings {
        authorization: HeaderValue::from_static("Token of another account"),
        ..settings(&server.url())
    });
    let other = other.unwrap();
    for transport in [&own, &other, &own] {
        transport.get("queues/").await.unwrap();
    }
    let of_whom = |head: &String| head.contains("Token of another account");
    assert_eq!(
        server.heads().iter().map(of_whom).collect::<Vec<_>>(),
        [false]
    );
    let further: Vec<_> = further.lock().unwrap().iter().map(of_whom).collect();
    assert_eq!(further, [true, false]);
    // Its requests have another limit, so it has connections of its own.
    let patient = transport(HttpSettings {
        timeout: 2 * PLENTY,
        ..settings(&server.url())
    });
    patient.unwrap().get("queues/").await.unwrap();
    assert_eq!(server.heads().len(), 2);
}

#[tokio::test]
async fn a_refused_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let transport = transport(settings(&format!("http://{address}/api/"))).unwrap();
    let detail = fails_as(&transport, Down::Refused).await;
    assert_eq!(
        detail,
        "no connection to 127.0.0.1: Connection refused (os error 111)"
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let transport = transport(settings("https://openseat.invalid/api/")).unwrap();
    let detail = fails_as(&transport, Down::Dns).await;
    let begin = "the name openseat.invalid cannot be resolved: ";
    assert!(
        detail.starts_with(begin) && detail.len() > begin.len(),
        "{detail}"
    );
    assert!(!detail.contains("lookup"), "{detail}");
}

/// Sends `greeting` to every client, and closes once it has received something.
async fn greeting(greeting: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(greeting).await;
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    address
}

#[tokio::test]
async fn tls_to_a_server_without_tls() {
    for words in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let address = greeting(words).await;
        let transport = transport(settings(&format!("https://{address}/api/"))).unwrap();
        let detail = fails_as(&transport, Down::Tls).await;
        let begin = "no secure connection to 127.0.0.1: ";
        assert!(detail.starts_with(begin), "{detail}");
    }
}

/// Neither answers nor hangs up.
async fn hang(_stream: TcpStream) -> io::Result<()> {
    std::future::pending().await
}

#[tokio::test]
async fn a_server_that_hangs() {
    let server = Server::start(|stream, _| hang(stream)).await;
    let detail = fails_as(&server.hurried(), Down::TimeOut).await;
    assert_eq!(
        detail,
        "127.0.0.1 did not send its complete answer within 300ms"
    );
}

#[tokio::test]
async fn a_handshake_that_hangs() {
    let server = Server::start(|stream, _| hang(stream)).await;
    let transport = transport(HttpSettings {
        connect_timeout: SHORT,
        ..settings(&server.url().replace("http:", "https:"))
    });
    let detail = fails_as(&transport.unwrap(), Down::TimeOut).await;
    assert_eq!(detail, "no connection to 127.0.0.1 in time");
}

#[tokio::test]
async fn a_body_that_drips() {
    let server = Server::start(|mut stream, _| async move {
        stream
            .write_all(&ok("Content-Length: 1000\r\n", b""))
            .await?;
        loop {
            stream.write_all(b" ").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    fails_as(&server.hurried(), Down::TimeOut).await;
}

#[tokio::test]
async fn a_body_that_is_cut_off() {
    let answers = [
        ok("Content-Length: 100\r\n", b"[{\"a\":"),
        ok("Transfer-Encoding: chunked\r\n", b"5\r\n[1,2,\r\n"),
        ok("Transfer-Encoding: chunked\r\n", b"5\r\n[1"),
        ok("Transfer-Encoding: chunked\r\n", b"2\r\n[]\r\n"),
        b"HTTP/1.1 200 OK\r\nContent-".to_vec(),
        Vec::new(),
    ];
    for answer in answers {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let server = Server::saying(answer).await;
        let detail = fails_as(&server.transport(), Down::ConnectionLost).await;
        assert!(
            detail.starts_with("the connection to 127.0.0.1 broke off"),
            "{shown}: {detail}"
        );
    }
}

#[tokio::test]
async fn compressed_bodies_are_unpacked_or_a_fault() {
    let body = gzip(|to| to.write_all(b"[1,2,3]").unwrap());
    let headers = "Content-Encoding: gzip\r\nConnection: close\r\n";
    let server = Server::saying(ok(headers, &body)).await;
    let reply = server.transport().get("queues/").await.unwrap();
    assert_eq!(&reply.body[..], b"[1,2,3]");

    let server = Server::saying(ok(headers, &body[..body.len() - 4])).await;
    fails_as(&server.transport(), Down::ConnectionLost).await;
    let server = Server::saying(ok(headers, b"[1,2,3] is no gzip")).await;
    fails_as(&server.transport(), Down::NotJson).await;
}

#[tokio::test]
async fn a_small_body_that_unpacks_to_a_huge_one() {
    let bomb = gzip(|to| {
        let zeros = vec![b' '; 1 << 20];
        (0..64).for_each(|_| to.write_all(&zeros).unwrap());
    });
    assert!(bomb.len() < 1 << 17, "{}", bomb.len());
    let headers = format!(
        "Content-Encoding: gzip\r\nContent-Length: {}\r\n",
        bomb.len()
    );
    let server = Server::saying(ok(&headers, &bomb)).await;
    let detail = fails_as(&server.transport(), Down::TooLarge).await;
    assert_eq!(detail, "127.0.0.1 answered with more than 16 MiB");
}

#[tokio::test]
async fn a_status_counts_even_with_a_body_that_cannot_be_read() {
    let packed = gzip(|to| to.write_all(br#"{"detail":"x"}"#).unwrap());
    let bodies: [(&str, &[u8]); 6] = [
        (
            "Content-Encoding: gzip\r\nConnection: close\r\n",
            b"no gzip",
        ),
        (
            "Content-Encoding: gzip\r\nConnection: close\r\n",
            &packed[..packed.len() - 9],
        ),
        ("Content-Encoding: br\r\nConnection: close\r\n", b"\x3b"),
        ("Content-Length: 100\r\n", b"{\"detail\":"),
        ("Transfer-Encoding: chunked\r\n", b"5\r\n[1"),
        ("Transfer-Encoding: chunked\r\n", b"nonsense\r\n"),
    ];
    for status in [401, 403, 404, 429, 503] {
        for (headers, body) in bodies {
            let head = format!("HTTP/1.1 {status} No\r\nRetry-After: 600\r\n{headers}\r\n");
            let server = Server::saying([head.as_bytes(), body].concat()).await;
            let reply = server.transport().get("queues/").await.expect(headers);
            assert_eq!(reply.status.as_u16(), status, "{headers}");
            assert_eq!(
                (&reply.body[..], &reply.headers["retry-after"]),
                (&b""[..], &HeaderValue::from_static("600"))
            );
        }
    }
}

#[tokio::test]
async fn a_refusal_whose_body_drips_is_reported_at_once() {
    let server = Server::start(|mut stream, _| async move {
        let head =
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 600\r\nContent-Length: 1000\r\n\r\n";
        stream.write_all(head).await?;
        loop {
            stream.write_all(b" ").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Within the timeout for a whole answer, the body would not end.
    let patient = transport(HttpSettings {
        timeout: Duration::from_secs(3600),
        ..settings(&server.url())
    });
    let reply = patient.unwrap().get("queues/").await.unwrap();
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
}

/// Sends this many spaces, chunked or until the end of the connection.
async fn large(bytes: usize) -> Server {
    Server::start(move |mut stream, _| async move {
        stream.write_all(&ok("Connection: close\r\n", b"")).await?;
        let piece = vec![b' '; 1 << 16];
        for _ in 0..bytes / piece.len() {
            stream.write_all(&piece).await?;
        }
        stream.write_all(&piece[..bytes % piece.len()]).await
    })
    .await
}

#[tokio::test]
async fn a_body_may_be_16_mib_and_no_more() {
    let server = large(MAX_BODY_BYTES).await;
    let reply = server.transport().get("queues/").await.unwrap();
    assert_eq!(reply.body.len(), MAX_BODY_BYTES);
    let server = large(MAX_BODY_BYTES + 1).await;
    fails_as(&server.transport(), Down::TooLarge).await;
}

#[tokio::test]
async fn a_server_of_another_protocol() {
    let server = Server::saying("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    fails_as(&server.transport(), Down::UnexpectedStatus).await;
    let headers = format!("X-Long: {}\r\n", "x".repeat(1 << 20));
    let server = Server::saying(ok(&headers, b"")).await;
    fails_as(&server.transport(), Down::TooLarge).await;
}

#[tokio::test]
async fn a_failure_costs_exactly_one_request() {
    let server = Server::saying(Vec::new()).await;
    fails_as(&server.transport(), Down::ConnectionLost).await;
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn a_proxy_is_used_when_the_config_names_one() {
    let proxy = Server::saying(ok("Content-Length: 2\r\n", b"[]")).await;
    let mut settings = settings("http://calltools.invalid/api/");
    settings.proxy = Some(format!("http://{}/", proxy.address).parse().unwrap());
    let transport = transport(settings).unwrap();
    transport.get("queues/").await.unwrap();
    let head = proxy.heads().remove(0);
    assert!(
        head.starts_with("GET http://calltools.invalid/api/queues/ HTTP/1.1\r\n"),
        "{head}"
    );
    assert_eq!(
        transport.peer,
        "calltools.invalid through the proxy 127.0.0.1"
    );
}

/// A transport to an encrypted CallTools through a proxy at this address.
fn through(proxy: &str) -> HttpTransport {
    let mut settings = settings("https://calltools.invalid/api/");
    settings.proxy = Some(proxy.parse().unwrap());
    transport(settings).unwrap()
}

#[tokio::test]
async fn a_proxy_that_refuses_a_tunnel_is_named_with_its_status() {
    for (answer, expected) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "answered 403 Forbidden"),
        (
            "HTTP/1.1 401 Unauthorized\r\n\r\n",
            "answered 401 Unauthorized",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nX: y\r\n\r\n<html>",
            "answered 502 Bad Gateway",
        ),
        (
            "HTTP/1.0 503 Down\r\n\r\n",
            "answered 503 Service Unavailable",
        ),
        (
            "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\n",
            "answered 407 Proxy Authentication Required",
        ),
        ("SSH-2.0-OpenSSH\r\n\r\n", "refuses a tunnel to CallTools"),
        ("", "gave no tunnel to CallTools: unexpected end of file"),
    ] {
        let proxy = Server::saying(answer).await;
        let transport = through(&format!("http://{}/", proxy.address));
        let detail = fails_as(&transport, Down::Proxy).await;
        assert_eq!(detail, format!("the proxy 127.0.0.1 {expected}"));
        for head in proxy.heads() {
            let head = head.to_lowercase();
            assert!(
                head.starts_with("connect calltools.invalid:443 http/1.1\r\n"),
                "{head}"
            );
            assert!(!head.contains("s3cr3t"), "{head}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_named() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = "no connection to the proxy 127.0.0.1: Connection refused (os error 111)";
    let detail = fails_as(&through(&format!("http://{address}/")), Down::Proxy).await;
    assert_eq!(detail, refused);
    let mut plain = settings("http://calltools.invalid/api/");
    plain.proxy = Some(format!("http://{address}/").parse().unwrap());
    let plain = transport(plain).unwrap();
    assert_eq!(fails_as(&plain, Down::Proxy).await, refused);
    let begin =
        "no connection to the proxy proxy.invalid: the name proxy.invalid cannot be resolved: ";
    let mut plain = settings("http://calltools.invalid/api/");
    plain.proxy = Some("http://proxy.invalid:3128/".parse().unwrap());
    let plain = transport(plain).unwrap();
    for transport in [through("http://proxy.invalid:3128/"), plain] {
        let detail = fails_as(&transport, Down::Proxy).await;
        assert!(detail.starts_with(begin), "{detail}");
    }
}

#[tokio::test]
async fn a_proxys_own_answers_are_attributed_to_it() {
    for (status, expected) in [
        (403, "the proxy 127.0.0.1 answered 403 Forbidden"),
        (401, "the proxy 127.0.0.1 answered 401 Unauthorized"),
        (
            407,
            "the proxy 127.0.0.1 answered 407 Proxy Authentication Required",
        ),
        (502, "the proxy 127.0.0.1 answered 502 Bad Gateway"),
    ] {
        let page = "<html>Denied</html>";
        let length = page.len();
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: {length}\r\n\r\n{page}");
        let proxy = Server::saying(answer).await;
        let mut settings = settings("http://calltools.invalid/api/");
        settings.proxy = Some(format!("http://{}/", proxy.address).parse().unwrap());
        let transport = transport(settings).unwrap();
        assert_eq!(fails_as(&transport, Down::Proxy).await, expected);
    }
}

#[test]
fn settings_that_cannot_work_are_rejected() {
    for url in [
        "ftp://calltools.test/",
        "file:///api/",
        "http://user@calltools.test/",
        "http://:pw@calltools.test/",
    ] {
        let refused = transport(settings(url));
        assert!(matches!(refused, Err(SetupError::BaseUrl)), "{url}");
    }
    for pem in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
        "not a certificate",
    ] {
        let base_url = "https://calltools.test/api/".parse().unwrap();
        let refused = trusting(&base_url, Some(pem.as_bytes()));
        assert!(matches!(refused, Err(SetupError::CaFile)), "{pem:?}");
    }
}

#[test]
fn accounts_with_the_same_authorities_share_one_tls_configuration() {
    let certificate = |name: &str| {
        let pair = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        pair.cert.pem()
    };
    let (one, another) = (certificate("one.test"), certificate("another.test"));
    let base_url = "https://calltools.test/api/".parse().unwrap();
    let trusting = |pem: &str| trusting(&base_url, Some(pem.as_bytes())).unwrap().unwrap();
    let first = trusting(&one);
    assert_eq!(first, trusting(&one));
    assert_ne!(first, trusting(&another));
    // A configuration that is no longer used is not kept.
    let unused = Arc::downgrade(trusting(&another).config());
    assert!(unused.upgrade().is_none());
}

/// Runs a test of this file in a process of its own, with other environment variables.
fn run_apart(test: &str, variables: &[(&str, &str)]) {
    let outcome = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            &format!("calltools::http::tests::{test}"),
        ])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&outcome.stdout);
    assert!(
        outcome.status.success() && output.contains("1 passed"),
        "{output}"
    );
}

#[test]
fn a_machine_without_certificates_is_reported_at_the_start() {
    run_apart(
        "without_certificates",
        &[
            ("SSL_CERT_FILE", "/nonexistent"),
            ("SSL_CERT_DIR", "/nonexistent"),
        ],
    );
}

#[test]
#[ignore = "run by another test, in an environment of its own"]
fn without_certificates() {
    let refused = trusting(&"https://calltools.test/api/".parse().unwrap(), None);
    let error = refused.expect_err("there is no authority to trust");
    assert!(error.to_string().contains("ca-certificates"), "{error}");
    assert!(transport(settings("http://127.0.0.1/api/")).is_ok());
}

#[test]
fn the_environments_proxy_is_not_used() {
    let nowhere = "http://127.0.0.1:9/";
    run_apart(
        "without_a_proxy",
        &[
            ("HTTP_PROXY", nowhere),
            ("http_proxy", nowhere),
            ("ALL_PROXY", nowhere),
        ],
    );
}

#[tokio::test]
#[ignore = "run by another test, in an environment of its own"]
async fn without_a_proxy() {
    let server = Server::saying(ok("Content-Length: 2\r\n", b"[]")).await;
    assert!(server.transport().get("queues/").await.is_ok());
}
