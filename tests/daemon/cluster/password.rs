//! A new password of the engine, without a restart.

use tokio::{io::AsyncReadExt as _, net::TcpListener, time::timeout};

use super::*;
use crate::support::TIMEOUT;

/// An engine that only listens to what nodes say first, and hangs up.
struct Deaf(TcpListener);

impl Deaf {
    /// Waits for a connection that shows this password.
    async fn is_shown(&self, password: &str) {
        let shown = async {
            loop {
                let (mut stream, _) = self.0.accept().await.expect("a connection");
                let mut first = [0; 4096];
                let length = stream.read(&mut first).await.unwrap_or_default();
                if String::from_utf8_lossy(&first[..length]).contains(password) {
                    return;
                }
            }
        };
        let in_time = timeout(TIMEOUT, shown).await;
        assert!(in_time.is_ok(), "no node shows the password");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_the_engines_new_password_from_its_file() {
    let engine = Deaf(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    let address = engine.0.local_addr().expect("it is bound");
    let calltools = CallTools::start(&Time::new()).await;
    let folder = TestFolder::new();
    folder.write("password", "the-first-one\n");
    let file = folder.path().join("password");
    let password = format!("password_file = \"{}\"", file.display());
    let url = format!("redis://openseat@{address}/0");
    let node = Node::start_with(&url, &calltools, 0, "", &password).await;
    engine.is_shown("the-first-one").await;

    folder.write("password", "the-second-one\n");
    let reloaded = post(node.address, "/v1/reload").await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    engine.is_shown("the-second-one").await;

    // Without a password, the one in force stays.
    folder.write("password", "\n");
    let refused = post(node.address, "/v1/reload").await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("the password file"), "{refused:?}");
    engine.is_shown("the-second-one").await;
}
