use super::*;

/// A notifier, and the socket that receives its messages.
fn listening(watchdog: Option<Duration>) -> (Notifier, UnixDatagram) {
    let (socket, receiver) = UnixDatagram::pair().expect("a pair");
    let socket = Some(socket);
    (Notifier { socket, watchdog }, receiver)
}

async fn next(receiver: &UnixDatagram) -> String {
    let mut message = [0; 1024];
    let length = receiver.recv(&mut message).await.expect("a message");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

fn nothing(receiver: &UnixDatagram) -> bool {
    receiver.try_recv(&mut [0; 1024]).is_err()
}

#[tokio::test]
async fn a_reload_is_reported_with_its_time_and_ends_with_ready() {
    let (notifier, receiver) = listening(None);
    notifier.reloading().await;
    let message = next(&receiver).await;
    let moment = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let moment = moment.and_then(|moment| moment.trim_end().parse::<u64>().ok());
    assert!(moment.is_some_and(|moment| moment > 0), "{message:?}");
    notifier.ready("2/2 queues fresh").await;
    assert_eq!(next(&receiver).await, "READY=1\nSTATUS=2/2 queues fresh\n");
    notifier.stopping().await;
    assert_eq!(next(&receiver).await, "STOPPING=1\nSTATUS=stopping\n");
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_is_pinged_four_times_in_its_period_and_only_while_every_loop_runs() {
    let period = Duration::from_secs(40);
    let (notifier, receiver) = listening(Some(period));
    let (heartbeats, stop) = (Heartbeats::default(), CancellationToken::new());
    let (well, ill) = (heartbeats.begin("well"), heartbeats.begin("ill"));
    let (theirs, until) = (heartbeats.clone(), stop.clone());
    let watch = tokio::spawn(async move { feed(&notifier, period, &theirs, &until).await });
    let mut fed = Vec::new();
    for second in 0..=80 {
        well.beat();
        // It stops at second 40, and is missed after more than 20 s.
        if second <= 40 || second > 70 {
            ill.beat();
        }
        // Let the watcher see this second before the next.
        tokio::time::sleep(Duration::from_millis(1)).await;
        if !nothing(&receiver) {
            fed.push(second);
        }
        tokio::time::sleep(Duration::from_millis(999)).await;
    }
    assert_eq!(fed, [0, 10, 20, 30, 40, 50, 60, 80]);
    stop.cancel();
    watch.await.expect("no panic");
}

#[tokio::test]
async fn without_a_socket_nothing_is_sent() {
    let notifier = Notifier::default();
    notifier.ready("").await;
    let stop = CancellationToken::new();
    stop.cancel();
    let kept = notifier.keep_watchdog(&Heartbeats::default(), &stop).await;
    kept.expect("no error without a socket");
}

/// A supervisor that hangs must not block openseat: at some point the socket's buffer is full, and then messages are dropped.
#[tokio::test(start_paused = true)]
async fn a_systemd_that_reads_nothing_does_not_block_for_long() {
    let (notifier, _ear) = listening(None);
    let begun = tokio::time::Instant::now();
    for _ in 0..2_000 {
        notifier.tell(&[NotifyState::Watchdog]).await;
    }
    let waited = begun.elapsed();
    assert!(waited >= MAX_WAIT, "the buffer was never full: {waited:?}");
    assert!(waited <= MAX_WAIT * 2_000, "{waited:?}");
}

#[tokio::test]
async fn abstract_socket_names_are_supported() {
    let name = format!("openseat-test-{}", std::process::id());
    let address = net::SocketAddr::from_abstract_name(&name).expect("a name");
    let receiver = net::UnixDatagram::bind_addr(&address).expect("a free name");
    receiver.set_nonblocking(true).expect("a socket");
    let receiver = UnixDatagram::from_std(receiver).expect("a socket");
    let socket = connect(format!("@{name}").as_bytes()).expect("the socket exists");
    let notifier = Notifier {
        socket: Some(socket),
        watchdog: None,
    };
    notifier.status("well").await;
    assert_eq!(next(&receiver).await, "STATUS=well\n");
}

#[test]
fn a_socket_that_cannot_be_used_is_reported_in_a_whole_sentence() {
    let error = SocketError {
        number: 1,
        flaw: "fd 3 is not a socket".to_owned(),
    };
    let expected =
        "socket number 1 of those that systemd passed cannot be used: fd 3 is not a socket";
    assert_eq!(error.to_string(), expected);
}
