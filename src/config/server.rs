//! `[server]`: addresses, and who may ask.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
};

use super::{
    Listen, Server, TlsFiles, client,
    section::Section,
    source::{Checked, all},
    value::{Value, refuse_repeats},
};

/// Loopback. For other addresses the operator must say how callers authenticate.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7717);

/// A connection takes some 20 kB, so by default all of them together stay below 32 MiB.
const DEFAULT_CONNECTIONS: u32 = 1024;

/// At the upper end connections alone take more than a gigabyte, and more file descriptors than systemd grants.
const CONNECTIONS: RangeInclusive<u32> = 1..=65_536;

/// One thread answers some hundred thousand requests a second.
const DEFAULT_THREADS: u32 = 1;

/// More threads than cores do not help, and no machine that runs this has more cores.
const THREADS: RangeInclusive<u32> = 1..=256;

/// The system's limit for the path of a Unix socket, without its final zero.
pub(crate) const MAX_SOCKET_PATH: usize = 107;

/// The longest name in DNS.
const MAX_HOST: usize = 253;

/// Reads `[server]`; every key has a default.
pub(super) fn server(section: Option<&Section<'_>>) -> Checked<Server> {
    let Some(section) = section else {
        return Ok(defaults());
    };
    let listen = section.optional("listen", listen);
    let bearer_token_file = section.optional("bearer_token_file", Value::secret_path);
    let max_connections = section.optional("max_connections", |value| value.integer(CONNECTIONS));
    let threads = section.optional("threads", |value| value.integer(THREADS));
    let insecure = section.optional("insecure_no_auth", Value::flag);
    let metrics_by_status = section.optional("metrics_by_status", Value::flag);
    let agent_check = section.optional("agent_check_listen", tcp_address);
    let allowed_hosts = section.optional("allowed_hosts", hosts);
    let tls = tls(section);
    let clients = client::clients(section);
    let (listen, bearer_token_file, tls) = (listen?, bearer_token_file?, tls?);
    let (insecure, agent_check_listen) = (insecure?.unwrap_or(false), agent_check?);
    let allowed_hosts = allowed_hosts?.unwrap_or_default();
    let guarded = refuse_open_doors(
        section,
        listen.as_deref().unwrap_or_default(),
        bearer_token_file.is_some(),
        insecure,
    );
    let listen = listen.unwrap_or_else(|| defaults().listen);
    let agent_guarded = refuse_open_agent_check(section, agent_check_listen, insecure).and(
        refuse_taken_agent_check(section, agent_check_listen, &listen),
    );
    let server = Server {
        listen,
        bearer_token_file,
        clients: clients?,
        allowed_hosts,
        tls,
        max_connections: max_connections?.unwrap_or(DEFAULT_CONNECTIONS) as usize,
        agent_check_listen,
        threads: threads?.unwrap_or(DEFAULT_THREADS) as usize,
        metrics_by_status: metrics_by_status?.unwrap_or(true),
    };
    guarded.and(agent_guarded).map(|()| server)
}

fn defaults() -> Server {
    Server {
        listen: vec![Listen::Tcp(DEFAULT_LISTEN)],
        bearer_token_file: None,
        clients: Vec::new(),
        allowed_hosts: Vec::new(),
        tls: None,
        max_connections: DEFAULT_CONNECTIONS as usize,
        agent_check_listen: None,
        threads: DEFAULT_THREADS as usize,
        metrics_by_status: true,
    }
}

