use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::process::state_folder::ALL;

#[test]
fn the_holder_is_found_in_the_kernels_list_of_locks() {
    let locks = "1: POSIX  ADVISORY  WRITE 77 fd:01:131 0 EOF\n\
                 2: FLOCK  ADVISORY  WRITE 0 fd:01:132 0 EOF\n\
                 2: -> FLOCK  ADVISORY  WRITE 99 fd:01:131 0 EOF\n\
                 3: FLOCK  ADVISORY  WRITE 4321 fd:01:131 0 EOF\n";
    assert_eq!(holder(locks, 131), Some(4321));
    assert_eq!(holder(locks, 132), None, "in another namespace");
    assert_eq!(holder(locks, 13), None);
    assert_eq!(holder("nonsense", 131), None);
}

#[test]
fn a_second_process_learns_who_holds_the_folder() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("deep/state");
    let folder = Folder::take(&path).unwrap();
    let Err(LedgerError::InUse(holder)) = Folder::take(&path) else {
        panic!("the folder is locked");
    };
    assert_eq!(holder.pid, Some(std::process::id()));
    assert!(
        holder
            .to_string()
            .contains(&format!("(process {})", std::process::id()))
    );
    assert!(folder.is_still_there());
    fs::remove_dir_all(&path).unwrap();
    assert!(!folder.is_still_there());
    fs::create_dir(&path).unwrap();
    assert!(!folder.is_still_there());
}

#[test]
fn files_that_come_and_go_do_not_leave_the_folder_open() {
    let home = tempfile::tempdir().unwrap();
    let (path, done) = (home.path().to_owned(), AtomicBool::new(false));
    let journal = path.join("state.sqlite3-journal");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20_000 {
                fs::write(&journal, "").unwrap();
                fs::remove_file(&journal).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let closed = close_to_others(&path);
            assert!(closed.is_ok(), "{closed:?}");
        }
    });
}

#[test]
fn a_folder_and_its_files_are_made_private() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state");
    fs::create_dir(&path).unwrap();
    let endings = ["", "-wal", "-shm", ".corrupt-20261122T100000Z-shm"];
    let of_file = |name: &&str| endings.map(|ending| format!("{name}{ending}"));
    let mut names: Vec<_> = ALL.iter().flat_map(of_file).collect();
    names.push("budget.sqlite3-witness".to_owned());
    for name in &names {
        fs::write(path.join(name), "").unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    drop(Folder::take(&path).unwrap());
    assert_eq!(mode(&path).unwrap(), 0o700);
    for name in names {
        assert_eq!(mode(&path.join(&name)).unwrap(), 0o600, "{name}");
    }
    drop(Folder::take(&home.path().join("new")).unwrap());
    assert_eq!(mode(&home.path().join("new")).unwrap(), 0o700);
}

#[test]
fn a_folder_with_other_files_keeps_its_mode() {
    let home = tempfile::tempdir().unwrap();
    let foreign = home.path().join("foreign.txt");
    fs::write(&foreign, "").unwrap();
    fs::write(home.path().join("state.sqlite3"), "").unwrap();
    for (path, readable) in [(home.path(), 0o755), (&foreign, 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(readable)).unwrap();
    }
    drop(Folder::take(home.path()).unwrap());
    assert_eq!(mode(home.path()).unwrap(), 0o755);
    assert_eq!(mode(&foreign).unwrap(), 0o644);
    assert_eq!(mode(&home.path().join("state.sqlite3")).unwrap(), 0o600);
}
