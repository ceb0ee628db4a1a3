//! The witness: a small file beside the ledger that records how many transactions the ledger must have.
//!
//! It is written with each transaction, even a failed one. So the next start notices a ledger that lost its end, an older copy, and a copy of
//! another ledger: they do not match the witness.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::folder::same;
use crate::process::file;

/// More than a testimony has.
const MAX_BYTES: u64 = 1024;

/// What the witness records about the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Testimony {
    /// The number of its last transaction.
    pub change: u64,
    /// The inode of its file.
    pub inode: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Witness {
    path: PathBuf,
    file: Option<fs::File>,
}

impl Witness {
    pub fn beside(ledger: &Path) -> Self {
        let mut name = ledger.as_os_str().to_owned();
        name.push("-witness");
        Self {
            path: name.into(),
            file: None,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what it recorded last; `None` if it cannot be read.
    pub fn testimony(&self) -> Option<Testimony> {
        let file = file::open(&self.path).ok()?;
        let mut content = String::new();
        file.take(MAX_BYTES).read_to_string(&mut content).ok()?;
        parse(&content)
    }

    /// Records the ledger's state, and waits for the disk. Returns whether the file is new.
    pub fn write(&mut self, testimony: Testimony) -> io::Result<bool> {
        let is_new = !self.is_still_there();
        if is_new {
            let file = file::create_private(&self.path)?;
            let length = text(testimony).len() as u64;
            if file.metadata()?.len() > length {
                file.set_len(length)?;
            }
            self.file = Some(file);
        }
        let file = self.file.as_ref().expect("the file is open");
        // In place and always the same length, so that it works on a full disk.
        file.write_all_at(text(testimony).as_bytes(), 0)?;
        file.sync_data()?;
        Ok(is_new)
    }

    /// Returns whether the file was removed or replaced since it was written.
    pub fn is_gone(&self) -> bool {
        self.file.is_some() && !self.is_still_there()
    }

    fn is_still_there(&self) -> bool {
        let held = self.file.as_ref().and_then(|file| file.metadata().ok());
        let named = fs::metadata(&self.path).ok();
        held.zip(named)
            .is_some_and(|(held, named)| same(&held, &named))
    }
}

fn text(Testimony { change, inode }: Testimony) -> String {
    let state = format!("openseat ledger: {change:020} transactions, inode {inode:020}");
    format!("{state}, check {:08x}\n", crc32fast::hash(state.as_bytes()))
}

fn parse(content: &str) -> Option<Testimony> {
    let rest = content.strip_prefix("openseat ledger: ")?;
    let (change, rest) = rest.split_once(" transactions, inode ")?;
    let (inode, _) = rest.split_once(", check ")?;
    let testimony = Testimony {
        change: change.parse().ok()?,
        inode: inode.parse().ok()?,
    };
    // Rejects any other spelling and any flipped bit.
    (text(testimony) == content).then_some(testimony)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_testimony_is_read_back_and_every_flipped_bit_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        let mut witness = Witness::beside(&home.path().join("budget.sqlite3"));
        assert_eq!(witness.testimony(), None);
        let testimony = |change, inode| Testimony { change, inode };
        assert!(
            witness.write(testimony(7, 4_711)).unwrap(),
            "the testimony is new"
        );
        assert!(!witness.write(testimony(8, u64::MAX)).unwrap());
        assert_eq!(witness.testimony(), Some(testimony(8, u64::MAX)));
        let good = fs::read(witness.path()).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(witness.path(), bad).unwrap();
            assert_eq!(witness.testimony(), None, "bit {bit}");
        }
        fs::write(witness.path(), &good[..good.len() - 1]).unwrap();
        assert_eq!(witness.testimony(), None, "cut short");
        // The next write repairs it, and creates it again if it was removed.
        assert!(!witness.write(testimony(9, 1)).unwrap());
        assert_eq!(witness.testimony(), Some(testimony(9, 1)));
        fs::remove_file(witness.path()).unwrap();
        assert!(witness.write(testimony(10, 1)).unwrap());
        assert_eq!(witness.testimony(), Some(testimony(10, 1)));
    }
}
