use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{advance, timeout},
};

use super::*;
use crate::server::net::listen::Socket;

/// Polls once.
async fn is_pending(work: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *work).poll(cx).is_pending())).await
}

/// Pauses the process after `begin`; `then` is what it reads when it resumes.
async fn after_a_pause(begin: impl Fn(&Timeouts), then: impl Fn(&Timeouts)) -> bool {
    let timeouts = Timeouts::new(Limits::with_connections(1));
    begin(&timeouts);
    let mut expired = Box::pin(timeouts.expired());
    assert!(is_pending(&mut expired).await);
    advance(Duration::from_secs(3_600)).await;
    let has_expired = !is_pending(&mut expired).await;
    then(&timeouts);
    !has_expired && is_pending(&mut expired).await
}

#[tokio::test(start_paused = true)]
async fn data_that_arrived_during_a_pause_is_read_before_a_connection_is_cut() {
    let idle = |timeouts: &Timeouts| {
        timeouts.asked();
        timeouts.answered_at_once();
        timeouts.flushed();
    };
    let asked = |timeouts: &Timeouts| {
        timeouts.bytes_came();
        timeouts.asked();
    };
    assert!(after_a_pause(|_| {}, asked).await, "a head");
    assert!(after_a_pause(idle, asked).await, "an idle one");
    let begun = |timeouts: &Timeouts| {
        idle(timeouts);
        timeouts.bytes_came();
    };
    assert!(after_a_pause(begun, asked).await, "a later head");
    let taking = |timeouts: &Timeouts| {
        timeouts.asked();
        timeouts.answered_at_once();
    };
    assert!(after_a_pause(taking, Timeouts::flushed).await, "a reader");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_cut_in_time_with_or_without_a_pause() {
    let limits = Limits::with_connections(1);
    let soon = limits.head + Duration::from_secs(1);
    let timeouts = Timeouts::new(limits);
    let cut = timeout(soon, timeouts.expired()).await;
    assert_eq!(cut, Ok(Some(Dropped::SlowRequest)));
    let timeouts = Timeouts::new(limits);
    let mut expired = Box::pin(timeouts.expired());
    assert!(is_pending(&mut expired).await);
    advance(Duration::from_secs(3_600)).await;
    assert!(is_pending(&mut expired).await);
    assert_eq!(timeout(soon, expired).await, Ok(Some(Dropped::SlowRequest)));
}

/// Both ends of a connection; ours is watched.
async fn connection() -> (TimedStream<TcpStream>, TcpStream, Timeouts) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("the socket is bound");
    let theirs = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let (ours, _) = listener.accept().await.expect("the client connects");
    let timeouts = Timeouts::new(Limits::with_connections(1));
    (TimedStream::new(ours, timeouts.clone()), theirs, timeouts)
}

/// How many bytes can be written to a client that reads nothing.
async fn written_unread(watched: &mut TimedStream<TcpStream>) -> usize {
    let (piece, mut written) = ([0; body::MAX_PART], 0);
    let long = Duration::from_millis(500);
    while let Ok(Ok(length)) = timeout(long, watched.write(&piece)).await {
        written += length;
    }
    written
}

#[tokio::test]
async fn the_kernel_keeps_little_for_a_stream_that_nobody_reads() {
    let (mut watched, theirs, timeouts) = connection().await;
    let theirs_holds = rustix::net::sockopt::socket_recv_buffer_size(&theirs);
    let theirs_holds = theirs_holds.expect("the buffer's size");
    timeouts.shrink_send_buffer();
    let written = written_unread(&mut watched).await;
    let ours_holds = rustix::net::sockopt::socket_send_buffer_size(watched.stream.socket());
    let ours_holds = ours_holds.expect("the buffer's size");
    assert!(ours_holds <= 128 * 1024, "{ours_holds}");
    assert!(written <= 2 * (theirs_holds + ours_holds), "{written}");
}

#[tokio::test]
async fn a_client_that_is_cut_with_unread_data_is_reset_and_one_without_is_not() {
    for is_cut in [true, false] {
        let (mut watched, mut theirs, timeouts) = connection().await;
        timeouts.asked();
        timeouts.answered_at_once();
        watched
            .write_all(b"an answer")
            .await
            .expect("the connection is open");
        if !is_cut {
            watched.flush().await.expect("the connection is open");
        }
        drop(watched);
        let mut rest = Vec::new();
        let end = theirs.read_to_end(&mut rest).await;
        let end = end.map_err(|error| error.kind());
        let expected = match is_cut {
            true => Err(io::ErrorKind::ConnectionReset),
            false => Ok(9),
        };
        assert_eq!(end, expected);
    }
}
