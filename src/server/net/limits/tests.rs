use super::*;
use crate::logged::listen;

fn by_tcp(address: &str) -> Arrival {
    Arrival::by_tcp(Some(address.parse().expect("an address")), false)
}

fn listener(address: &str, purpose: Purpose) -> ListenerId {
    ListenerId::new(&address, purpose)
}

/// Opens as many connections as are allowed.
fn fill(
    limits: &Arc<ConnectionLimits>,
    listener: &ListenerId,
    arrival: impl Fn(u32) -> Arrival,
) -> Vec<ConnectionPermit> {
    let permits = (0..10_000).map_while(|n| limits.acquire(listener, arrival(n)));
    permits.collect()
}

#[test]
fn one_address_leaves_connections_to_others_and_many_leave_some_to_local_clients() {
    let limits = Arc::new(ConnectionLimits::new(1024));
    let (tls, lan) = (
        listener("0.0.0.0:7717", Purpose::Requests),
        listener("10.0.0.1:7718", Purpose::Requests),
    );
    let one = fill(&limits, &tls, |_| by_tcp("203.0.113.7"));
    assert_eq!(one.len(), 256);
    // A customer has 2^64 addresses, which count as one.
    let same_net = |n: u32| by_tcp(&format!("2001:db8::{n:x}"));
    let other = fill(&limits, &tls, same_net);
    assert_eq!(other.len(), 256);
    assert!(limits.acquire(&tls, by_tcp("203.0.113.8")).is_none());
    let many = |n: u32| by_tcp(&std::net::Ipv4Addr::from_bits(0x0b00_0000 + n).to_string());
    let others = fill(&limits, &lan, many);
    assert_eq!(others.len(), 256);
    let near = fill(&limits, &tls, |_| by_tcp("127.0.0.1"));
    assert_eq!(near.len(), 128);
    assert!(limits.acquire(&tls, by_tcp("::1")).is_none());
    let unix = fill(&limits, &listener("unix:/run/a", Purpose::Requests), |_| {
        Arrival::UNIX
    });
    assert_eq!((unix.len(), limits.open()), (128, 1024));
    drop((one, other, others, near, unix));
    let taken = limits.taken();
    assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    assert!(taken.by_listener.values().all(|count| *count == 0));
}

#[test]
fn agent_checks_leave_connections_for_decisions() {
    for from in ["127.0.0.1", "::1", "10.0.0.7"] {
        let limits = Arc::new(ConnectionLimits::new(1024));
        let checks = listener("127.0.0.1:7719", Purpose::AgentChecks);
        assert_eq!(fill(&limits, &checks, |_| by_tcp(from)).len(), 256);
        let requests = listener("127.0.0.1:7717", Purpose::Requests);
        assert!(fill(&limits, &requests, |_| by_tcp("127.0.0.1")).len() >= 512);
    }
}

#[test]
fn one_connection_is_enough_for_any_client() {
    for client in [by_tcp("10.0.0.7"), by_tcp("127.0.0.1"), Arrival::UNIX] {
        for purpose in [Purpose::Requests, Purpose::AgentChecks] {
            let limits = Arc::new(ConnectionLimits::new(1));
            let listener = listener("0.0.0.0:7717", purpose);
            let permit = limits.acquire(&listener, client);
            assert!(permit.is_some() && limits.acquire(&listener, client).is_none());
        }
    }
}

/// The log lines with these words.
fn with<'l>(lines: &'l [String], words: &str) -> Vec<&'l String> {
    lines.iter().filter(|line| line.contains(words)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_limit_is_logged_once_when_reached_and_once_when_over() {
    let (logged, _guard) = listen();
    let limits = Arc::new(ConnectionLimits::new(64));
    let lan = listener("10.0.0.1:7717", Purpose::Requests);
    let checks = listener("127.0.0.1:7719", Purpose::AgentChecks);
    let permits: Vec<_> = ["10.0.0.7", "10.0.0.8"]
        .iter()
        .flat_map(|address| fill(&limits, &lan, |_| by_tcp(address)))
        .collect();
    assert_eq!(permits.len(), 32);
    drop(permits);
    for _ in 0..100 {
        let _ = fill(&limits, &lan, |_| by_tcp("10.0.0.7"));
        let _ = fill(&limits, &checks, |_| by_tcp("127.0.0.1"));
        limits.log_ended();
    }
    let lines = logged.lines();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, words) in lines.iter().zip([
        "address 10.0.0.7",
        "listener 10.0.0.1:7717",
        "listener 127.0.0.1:7719",
    ]) {
        let is_logged = line.starts_with("WARN") && line.contains(&format!("limit={words} "));
        assert!(is_logged, "{line}");
    }
    tokio::time::advance(refusals::QUIET).await;
    limits.log_ended();
    limits.log_ended();
    let lines = logged.lines().split_off(3);
    assert_eq!(with(&lines, "no longer refused").len(), 3, "{lines:#?}");
    for (limit, refused) in [("address", 101), ("listener 10", 1), ("listener 127", 100)] {
        let found = with(&lines, &format!("limit={limit}"));
        assert!(
            found[0].ends_with(&format!("refused={refused}")),
            "{lines:#?}"
        );
    }
    // It reaches its limit again.
    let _ = fill(&limits, &lan, |_| by_tcp("10.0.0.7"));
    assert_eq!(logged.lines().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_limits_for_all_clients_are_logged_too() {
    let (logged, _guard) = listen();
    let limits = Arc::new(ConnectionLimits::new(8));
    let (tcp, unix) = (
        listener("0.0.0.0:7717", Purpose::Requests),
        listener("unix:/run/a", Purpose::Requests),
    );
    let _near = fill(&limits, &tcp, |_| by_tcp("127.0.0.1"));
    let _unix = fill(&limits, &unix, |_| Arrival::UNIX);
    let _ = fill(&limits, &tcp, |_| by_tcp("::1"));
    let lines = logged.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].contains("limit=kept for this machine")
            && lines[1].contains("limit=max_connections")
    );
}

#[tokio::test(start_paused = true)]
async fn clients_that_send_nonsense_do_not_use_up_the_lines_for_limits() {
    let (logged, _guard) = listen();
    let limits = Arc::new(ConnectionLimits::new(8));
    let lan = listener("0.0.0.0:7717", Purpose::Requests);
    for n in 0..100 {
        let client = by_tcp(&std::net::Ipv4Addr::from_bits(n).to_string());
        limits.log_malformed(&lan.address, client, "no request");
    }
    let nonsense = logged.lines().len();
    assert!(nonsense < 20, "{nonsense} lines");
    let _far = fill(&limits, &lan, |_| by_tcp("10.0.0.7"));
    let lines = logged.lines().split_off(nonsense);
    assert!(!with(&lines, "is refused").is_empty(), "{lines:#?}");
    tokio::time::advance(refusals::QUIET).await;
    limits.log_ended();
    let ended = logged.lines();
    assert_eq!(with(&ended, "no more malformed").len(), nonsense);
    assert_eq!(with(&ended, "no longer refused").len(), lines.len());
}
