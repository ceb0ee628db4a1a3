use super::*;

/// A notifier, and what hears it.
fn heard(watchdog: Option<Duration>) -> (Notifier, UnixDatagram) {
    let (socket, ear) = UnixDatagram::pair().expect("a pair");
    let socket = Some(socket);
    (Notifier { socket, watchdog }, ear)
}

async fn next(ear: &UnixDatagram) -> String {
    let mut message = [0; 1024];
    let length = ear.recv(&mut message).await.expect("a message");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

fn nothing(ear: &UnixDatagram) -> bool {
    ear.try_recv(&mut [0; 1024]).is_err()
}

#[tokio::test]
async fn a_reload_is_told_with_its_moment_and_ends_with_ready() {
    let (notifier, ear) = heard(None);
    notifier.reloading().await;
    let message = next(&ear).await;
    let moment = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let moment = moment.and_then(|moment| moment.trim_end().parse::<u64>().ok());
    assert!(moment.is_some_and(|moment| moment > 0), "{message:?}");
    notifier.ready("2/2 queues fresh").await;
    assert_eq!(next(&ear).await, "READY=1\nSTATUS=2/2 queues fresh\n");
    notifier.stopping().await;
    assert_eq!(next(&ear).await, "STOPPING=1\nSTATUS=stopping\n");
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_is_fed_four_times_in_its_period_and_only_while_every_loop_turns() {
    let period = Duration::from_secs(40);
    let (notifier, ear) = heard(Some(period));
    let (heartbeats, stop) = (Heartbeats::default(), CancellationToken::new());
    let (well, ill) = (heartbeats.begin("well"), heartbeats.begin("ill"));
    let (theirs, until) = (heartbeats.clone(), stop.clone());
    let watch = tokio::spawn(async move { feed(&notifier, period, &theirs, &until).await });
    let mut fed = Vec::new();
    for second in 0..=80 {
        well.beat();
        // It stands still from second 40 on, and is missed when it has done so for more than 20 s.
        if second <= 40 || second > 70 {
            ill.beat();
        }
        // Let the watcher see this second before the next.
        tokio::time::sleep(Duration::from_millis(1)).await;
        if !nothing(&ear) {
            fed.push(second);
        }
        tokio::time::sleep(Duration::from_millis(999)).await;
    }
    assert_eq!(fed, [0, 10, 20, 30, 40, 50, 60, 80]);
    stop.cancel();
    watch.await.expect("it does not panic");
}

#[tokio::test]
async fn nobody_is_told_where_nobody_listens() {
    let notifier = Notifier::default();
    notifier.ready("").await;
    let stop = CancellationToken::new();
    stop.cancel();
    let kept = notifier.keep_watchdog(&Heartbeats::default(), &stop).await;
    kept.expect("nothing can go wrong");
}

/// A supervisor that hangs must not hang us: the socket's buffer is full at some point, and then messages are dropped.
#[tokio::test(start_paused = true)]
async fn a_systemd_that_reads_nothing_makes_nobody_wait_for_long() {
    let (notifier, _ear) = heard(None);
    let begun = tokio::time::Instant::now();
    for _ in 0..2_000 {
        notifier.tell(&[NotifyState::Watchdog]).await;
    }
    let waited = begun.elapsed();
    assert!(waited >= MAX_WAIT, "the buffer was never full: {waited:?}");
    assert!(waited <= MAX_WAIT * 2_000, "{waited:?}");
}

#[tokio::test]
async fn names_in_the_abstract_space_are_understood() {
    let name = format!("openseat-test-{}", std::process::id());
    let address = net::SocketAddr::from_abstract_name(&name).expect("a name");
    let ear = net::UnixDatagram::bind_addr(&address).expect("nobody has it");
    ear.set_nonblocking(true).expect("a socket");
    let ear = UnixDatagram::from_std(ear).expect("a socket");
    let socket = connect(format!("@{name}").as_bytes()).expect("it is there");
    let notifier = Notifier {
        socket: Some(socket),
        watchdog: None,
    };
    notifier.status("well").await;
    assert_eq!(next(&ear).await, "STATUS=well\n");
}
