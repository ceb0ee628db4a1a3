//! A disk of a few megabytes that can be filled and made read-only, where this machine lets us have one.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
};

/// Mounted over a folder, until dropped.
#[derive(Debug)]
pub struct Disk<'a>(&'a Path);

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

impl<'a> Disk<'a> {
    /// Makes the folder, and mounts a disk of so many bytes there. `None`, and a loud word, where that is not allowed: only root may.
    pub fn mount(at: &'a Path, bytes: u64) -> Option<Self> {
        fs::create_dir_all(at).expect("a folder");
        let size = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(at));
        }
        let why = "NOT RUN: this machine mounts no disk for a test; run it as root\n";
        let _ = std::io::stderr().write_all(why.as_bytes());
        None
    }

    /// Writes until there is no room for another byte.
    pub fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).expect("a file");
        for block in [65_536, 4_096, 1] {
            while file.write_all(&vec![7; block]).is_ok() {}
        }
    }

    /// Gives the room back.
    pub fn free(&self) {
        fs::remove_file(self.0.join("filler")).expect("it was filled");
    }

    /// Takes no more writes, or takes them again.
    pub fn set_read_only(&self, read_only: bool) {
        let how = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let done = Command::new("mount").args(["-o", how]).arg(self.0).status();
        assert!(done.expect("it was mounted").success());
    }
}
