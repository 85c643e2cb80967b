//! Disks that lose power, fill up, lie or are scratched: nothing that was answered is lost, nothing is guessed.

use std::io;
use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition};

use super::super::{Fault, Files, LogStore, OnDisk, Pace, Refused, Snapshots, found};
use super::disks::{Disk, Opened};
use super::world::{List, World, member};

#[tokio::test(start_paused = true)]
async fn a_proposal_is_on_two_disks_before_it_is_answered() {
    let mut world = World::of(3).await;
    for n in 0..10 {
        let before: Vec<u64> = (1..=3).map(|id| world.disks[&id].syncs()).collect();
        world.propose(&format!("word {n}")).await.unwrap();
        let synced = (1..=3).zip(before).filter(|(id, before)| world.disks[id].syncs() > *before).count();
        assert!(synced >= 2, "on {synced} disks");
    }
}

#[tokio::test(start_paused = true)]
async fn the_power_goes_everywhere_at_once_again_and_again() {
    let mut world = World::of(3).await;
    let mut done = Vec::new();
    for round in 0..20 {
        for n in 0..=round % 4 {
            let word = format!("round {round}, word {n}");
            if world.propose(&word).await.is_ok() {
                done.push(word);
            }
        }
        for id in 1..=3 {
            world.kill(id).await;
        }
        for id in 1..=3 {
            world.start(id);
        }
    }
    world.propose("last").await.unwrap();
    done.push("last".to_owned());
    assert_eq!(world.same().await, done);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_the_member_clearly_and_harms_nothing() {
    for writes in 0..12 {
        let mut world = World::of(3).await;
        world.propose("a").await.unwrap();
        let leader = world.leader().await;
        world.disks[&leader].full_after(writes);
        let handle = world.running[&leader].handle.clone();
        // Until it is full; redb may have had room for some.
        let mut refused = None;
        for n in 0..200 {
            if let Err(error) = handle.propose(format!("word {n}").into_bytes()).await {
                refused = Some(error);
                break;
            }
        }
        let refused = refused.expect("a disk without room");
        assert!(!matches!(refused, Refused::Rule(_)), "{refused:?}");
        let stopped = world.running.remove(&leader).unwrap();
        let fault = stopped.task.await.unwrap().unwrap_err();
        assert!(matches!(fault, Fault::Disk { .. }), "{fault}");
        assert!(fault.to_string().contains("no space left"), "{fault}");
        // The others go on, and so does this one once there is room.
        world.propose("b").await.unwrap();
        world.disks[&leader].lose_power();
        world.disks[&leader].has_room_again();
        world.start(leader);
        let list = world.same().await;
        assert!(list.contains(&"a".to_owned()) && list.contains(&"b".to_owned()), "{list:?}");
    }
}

struct NoRoom;

impl Files for NoRoom {
    fn put(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        // As far as it went: half of it, under the name of what is not finished.
        std::fs::write(path.with_extension("part"), &content[..content.len() / 2])?;
        Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_written_stops_the_member_and_harms_nothing() {
    let mut world = World::empty(Pace { snapshot_entries: 5, ..Pace::default() });
    world.found(1);
    let disk = world.disks[&1].clone();
    let folder = world.folder(1).to_owned();
    let stores = (LogStore::over(Opened(disk)).unwrap(), Snapshots::open(&folder, NoRoom).unwrap());
    world.start_on(1, stores);
    let mut done = Vec::new();
    for n in 0..20 {
        match world.running[&1].handle.propose(format!("word {n}").into_bytes()).await {
            Ok(_) => done.push(format!("word {n}")),
            Err(Refused::NotLeader { .. }) => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Err(_) => break,
        }
    }
    assert!(!done.is_empty());
    let stopped = world.running.remove(&1).unwrap();
    let fault = stopped.task.await.unwrap().unwrap_err();
    assert!(matches!(&fault, Fault::Disk { doing: "writing a snapshot", .. }), "{fault}");
    world.disks[&1].lose_power();
    world.start(1);
    world.propose("last").await.unwrap();
    let list = world.running[&1].list.all();
    assert!(list.starts_with(&done) && list.last().unwrap() == "last", "{list:?}");
}

/// A log with some entries, on real files.
async fn folder_with_entries() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let open = || (LogStore::open(folder.path()).unwrap(), Snapshots::open(folder.path(), OnDisk).unwrap());
    let (log, snapshots) = open();
    found(log, snapshots, &mut List::default(), member(1)).unwrap();
    let mut world = World::empty(Pace::default());
    world.start_on(1, open());
    for n in 0..10 {
        world.propose(&format!("word {n}")).await.unwrap();
    }
    let running = world.running.remove(&1).unwrap();
    running.handle.stop().await;
    running.task.await.unwrap().unwrap();
    folder
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_was_cut_off_is_found_and_not_mended() {
    const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
    let folder = folder_with_entries().await;
    let database = Database::open(folder.path().join("raft.redb")).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(ENTRIES).unwrap().pop_last().unwrap();
    write.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let fault = LogStore::open(folder.path()).unwrap_err();
        assert!(matches!(&fault, Fault::Damaged { what, .. } if what == "the end of the log"), "{fault}");
        assert!(fault.to_string().contains("lockstep coordinator remove"), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_in_the_middle_that_is_gone_or_changed_is_found() {
    const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
    type Harm = fn(&mut redb::Table<'_, u64, &[u8]>);
    let harms: [(Harm, &str); 3] = [
        (|table| drop(table.remove(5).unwrap()), "is missing"),
        (
            |table| {
                let mut value = table.get(5).unwrap().unwrap().value().to_vec();
                *value.last_mut().unwrap() ^= 1;
                table.insert(5, value.as_slice()).unwrap();
            },
            "checksum",
        ),
        (
            |table| {
                let value = table.get(6).unwrap().unwrap().value().to_vec();
                table.insert(5, value.as_slice()).unwrap();
            },
            "checksum",
        ),
    ];
    for (harm, word) in harms {
        let folder = folder_with_entries().await;
        let database = Database::open(folder.path().join("raft.redb")).unwrap();
        let write = database.begin_write().unwrap();
        harm(&mut write.open_table(ENTRIES).unwrap());
        write.commit().unwrap();
        drop(database);
        let fault = LogStore::open(folder.path()).unwrap_err();
        assert!(matches!(&fault, Fault::Damaged { what, .. } if what == "entry 5 of the log"), "{fault}");
        assert!(fault.to_string().contains(word), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_scratch_on_the_disk_is_never_read_as_something_else() {
    let mut world = World::founded().await;
    for n in 0..10 {
        world.propose(&format!("a word that is easy to find {n}")).await.unwrap();
    }
    world.kill(1).await;
    let disk: Disk = world.disks[&1].clone();
    let places = disk.find(b"a word that is easy to find 7");
    assert!(!places.is_empty());
    for place in places {
        disk.scratch(place + 3);
    }
    let fault = world.stores(1).err().expect("a damaged log");
    assert!(matches!(fault, Fault::Damaged { .. }), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_snapshot_is_never_used() {
    let mut world = World::founded().await;
    world.propose("a").await.unwrap();
    let made = world.running[&1].handle.snapshot().await.unwrap();
    world.kill(1).await;
    let whole = std::fs::read(&made.path).unwrap();
    for at in [0, whole.len() / 2, whole.len() - 1] {
        let mut content = whole.clone();
        content[at] ^= 1;
        std::fs::write(&made.path, content).unwrap();
        let (log, snapshots) = world.stores(1).unwrap();
        let fault = super::super::last(log, snapshots).unwrap_err();
        assert!(matches!(&fault, Fault::Damaged { what, .. } if what.contains("snapshot")), "{fault}");
    }
    std::fs::write(&made.path, &whole[..whole.len() - 9]).unwrap();
    let (log, snapshots) = world.stores(1).unwrap();
    assert!(super::super::last(log, snapshots).is_err());
    std::fs::remove_file(&made.path).unwrap();
    let (log, snapshots) = world.stores(1).unwrap();
    // The one from the founding is left: the log still begins behind it.
    assert!(super::super::last(log, snapshots).is_ok());
}