/// Without a bearer token only this machine may ask, unless the operator allows everyone.
fn refuse_open_doors(
    section: &Section<'_>,
    listen: &[Listen],
    has_token: bool,
    insecure: bool,
) -> Checked<()> {
    if let (true, true, Some(value)) = (has_token, insecure, section.value("insecure_no_auth")) {
        return Err(value.wrong("and bearer_token_file exclude each other; remove one of the two"));
    }
    let open = listen.iter().filter_map(Listen::beyond_loopback).next();
    let (Some(open), false, Some(value)) = (open, has_token, section.value("listen")) else {
        return Ok(());
    };
    if insecure {
        value.warn(format_args!(
            "has {open}: anyone who reaches that address can ask, since insecure_no_auth is true"
        ));
        return Ok(());
    }
    Err(value.wrong(format_args!(
        "has {open}, which other machines can reach, and there is no bearer_token_file; set one, listen on 127.0.0.1 or a Unix socket, or write insecure_no_auth = true to let everybody ask"
    )))
}

/// An agent-check has no token, so a bearer token does not protect it.
fn refuse_open_agent_check(
    section: &Section<'_>,
    address: Option<SocketAddr>,
    insecure: bool,
) -> Checked<()> {
    let open = address.filter(|address| is_beyond_loopback(*address));
    let (Some(open), Some(value)) = (open, section.value("agent_check_listen")) else {
        return Ok(());
    };
    if insecure {
        value.warn(format_args!(
            "is {open}: anyone who reaches that address can ask, since insecure_no_auth is true"
        ));
        return Ok(());
    }
    Err(value.wrong(format_args!(
        "is {open}, which other machines can reach, and agent-checks can show no token; listen on 127.0.0.1, or write insecure_no_auth = true to let everybody ask"
    )))
}

/// An address can speak only one protocol.
fn refuse_taken_agent_check(
    section: &Section<'_>,
    address: Option<SocketAddr>,
    listen: &[Listen],
) -> Checked<()> {
    // With port 0 the system chooses a free one.
    let taken = address
        .filter(|address| {
            let mut overlaps = listen.iter().map(|one| one.overlap(&Listen::Tcp(*address)));
            overlaps.any(|overlap| overlap == Some(Overlap::Certain))
        })
        .and_then(|_| section.value("agent_check_listen"));
    match taken {
        None => Ok(()),
        Some(value) => Err(value.wrong(
            "names an address of `listen`, where openseat speaks HTTP; give it a port of its own",
        )),
    }
}

/// A certificate is useless without its key, and the key without it.
fn tls(section: &Section<'_>) -> Checked<Option<TlsFiles>> {
    let cert = section.optional("tls_cert", pem_path);
    let key = section.optional("tls_key", pem_path);
    let wants = |name, other| {
        let value = section.value(name);
        Err(value.expect("one of the two is set").wrong(format_args!(
            "is useless without {other}; set both, or neither to answer in plain HTTP"
        )))
    };
    match (cert?, key?) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => wants("tls_cert", "tls_key"),
        (None, Some(_)) => wants("tls_key", "tls_cert"),
    }
}

/// Reads the path of a PEM file. A key that was pasted here would be shown as the path of a missing file.
fn pem_path(value: &Value<'_>) -> Checked<PathBuf> {
    if value.text()?.contains("-----BEGIN") {
        return Err(value.wrong(
            "must be the path of a PEM file, such as \"/etc/openseat/tls/privkey.pem\"; its content does not belong here",
        ));
    }
    value.path()
}

fn listen(value: &Value<'_>) -> Checked<Vec<Listen>> {
    let values = value.items();
    if values.is_empty() {
        return Err(value.wrong("is an empty list; write for example \"127.0.0.1:7717\""));
    }
    let listen = all(values.iter().map(address))?;
    refuse_repeats(listen.iter().zip(values.iter().copied()), |line| {
        format!("repeats an address from line {line}")
    })?;
    refuse_overlaps(&listen, &values)?;
    Ok(listen)
}

