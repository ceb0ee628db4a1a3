//! How large the program is, and how soon after its start it answers from stored state.

use std::{fs, net::TcpListener, thread, time::Duration};

use rustix::process::{Pid, Signal};
use tokio::time::{Instant, sleep};

use crate::{
    MIB, Row, Scale,
    account::Account,
    process::Daemon,
    scrapes::median,
    setting::Setting,
    viewers::{connect, decide},
};

/// A start that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(30);

pub async fn start(scale: Scale) -> [Row; 2] {
    let mut setting = Setting::begin(vec![Account::lively(0, 20, 100)]).await;
    let daemon = Daemon::start(&setting).await;
    sleep(scale.time(30)).await;
    daemon.stop();
    let starts = (0..if scale.trial { 1 } else { 9 }).map(|_| first_answer(&mut setting));
    let first_answer = median(starts.collect());
    let size = fs::metadata(env!("CARGO_BIN_EXE_openseat")).expect("the program");
    [
        Row {
            what: "20 queues, 100 agents, stored state",
            measured: "from the start of the process to the first answer that is known",
            value: first_answer,
            bound: 100.0,
            unit: "ms",
        },
        Row {
            what: "the program",
            measured: "size of the file",
            value: size.len() as f64 / MIB,
            bound: 32.0,
            unit: "MiB",
        },
    ]
}

fn first_answer(setting: &mut Setting) -> Duration {
    // The log would tell a free port, too, but late.
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    setting.listen_at(&address);
    let queue = setting.accounts[0].queues()[0];
    let begun = Instant::now();
    let mut child = Daemon::spawn(setting);
    let known = |answer: Vec<u8>| !String::from_utf8_lossy(&answer).contains("\"count\":null");
    let elapsed = loop {
        assert!(begun.elapsed() < LIMIT, "no answer");
        if connect(&address).is_ok_and(|mut stream| known(decide(&mut stream, &queue))) {
            break begun.elapsed();
        }
        thread::sleep(Duration::from_millis(1));
    };
    let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::TERM);
    let _ = child.wait();
    elapsed
}
