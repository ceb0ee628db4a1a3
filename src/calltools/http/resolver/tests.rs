use std::sync::{
    Condvar,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;

use super::*;

/// Longer than any test takes.
const PLENTY: Duration = Duration::from_secs(300);
const SHORT: Duration = Duration::from_millis(50);
const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A system whose look-ups of names that contain "hang" wait until they are released; "none" has no address.
#[derive(Default)]
struct System {
    asked: AtomicUsize,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl System {
    fn resolver() -> (Arc<Self>, Arc<Resolver>) {
        let system = Arc::new(Self::default());
        let asked = Arc::clone(&system);
        let resolver = Resolver::new(move |host| {
            asked.asked.fetch_add(1, Ordering::SeqCst);
            if host.contains("hang") {
                let is_open = asked.is_open.lock().unwrap();
                drop(asked.opened.wait_while(is_open, |is_open| !*is_open));
            }
            match host {
                "none.test" => Err(io::Error::other(
                    "failed to lookup address information: Name or service not known",
                )),
                "empty.test" => Ok(vec![]),
                "panic.test" => panic!("on purpose"),
                _ => Ok(vec![ONE]),
            }
        });
        (system, resolver)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

#[tokio::test]
async fn equal_names_are_looked_up_once() {
    let (system, resolver) = System::resolver();
    let same = ["hang.test", "HANG.test", "hang.TEST", "hang.test"];
    let all = join_all(same.map(|host| resolver.addresses(host, PLENTY)));
    let release = async {
        while system.asked() == 0 {
            tokio::task::yield_now().await;
        }
        system.open();
    };
    let (all, ()) = tokio::join!(all, release);
    for addresses in all {
        assert_eq!(addresses.as_deref(), Ok(&[ONE][..]));
    }
    // From here on the answer is cached.
    assert!(resolver.addresses("hang.test", PLENTY).await.is_ok());
    assert_eq!(system.asked(), 1);
}

#[tokio::test]
async fn a_name_that_hangs_delays_no_other() {
    let (system, resolver) = System::resolver();
    let hosts: Vec<_> = (0..200).map(|n| format!("hang-{n}.test")).collect();
    // The first time these names are new; from the second on they are known to hang.
    for _ in 0..2 {
        let all = hosts.iter().map(|host| resolver.addresses(host, SHORT));
        for unresolved in join_all(all).await {
            let error = unresolved.unwrap_err().to_string();
            let why = "this machine's resolver did not answer within 50ms";
            assert!(error.ends_with(why), "{error}");
        }
    }
    assert!(system.asked() <= MAX_THREADS);
    system.open();
    assert!(resolver.addresses("well.test", PLENTY).await.is_ok());
}

#[tokio::test]
async fn names_known_to_hang_leave_room_for_others() {
    let (system, resolver) = System::resolver();
    let hosts: Vec<_> = (0..200).map(|n| format!("hang-{n}.test")).collect();
    {
        let mut state = resolver.state();
        for host in &hosts {
            state.names.entry(host.clone()).or_default().is_doubtful = true;
        }
    }
    let all = hosts.iter().map(|host| resolver.addresses(host, SHORT));
    assert!(join_all(all).await.iter().all(Result::is_err));
    for host in ["well.test", "better.test", "best.test"] {
        assert!(resolver.addresses(host, PLENTY).await.is_ok(), "{host}");
    }
    assert!(system.asked() <= MAX_DOUBTFUL + 3, "{}", system.asked());
    system.open();
}

#[tokio::test]
async fn a_name_that_waited_in_vain_behind_others_that_hang_comes_next() {
    let (system, resolver) = System::resolver();
    let hosts: Vec<_> = (0..200).map(|n| format!("hang-{n}.test")).collect();
    let all = hosts.iter().map(|host| resolver.addresses(host, SHORT));
    assert!(join_all(all).await.iter().all(Result::is_err));
    assert!(resolver.addresses("well.test", SHORT).await.is_err());
    {
        let mut state = resolver.state();
        assert!(!state.names["well.test"].is_doubtful, "it was not tried");
        // Those that hung are asked for again, before it.
        for host in &hosts {
            let known = state.names.get_mut(host).expect("it was asked for");
            known.tries += 1;
        }
        // A thread becomes free, and nobody waits for this name at that moment.
        let (next, is_doubtful) = state.next().expect("names wait");
        assert_eq!((&*next, is_doubtful), ("well.test", false));
        state.answered("well.test", Ok(Arc::new([ONE])));
    }
    assert!(resolver.addresses("well.test", SHORT).await.is_ok());
    system.open();
}

#[tokio::test]
async fn a_failure_says_why_and_is_not_cached() {
    let (system, resolver) = System::resolver();
    for (host, why) in [
        ("none.test", "Name or service not known"),
        ("empty.test", "it has no address"),
        ("panic.test", "the look-up panicked"),
    ] {
        for _ in 0..2 {
            let error = resolver.addresses(host, PLENTY).await.unwrap_err();
            let words = format!("the name {host} cannot be resolved: {why}");
            assert_eq!(error.to_string(), words);
        }
    }
    assert_eq!(system.asked(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_replaces_a_failure() {
    let (_, resolver) = System::resolver();
    for (host, age) in [
        ("none.test", 60),
        ("panic.test", 3_599),
        ("none.test", 3_600),
    ] {
        let known = Known {
            addresses: Some((Arc::new([ONE]), Instant::now())),
            ..Known::default()
        };
        resolver.state().names.insert(host.to_owned(), known);
        tokio::time::advance(Duration::from_secs(age)).await;
        let answer = resolver.addresses(host, PLENTY).await;
        assert_eq!(answer.is_ok(), age < 3_600, "{host} after {age} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_replaces_one_that_does_not_come() {
    let (system, resolver) = System::resolver();
    let known = Known {
        addresses: Some((Arc::new([ONE]), Instant::now())),
        ..Known::default()
    };
    resolver.state().names.insert("hang.test".to_owned(), known);
    for (passes, is_known) in [(1, true), (60, true), (1800, true), (3600, false)] {
        tokio::time::advance(Duration::from_secs(passes)).await;
        let answer = resolver.addresses("hang.test", SHORT).await;
        assert_eq!(answer.is_ok(), is_known, "{passes}");
    }
    assert!(system.asked() <= 1);
    system.open();
}

#[tokio::test]
async fn addresses_and_this_machine_are_not_looked_up() {
    let (system, resolver) = System::resolver();
    for host in [
        "127.0.0.1",
        "[::1]",
        "::1",
        "localhost",
        "LocalHost.",
        "192.0.2.1",
    ] {
        assert!(resolver.addresses(host, PLENTY).await.is_ok(), "{host}");
    }
    assert_eq!(system.asked(), 0);
}

#[test]
fn without_a_thread_a_look_up_fails_with_a_reason() {
    let mut state = State::default();
    let (sender, receiver) = watch::channel(None);
    let known = Known {
        pending: Some(sender),
        ..Known::default()
    };
    state.names.insert("a.test".to_owned(), known);
    state.queue.push_back("a.test".to_owned());
    state.give_up(&"no thread".into());
    assert_eq!(*receiver.borrow(), Some(Err("no thread".into())));
    assert!(state.queue.is_empty());
}