/// The system lets nobody listen on two addresses of which one includes the other.
fn refuse_overlaps(listen: &[Listen], values: &[Value<'_>]) -> Checked<()> {
    let mut checked = Ok(());
    for (place, (one, value)) in listen.iter().zip(values).enumerate() {
        let earlier = listen[..place].iter();
        let overlaps = earlier.filter_map(|other| Some((other, other.overlap(one)?)));
        let Some((other, overlap)) =
            overlaps.max_by_key(|(_, overlap)| *overlap == Overlap::Certain)
        else {
            continue;
        };
        match overlap {
            Overlap::Certain => {
                checked = Err(value.wrong(format_args!(
                    "has {other} and {one}, and one includes the other; remove the narrower one"
                )));
            }
            Overlap::Usual => value.warn(format_args!(
                "has {other} and {one}: unless IPv6 sockets are kept apart from IPv4 (net.ipv6.bindv6only), the IPv6 address includes the other, and openseat does not start; write only \"[::]:{}\" for both",
                one.port()
            )),
        }
    }
    checked
}

/// Two addresses on which nobody can listen at the same time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Overlap {
    Certain,
    /// IPv6 includes IPv4, unless the machine or systemd's socket says otherwise.
    Usual,
}

fn address(value: &Value<'_>) -> Checked<Listen> {
    let text = value.text()?;
    match text.strip_prefix("unix:") {
        Some(path) => socket(value, path),
        None => tcp(text).map(Listen::Tcp).ok_or_else(|| {
            value.wrong(
                "must be an IP address and a port, such as \"127.0.0.1:7717\", \"0.0.0.0:7717\" or \"[::1]:7717\", or a socket, such as \"unix:/run/openseat/openseat.sock\"",
            )
        }),
    }
}

fn hosts(value: &Value<'_>) -> Checked<Vec<String>> {
    let values = value.items();
    let hosts = all(values.iter().map(host))?;
    refuse_repeats(hosts.iter().zip(values), |line| {
        format!("repeats a name from line {line}")
    })?;
    Ok(hosts)
}

/// Reads a name as in a `Host` header, without a port.
fn host(value: &Value<'_>) -> Checked<String> {
    let text = value.text()?;
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_address = || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_sound = |label: &str| {
        let mut letters = label.bytes();
        (1..=63).contains(&label.len())
            && letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let flaw = if is_address() {
        "has an IP address, which is accepted anyway; remove it"
    } else if name.contains('*') {
        "has a wildcard, which is not supported, since strangers may own names below it; list each name"
    } else if name.contains('/') {
        "must have names alone, without https:// and path, such as \"openseat.internal\""
    } else if name.contains(':') {
        "must have names without a port, such as \"openseat.internal\""
    } else if !name.is_ascii() {
        "must have names as browsers send them, in ASCII: a name with other letters begins with xn--"
    } else if name.len() > MAX_HOST || !name.split('.').all(is_sound) {
        "has something that is not a host name; write names such as \"openseat.internal\""
    } else {
        return Ok(name.to_ascii_lowercase());
    };
    Err(value.wrong(flaw))
}

fn tcp_address(value: &Value<'_>) -> Checked<SocketAddr> {
    tcp(value.text()?).ok_or_else(|| {
        value
            .wrong("must be an IP address and a port, such as \"127.0.0.1:7718\" or \"[::1]:7718\"")
    })
}

/// Parses an address. Names other than `localhost` are not looked up: their addresses could change after this check.
fn tcp(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::new(DEFAULT_LISTEN.ip(), port.parse().ok()?)),
        None => text.parse().ok(),
    }
}

fn socket(value: &Value<'_>, path: &str) -> Checked<Listen> {
    let flaw = if !path.starts_with('/') {
        "must have an absolute path after \"unix:\", such as \"unix:/run/openseat/openseat.sock\""
    } else if path.contains('\0') {
        "has a NUL in it, which no path may have"
    } else if path.len() > MAX_SOCKET_PATH {
        "has a path of more than 107 bytes, the most that a Unix socket may have"
    } else {
        return Ok(Listen::Unix(PathBuf::from(path)));
    };
    Err(value.wrong(flaw))
}

