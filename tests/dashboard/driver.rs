//! A chromedriver in a process group of its own. Dropping it ends everything that it started.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
    waitpid,
};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::browser::{RETRY_INTERVAL, TIMEOUT};

/// With `--port=0` a driver takes a free IPv6 port and exits if the same IPv4 port is in use. If several start in parallel, that happens in
/// one start of a hundred. Five such starts in a row are practically impossible.
const TRIES: usize = 5;

/// How long a driver and its browsers may take to exit by themselves. A busy machine needs seconds.
const ENDING: Duration = Duration::from_secs(20);

/// An environment variable of the driver and of everything that it starts, with a value of its own for each driver.
const MARK: &str = "OPENSEAT_TEST_DRIVER";

/// See the [module](self).
pub struct Driver {
    child: Child,
    pub port: u16,
    mark: String,
    /// The path of the open session, if there is one.
    pub session: Option<String>,
    /// Where the driver and its browsers keep their files.
    _folder: TempDir,
}

impl Driver {
    /// Starts a driver and waits until it listens.
    pub async fn start() -> Self {
        let start = tokio::task::spawn_blocking(|| {
            Self::start_by(|| {
                let mut command = Command::new("chromedriver");
                command.arg("--port=0");
                command
            })
        });
        let started = tokio::time::timeout(TIMEOUT, start).await;
        let driver = started
            .expect("the driver starts in time")
            .expect("no panic");
        driver.unwrap_or_else(|error| {
            panic!(
                "chromedriver: {error}; as root: apt-get install --no-install-recommends chromium chromium-driver"
            )
        })
    }

    fn start_by(command: impl Fn() -> Command) -> io::Result<Self> {
        let mut error = None;
        for _ in 0..TRIES {
            match Self::try_start(command()) {
                Err(ended) if ended.kind() == io::ErrorKind::UnexpectedEof => error = Some(ended),
                result => return result,
            }
        }
        Err(error.unwrap_or_else(|| io::Error::other("no attempt was made")))
    }

    /// Starts a driver. [`io::ErrorKind::UnexpectedEof`] means that it exited before it listened.
    fn try_start(mut command: Command) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{number}", std::process::id());
        // Browsers whose driver has exited become children of this process, so that it can wait for them. Not every machine has an init process that waits.
        set_child_subreaper(Some(getpid()))?;
        let folder = tempfile::tempdir()?;
        let child = command
            .env(MARK, &mark)
            .env("TMPDIR", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .env("XDG_CACHE_HOME", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let mut driver = Self {
            child,
            port: 0,
            mark,
            session: None,
            _folder: folder,
        };
        let output = driver.child.stdout.take().expect("its output is piped");
        driver.port = port(BufReader::new(output))?;
        Ok(driver)
    }

    /// Finds the processes of this driver, even after it has been dropped.
    pub fn family(&self) -> Family {
        Family {
            group: self.child.id(),
            mark: self.mark.clone(),
        }
    }

    /// Ends the session, and with it the session's browser. A driver that is only stopped leaves its browsers behind.
    fn end_session(&self) -> io::Result<()> {
        let Some(session) = &self.session else {
            return Ok(());
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ENDING))?;
        stream.set_write_timeout(Some(ENDING))?;
        let head = "HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        stream.write_all(format!("DELETE {session} {head}").as_bytes())?;
        // The answer comes when the browser has exited. The connection may stay open after that.
        stream.read_exact(&mut [0; 12])
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let family = self.family();
        // Anything that does not exit cleanly is killed below.
        let _ = self.end_session();
        if let Some(driver) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(driver, Signal::TERM);
        }
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < ENDING {
            thread::sleep(RETRY_INTERVAL);
        }
        let ended = family.ends_within(ENDING.saturating_sub(begun.elapsed()));
        if !ended {
            family.kill();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !ended && !family.ends_within(ENDING) && !thread::panicking() {
            panic!("chromedriver left processes behind: {:?}", family.living());
        }
    }
}

/// A driver and everything that it has started. Browsers stay in its process group; their crash handlers leave it, but keep its environment.
pub struct Family {
    group: u32,
    mark: String,
}

