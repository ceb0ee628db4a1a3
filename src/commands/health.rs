//! `openseat health`

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::{EXIT_FAILURE, any_certificate, exit_with, load_or_explain, run::block_on};
use crate::{
    cli,
    config::{Listen, Server},
};

/// A daemon that is well answers within a millisecond; health checks commonly have 5 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// A line for each of a thousand queues.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Asks the daemon that runs with this config.
pub fn run(options: &cli::Health) -> ExitCode {
    let config = match load_or_explain(&options.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let server = &config.server;
    let listen = &server.listen[0];
    let target = if options.live {
        "/livez"
    } else {
        "/readyz?verbose"
    };
    match block_on(in_time(server, target)) {
        Ok((StatusCode::OK, answer)) => {
            super::print(&answer);
            ExitCode::SUCCESS
        }
        Ok((status, answer)) => {
            exit_with(EXIT_FAILURE, &format!("{status}\n{}", answer.trim_end()))
        }
        Err(error) => exit_with(EXIT_FAILURE, &format!("{listen}: {error:#}")),
    }
}

async fn in_time(server: &Server, target: &str) -> anyhow::Result<(StatusCode, String)> {
    let asked = tokio::time::timeout(PATIENCE, ask(server, target)).await;
    asked.unwrap_or_else(|_| bail!("no answer within {}", humantime::format_duration(PATIENCE)))
}

async fn ask(server: &Server, target: &str) -> anyhow::Result<(StatusCode, String)> {
    const NOBODY: &str = "nobody answers; is the daemon running?";
    match &server.listen[0] {
        Listen::Tcp(address) => {
            let address = from_here(*address);
            let stream = TcpStream::connect(address).await.context(NOBODY)?;
            if server.tls.is_none() {
                return exchange(stream, target).await;
            }
            let connector = any_certificate::connector()?;
            let secured = connector.connect(address.ip().into(), stream).await;
            exchange(secured.context("no TLS handshake")?, target).await
        }
        Listen::Unix(path) => {
            exchange(UnixStream::connect(path).await.context(NOBODY)?, target).await
        }
    }
}

/// Who listens on all addresses listens on loopback, too.
fn from_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    target: &str,
) -> anyhow::Result<(StatusCode, String)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(target)
        .header(header::HOST, "localhost")
        .body(Empty::<bytes::Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER)
            .collect()
            .await;
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::select! {
        answer = exchange => answer,
        // It ends before the answer only if it breaks.
        ended = connection => {
            ended?;
            bail!("the connection was closed without an answer")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_on_all_addresses_is_asked_at_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:7717", "127.0.0.1:7717"),
            ("[::]:7717", "[::1]:7717"),
            ("192.0.2.1:7717", "192.0.2.1:7717"),
        ] {
            let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(from_here(address(listen)), address(asked));
        }
    }
}
