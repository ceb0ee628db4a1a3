//! The stream below a connection.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Phase, Timeouts};
use crate::server::net::listen::Socket;

/// Passes bytes on, and notes when they come and go.
#[derive(Debug)]
pub struct TimedStream<S: Socket> {
    pub(super) stream: S,
    timeouts: Timeouts,
}

impl<S: Socket> TimedStream<S> {
    pub fn new(stream: S, timeouts: Timeouts) -> Self {
        Self { stream, timeouts }
    }
}

impl<S: AsyncRead + Socket + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.timeouts.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> TimedStream<S> {
    fn bytes_go(&self) {
        self.timeouts.bytes_go();
        let shrink_send_buffer = &self.timeouts.state.shrink_send_buffer;
        if shrink_send_buffer.load(Ordering::Relaxed) {
            shrink_send_buffer.store(false, Ordering::Relaxed);
            self.stream.shrink_send_buffer();
        }
    }
}

/// hyper flushes before it ends a connection properly. Otherwise the connection was cut, and the client has no use for unread data.
impl<S: Socket> Drop for TimedStream<S> {
    fn drop(&mut self) {
        if matches!(self.timeouts.state.phase(), Phase::Taking | Phase::Flushing) {
            self.stream.reset_on_close();
        }
    }
}

impl<S: AsyncWrite + Socket + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.bytes_go();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.bytes_go();
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes if and only if it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.timeouts.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
