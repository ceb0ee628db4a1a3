//! A connection between a node and the engine that a test disturbs.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use openseat::cluster::local::LocalEngine;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream, UnixStream, unix},
    sync::watch,
};

/// See the [module](self).
pub struct Way {
    pub url: String,
    /// While it is cut, connections are accepted, but nothing gets through. Connections that were open end with the cut.
    pub cut: watch::Sender<bool>,
    /// While it holds, what the node sends waits on the way, even after the node has given up.
    pub hold: watch::Sender<bool>,
    held: Arc<Mutex<Vec<u8>>>,
}

impl Way {
    pub async fn to(redis: &LocalEngine) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let ((cut, cuts), (hold, holds)) = (watch::channel(false), watch::channel(false));
        let (socket, held) = (redis.socket(), Arc::default());
        let gate = Gate {
            holds,
            held: Arc::clone(&held),
        };
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, socket.clone(), cuts.clone(), gate.clone()));
            }
        });
        Self {
            url: format!("redis://{address}/0"),
            cut,
            hold,
            held,
        }
    }

    /// Whether these bytes wait on the way.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let held = self.held.lock().expect("no test panics in there");
        held.windows(bytes.len()).any(|window| window == bytes)
    }
}

#[derive(Clone)]
struct Gate {
    holds: watch::Receiver<bool>,
    held: Arc<Mutex<Vec<u8>>>,
}

impl Gate {
    /// Carries what the node sends, and holds it while it must.
    async fn pass(
        mut self,
        mut near: impl AsyncRead + Unpin,
        mut far: unix::OwnedWriteHalf,
    ) -> std::io::Result<()> {
        let (mut buffer, mut waiting) = (vec![0; 64 * 1024], Vec::new());
        loop {
            let holds = *self.holds.borrow_and_update();
            if !holds && !waiting.is_empty() {
                far.write_all(&waiting).await?;
                waiting.clear();
                self.held().clear();
            }
            tokio::select! {
                _ = self.holds.changed() => {}
                length = near.read(&mut buffer) => match length? {
                    0 => break,
                    length => {
                        waiting.extend_from_slice(&buffer[..length]);
                        self.held().extend_from_slice(&buffer[..length]);
                    }
                },
            }
        }
        // What a node has sent still arrives after the node has closed its connection.
        let _ = self.holds.wait_for(|holds| !holds).await;
        far.write_all(&waiting).await?;
        self.held().clear();
        far.shutdown().await
    }

    fn held(&self) -> MutexGuard<'_, Vec<u8>> {
        self.held.lock().expect("no test panics in there")
    }
}

async fn carry(near: TcpStream, socket: PathBuf, mut cuts: watch::Receiver<bool>, gate: Gate) {
    let Ok(far) = UnixStream::connect(socket).await else {
        return;
    };
    let (near_in, mut near_out) = near.into_split();
    let (mut far_in, far_out) = far.into_split();
    let there = gate.pass(near_in, far_out);
    let back = async { copy(&mut far_in, &mut near_out).await };
    tokio::select! {
        biased;
        _ = cuts.wait_for(|cut| *cut) => {}
        _ = async { tokio::join!(there, back) } => return,
    }
    let _ = cuts.wait_for(|cut| !cut).await;
}
