//! Reads the files that people name: the config, tokens, keys, certificates. Creates openseat's own.
//!
//! Only regular files, up to a size limit, and within a deadline. A named pipe without a writer or a network file system that hangs would
//! otherwise block the reader, and no signal ends that.

use std::{
    fs::{File, FileType, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, fchown},
    path::Path,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    process::geteuid,
};
use zeroize::Zeroizing;

use crate::process::aside::{self, Unfinished};

/// A local disk answers within milliseconds, one that must spin up within seconds. Well below the 15 s after which the watchdog considers a
/// loop stuck.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system's error.
    #[error("{0}")]
    System(#[from] io::Error),
    /// It is not a regular file, but this.
    #[error("it is {0}, and only regular files are read")]
    Kind(&'static str),
    /// It has more bytes than this.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    /// It took too long.
    #[error("{0}")]
    Unfinished(#[from] Unfinished),
}

impl FileError {
    /// Says what to do if openseat may not read the file; empty for other errors. Under systemd's `DynamicUser=` no file can belong to its user.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::System(error) if error.kind() == ErrorKind::PermissionDenied => {
                "; let systemd pass it with LoadCredential=, or make it readable by openseat's user"
            }
            _ => "",
        }
    }
}

/// Reads a whole file of at most `most` bytes. Blocks, but not longer than the deadline; tasks use [`aside::bounded`].
///
/// # Errors
/// [`FileError`]
pub fn read(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let owned = path.to_owned();
    aside::wait(path, DEADLINE, move || read_now(&owned, most))?
}

/// Opens a regular file to read it. It waits for the file system, but for no other process.
///
/// # Errors
/// [`FileError::System`], [`FileError::Kind`]
pub fn open(path: &Path) -> Result<File, FileError> {
    // Without NONBLOCK, opening a named pipe waits for a writer; for regular files it has no effect.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
    let file = match opened {
        Ok(file) => File::from(file),
        // The system's error for a socket does not say what is wrong.
        Err(error) => return Err(kind_at(path).map_or(FileError::System(error), FileError::Kind)),
    };
    match kind(file.metadata()?.file_type()) {
        Some(kind) => Err(FileError::Kind(kind)),
        None => Ok(file),
    }
}

/// Opens a file to write it, or creates it; then only its owner may read it. If root creates it, it belongs to the owner of its folder: a daemon
/// with a user of its own must be able to use what a command run by root has left there.
///
/// # Errors
/// The system's. If the file belongs to another user, the error says what to do.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).truncate(false).mode(0o600);
    // A named pipe would wait for a reader.
    options.custom_flags(OFlags::NONBLOCK.bits() as i32);
    let opened = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            if geteuid().is_root() {
                // Without the right to do that, root can still use the file.
                let _ = give_to_the_folders_owner(&file, path);
            }
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.create(true).open(path),
        Err(error) => Err(error),
    };
    opened.map_err(|error| with_the_owner(error, path))
}

fn give_to_the_folders_owner(file: &File, path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new(".")).metadata()?;
    fchown(file, Some(folder.uid()), Some(folder.gid()))
}

/// Says whose the file is, if that is why it cannot be used.
fn with_the_owner(error: io::Error, path: &Path) -> io::Error {
    let user = geteuid().as_raw();
    let owner = match path.metadata().map(|found| found.uid()) {
        Ok(owner) if owner != user && error.kind() == ErrorKind::PermissionDenied => owner,
        _ => return error,
    };
    let owner = match owner {
        0 => "root".to_owned(),
        owner => format!("user {owner}"),
    };
    let path = path.display();
    let why = format!(
        "permission denied: it belongs to {owner}, and openseat runs as user {user}; as root, run `chown {user} {path}*`"
    );
    io::Error::new(ErrorKind::PermissionDenied, why)
}

fn read_now(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = open(path)?;
    let size = file.metadata()?.len();
    if size > most {
        return Err(FileError::TooLarge(most));
    }
    // Its full size from the start: a buffer that grows leaves copies of a secret behind. Files of the kernel have no size before they are read.
    let size = match size {
        0 => most,
        size => size,
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(size as usize + 1));
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(FileError::TooLarge(most));
    }
    Ok(bytes)
}

/// Checks that opening this path cannot wait for somebody else, as a named pipe does. A folder and a missing file have errors of their own.
///
/// # Errors
/// [`FileError::Kind`]
pub fn refuse_special(path: &Path) -> Result<(), FileError> {
    match kind_at(path) {
        Some(kind) if !path.is_dir() => Err(FileError::Kind(kind)),
        _ => Ok(()),
    }
}

fn kind_at(path: &Path) -> Option<&'static str> {
    kind(path.metadata().ok()?.file_type())
}

/// Names the kind; `None` for a regular file.
fn kind(found: FileType) -> Option<&'static str> {
    Some(match found {
        _ if found.is_file() => return None,
        _ if found.is_dir() => "a folder",
        _ if found.is_fifo() => "a named pipe",
        _ if found.is_socket() => "a socket",
        _ if found.is_char_device() || found.is_block_device() => "a device",
        _ => "something else",
    })
}

/// Why bytes are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// Some editors on other systems save it this way.
    #[error("is in UTF-16; save it as UTF-8, or plain text")]
    Utf16,
    /// Something else, at this byte.
    #[error("is not UTF-8 at byte {0}")]
    Other(usize),
}

/// Returns the text of a file, without the byte-order mark that some editors add.
///
/// # Errors
/// [`NotText`]
pub fn text(bytes: &[u8]) -> Result<&str, NotText> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(NotText::Utf16);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| match bytes.contains(&0) {
        true => NotText::Utf16,
        false => NotText::Other(error.valid_up_to()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_regular_files_within_the_size_limit_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "12345678").expect("a file");
        std::os::unix::fs::symlink(at("file"), at("link")).expect("a link");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), mode).expect("a pipe");
        let _socket = UnixListener::bind(at("socket")).expect("a socket");
        assert_eq!(**read(&at("link"), 8).expect("a file"), *b"12345678");
        for (path, words) in [
            (at("file"), "it has more than 7 bytes"),
            (
                at("pipe"),
                "it is a named pipe, and only regular files are read",
            ),
            (at("socket"), "it is a socket,"),
            (folder.path().to_owned(), "it is a folder,"),
            ("/dev/zero".into(), "it is a device,"),
            ("/dev/null".into(), "it is a device,"),
            (at("nothing"), "No such file"),
            // A regular file whose size is reported as 0, although it has content.
            ("/proc/self/status".into(), "it has more than 7 bytes"),
        ] {
            let error = read(&path, 7).expect_err(words).to_string();
            assert!(error.contains(words), "{}: {error}", path.display());
        }
    }

    #[test]
    fn a_text_may_have_a_byte_order_mark_and_must_be_utf_8() {
        assert_eq!(text(b"\xef\xbb\xbfabc"), Ok("abc"));
        assert_eq!(text("Zoë".as_bytes()), Ok("Zoë"));
        assert_eq!(text(b"\xff\xfea\0b\0"), Err(NotText::Utf16));
        assert_eq!(text(b"\xfe\xff\0a\0b"), Err(NotText::Utf16));
        assert_eq!(text(b"ab\xff"), Err(NotText::Other(2)));
    }
}