impl Listen {
    /// Returns how two addresses overlap; `None` if they do not.
    fn overlap(&self, other: &Self) -> Option<Overlap> {
        let (Listen::Tcp(one), Listen::Tcp(other)) = (self, other) else {
            return None;
        };
        // With port 0 the system chooses a free one.
        if one.port() != other.port() || one.port() == 0 {
            return None;
        }
        // The same link-local address may exist on two links.
        if let (SocketAddr::V6(one), SocketAddr::V6(other)) = (one, other)
            && one.scope_id() != other.scope_id()
            && one.scope_id().min(other.scope_id()) > 0
        {
            return None;
        }
        let (one, other) = (one.ip().to_canonical(), other.ip().to_canonical());
        let wildcard = [one, other].into_iter().find(IpAddr::is_unspecified);
        match wildcard {
            _ if one == other => Some(Overlap::Certain),
            None => None,
            Some(_) if one.is_ipv4() == other.is_ipv4() => Some(Overlap::Certain),
            Some(IpAddr::V6(_)) => Some(Overlap::Usual),
            Some(IpAddr::V4(_)) => {
                (one.is_unspecified() && other.is_unspecified()).then_some(Overlap::Usual)
            }
        }
    }

    /// Returns the port, 0 for a Unix socket.
    fn port(&self) -> u16 {
        match self {
            Listen::Tcp(address) => address.port(),
            Listen::Unix(_) => 0,
        }
    }

    /// Returns the address if other machines can reach it.
    pub(crate) fn beyond_loopback(&self) -> Option<SocketAddr> {
        match self {
            Listen::Tcp(address) if is_beyond_loopback(*address) => Some(*address),
            _ => None,
        }
    }
}

fn is_beyond_loopback(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbers_or_localhost() {
        for (text, address) in [
            ("127.0.0.1:7717", Some("127.0.0.1:7717")),
            ("localhost:80", Some("127.0.0.1:80")),
            ("[::]:0", Some("[::]:0")),
            (":7717", None),
            ("7717", None),
            ("127.0.0.1", None),
            ("127.0.0.1:77177", None),
            ("localhost:", None),
            ("router.example:7717", None),
        ] {
            let address = address.map(|address| address.parse().expect("an address"));
            assert_eq!(tcp(text), address, "{text}");
        }
    }

    #[test]
    fn addresses_that_include_each_other_are_recognized() {
        use Overlap::{Certain, Usual};
        for (one, other, expected) in [
            ("[fe80::1%2]:1", "[fe80::1%3]:1", None),
            ("0.0.0.0:1", "127.0.0.1:1", Some(Certain)),
            ("127.0.0.1:1", "[::ffff:127.0.0.1]:1", Some(Certain)),
            ("127.0.0.1:1", "[::ffff:0.0.0.0]:1", Some(Certain)),
            ("[::]:1", "[::1]:1", Some(Certain)),
            ("[::]:1", "127.0.0.1:1", Some(Usual)),
            ("[::]:1", "0.0.0.0:1", Some(Usual)),
            ("0.0.0.0:1", "[::1]:1", None),
            ("127.0.0.1:1", "127.0.0.2:1", None),
            ("0.0.0.0:1", "127.0.0.1:2", None),
            ("0.0.0.0:0", "127.0.0.1:0", None),
        ] {
            let listen = |text: &str| Listen::Tcp(text.parse().expect("an address"));
            let (a, b) = (listen(one), listen(other));
            assert_eq!(a.overlap(&b), expected, "{one} {other}");
            assert_eq!(b.overlap(&a), expected, "{other} {one}");
        }
    }

    #[test]
    fn loopback_is_recognized_in_every_notation() {
        for (text, beyond) in [
            ("127.0.0.1:1", false),
            ("127.1.2.3:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("10.0.0.1:1", true),
        ] {
            let listen = Listen::Tcp(text.parse().expect("an address"));
            assert_eq!(listen.beyond_loopback().is_some(), beyond, "{text}");
        }
    }
}