impl Family {
    /// The id of the driver's process, which leads the group.
    pub fn group(&self) -> u32 {
        self.group
    }

    /// The ids of the live processes.
    pub fn living(&self) -> Vec<i32> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
        pids.filter(|pid| self.has(*pid)).collect()
    }

    fn has(&self, pid: i32) -> bool {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
        // The name is in parentheses and may contain spaces. State, parent and group follow it.
        let Some((name, rest)) = stat.rsplit_once(')') else {
            return false;
        };
        let fields: Vec<_> = rest.split_whitespace().take(3).collect();
        let [state, parent, group] = fields[..] else {
            return false;
        };
        if state == "Z" {
            reap(pid, name, parent);
            return false;
        }
        let mark = format!("{MARK}={}\0", self.mark).into_bytes();
        let environment = fs::read(folder.join("environ")).unwrap_or_default();
        let mut windows = environment.windows(mark.len());
        group == self.group.to_string() || windows.any(|window| *window == *mark)
    }

    /// Whether all of them end in this time.
    pub fn ends_within(&self, time: Duration) -> bool {
        let begun = Instant::now();
        while !self.living().is_empty() {
            if begun.elapsed() > time {
                return false;
            }
            thread::sleep(RETRY_INTERVAL);
        }
        true
    }

    fn kill(&self) {
        // If no process of the group is left, another group may have its id by now.
        let living = self.living();
        if living.is_empty() {
            return;
        }
        for pid in living.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        // This also kills those that were started in the meantime.
        if !self.living().is_empty()
            && let Some(group) = Pid::from_raw(self.group as i32)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Waits for a browser's process that has exited and has become a child of this one.
fn reap(pid: i32, name: &str, parent: &str) {
    let name = name.rsplit('(').next().unwrap_or_default();
    // The code that started a driver waits for it.
    let is_browser = name.starts_with("chrom") && name != "chromedriver";
    if let Some(pid) = Pid::from_raw(pid)
        && is_browser
        && parent == std::process::id().to_string()
    {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// Reads the port from the driver's output once it listens. It keeps reading, because the driver would block on a full pipe.
fn port(mut output: impl BufRead + Send + 'static) -> io::Result<u16> {
    let mut all = String::new();
    loop {
        let begin = all.len();
        if output.read_line(&mut all)? == 0 {
            let ended = format!("it exited before it listened; output: {all:?}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, ended));
        }
        let line = all[begin..].trim_end().trim_end_matches('.');
        if let Some((_, port)) = line.split_once("successfully on port ") {
            let port = port.parse().map_err(io::Error::other)?;
            thread::spawn(move || io::copy(&mut output, &mut io::sink()));
            return Ok(port);
        }
    }
}

#[test]
fn a_driver_without_a_port_is_restarted_but_not_forever() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "echo try >> tries; test $(wc -l < tries) -gt $BAD || { echo 'IPv4 port not available. Exiting...'; exit 1; }; \
                  echo 'ChromeDriver was started successfully on port 4711.'; exec sleep 600";
    let driver = |bad: usize| {
        Driver::start_by(|| {
            let mut command = Command::new("sh");
            command
                .args(["-c", script])
                .env("BAD", bad.to_string())
                .current_dir(folder.path());
            command
        })
    };
    let tries = || {
        let tries = fs::read_to_string(folder.path().join("tries")).expect("the script ran");
        fs::remove_file(folder.path().join("tries")).expect("the file exists");
        tries.lines().count()
    };
    let started = driver(2).expect("the third one starts");
    assert_eq!((started.port, tries()), (4711, 3));
    let family = started.family();
    assert_eq!(family.living().len(), 1);
    drop(started);
    assert_eq!(family.living(), [0; 0]);
    let error = driver(99)
        .err()
        .expect("the driver never starts")
        .to_string();
    assert!(error.contains("IPv4 port not available"), "{error}");
    assert_eq!(tries(), TRIES);
    let missing = Driver::start_by(|| Command::new("/nowhere/chromedriver"));
    let error = missing.err().expect("the program does not exist");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
