//! A disk of a few megabytes that can be filled and made read-only. Mounting it needs root.

use std::{
    fs::{self, File},
    io::Write as _,
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
    /// Creates the folder and mounts a disk of this size there.
    pub fn mount(at: &'a Path, bytes: u64) -> Self {
        fs::create_dir_all(at).expect("a folder");
        let size = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .output();
        let mounted = mounted.expect("there is a mount command");
        assert!(mounted.status.success(), "not allowed: {mounted:?}");
        Self(at)
    }

    /// Writes until not another byte fits.
    pub fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).expect("a file");
        for block in [65_536, 4_096, 1] {
            while file.write_all(&vec![7; block]).is_ok() {}
        }
    }

    /// Frees the space that `fill` has taken.
    pub fn free(&self) {
        fs::remove_file(self.0.join("filler")).expect("the filler exists");
    }

    /// Remounts it read-only, or writable again.
    pub fn set_read_only(&self, read_only: bool) {
        let how = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let done = Command::new("mount").args(["-o", how]).arg(self.0).status();
        assert!(done.expect("mount runs").success());
    }
}
