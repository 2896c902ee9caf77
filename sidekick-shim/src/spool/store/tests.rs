use std::fs;

use tempfile::TempDir;

use super::connect::SMALL;
use super::*;

const BOUND: u64 = 16 * 1024 * 1024;

fn place(folder: &TempDir, durability: Durability, bytes: u64) -> Place {
    Place {
        path: (durability != Durability::Memory).then(|| folder.path().join("alerts.db")),
        durability,
        bytes,
    }
}

fn crash(folder: &TempDir) -> Place {
    place(folder, Durability::Crash, BOUND)
}

fn filled(store: &mut Store, level: usize, alerts: usize, data: &[u8]) {
    let written = store.write(|store| {
        for _ in 0..alerts {
            store.insert(level, 17, data)?;
        }
        Ok(())
    });
    written.unwrap();
}

fn seqs(store: &Store, level: usize, from: i64, backwards: bool) -> Vec<i64> {
    let (rows, _) = store
        .read(Want {
            level,
            from,
            backwards,
        })
        .unwrap();
    rows.iter().map(|row| row.seq).collect()
}

#[test]
fn what_is_written_is_there_the_next_time() {
    for durability in [Durability::Crash, Durability::PowerLoss] {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder, durability, BOUND);
        let mut store = Store::open(&place).unwrap();
        assert_eq!(store.write(|store| store.insert(3, 42, b"a")).unwrap(), 1);
        assert_eq!(store.write(|store| store.insert(3, 43, b"b")).unwrap(), 2);
        assert_eq!(store.write(|store| store.insert(0, 44, b"c")).unwrap(), 1);
        let counts = store.counts();
        drop(store);
        let store = Store::open(&place).unwrap();
        assert_eq!(store.counts(), counts);
        assert_eq!(
            (store.oldest(3).unwrap(), store.newest(3).unwrap()),
            (Some((1, 42)), Some(2))
        );
        let row = Row {
            seq: 1,
            received: 44,
            data: b"c".to_vec(),
        };
        let want = Want {
            level: 0,
            from: 0,
            backwards: false,
        };
        assert_eq!(store.read(want).unwrap(), (vec![row], 0..=i64::MAX));
    }
}

#[test]
fn all_of_a_transaction_is_there_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&crash(&folder)).unwrap();
    filled(&mut store, 5, 2, b"x");
    let before = store.counts();
    let failed: Stored<()> = store.write(|store| {
        store.insert(5, 1, b"y")?;
        store.remove(5, 1..=2)?;
        Err(StoreError::Failed("a test wants it".to_owned()))
    });
    assert!(failed.is_err());
    assert_eq!(store.counts(), before);
    assert_eq!(seqs(&store, 5, 0, false), [1, 2]);
    assert_eq!(store.write(|store| store.insert(5, 1, b"z")).unwrap(), 3);
}

#[test]
fn no_key_is_given_twice_even_if_all_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&crash(&folder)).unwrap();
    filled(&mut store, 5, 10, b"x");
    let gone = store.write(|store| {
        let gone = store.remove(5, 1..=10)?;
        store.save_counts()?;
        Ok(gone)
    });
    assert_eq!(gone.unwrap().alerts, 10);
    assert_eq!(store.counts(), <[Count; LEVELS]>::default());
    drop(store);
    let mut store = Store::open(&crash(&folder)).unwrap();
    assert_eq!(store.write(|store| store.insert(5, 1, b"y")).unwrap(), 11);
}

#[test]
fn it_is_read_from_either_end_some_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&crash(&folder)).unwrap();
    filled(&mut store, 2, 100, b"x");
    store.write(|store| store.remove(2, 11..=20)).unwrap();
    assert_eq!(seqs(&store, 2, 5, false), Vec::from_iter((5..=10).chain(21..=46)));
    assert_eq!(
        seqs(&store, 2, 30, true),
        Vec::from_iter((21..=30).rev().chain((1..=10).rev()))
    );
    let within = |from, backwards| {
        let want = Want {
            level: 2,
            from,
            backwards,
        };
        store.read(want).unwrap().1
    };
    assert_eq!(within(5, false), 5..=46);
    assert_eq!(within(90, false), 90..=i64::MAX);
    assert_eq!(within(30, true), i64::MIN..=30);
    filled(&mut store, 1, 3, &vec![b'x'; READ_BYTES]);
    assert_eq!(seqs(&store, 1, 0, false), [1], "a large one is read alone");
}

#[test]
fn the_oldest_go_first_and_no_more_than_needed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&crash(&folder)).unwrap();
    let data = vec![b'x'; 1000];
    filled(&mut store, 7, 10, &data);
    let row = on_disk(1000);
    let gone = store
        .write(|store| store.remove_oldest(7, 2 * row + 1))
        .unwrap()
        .unwrap();
    assert_eq!(
        gone,
        (
            3,
            Count {
                alerts: 3,
                bytes: 3 * row
            }
        )
    );
    let gone = store
        .write(|store| store.remove_oldest(7, u64::MAX))
        .unwrap()
        .unwrap();
    assert_eq!(gone.1.alerts, 7);
    assert_eq!(store.write(|store| store.remove_oldest(7, 1)).unwrap(), None);
}

#[test]
fn progress_is_what_was_saved_last() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&crash(&folder)).unwrap();
    let save = |store: &mut Store, progress: Vec<(&str, usize, RangeInclusive<i64>)>| {
        store
            .write(|store| store.save_progress(progress.into_iter()))
            .unwrap();
    };
    save(&mut store, vec![("a", 1, 1..=5), ("b", 1, 3..=9)]);
    save(&mut store, vec![("b", 2, 4..=4)]);
    assert_eq!(store.progress().unwrap(), [("b".to_owned(), 2, 4..=4)]);
}

#[test]
fn the_file_stays_within_its_bound_and_says_when_it_is_full() {
    for size in [40, 700, 1300, 3000, 5000, 100_000] {
        let folder = tempfile::tempdir().unwrap();
        let place = crash(&folder);
        let mut store = Store::open(&place).unwrap();
        let data = vec![b'x'; size];
        // As many as there is room for, by its own count.
        for together in [256_usize, 1] {
            while store.bytes() + together as u64 * on_disk(size) <= BOUND {
                filled(&mut store, 4, together, &data);
            }
        }
        let more = store.write(|store| {
            for _ in 0..BOUND / on_disk(size) {
                store.insert(4, 1, &data)?;
            }
            Ok(())
        });
        assert!(matches!(more, Err(StoreError::Full(_))), "{size}: {more:?}");
        drop(store);
        let file = fs::metadata(place.path.unwrap()).unwrap().len();
        let most = BOUND + BOUND / 100 + SMALL * PAGE;
        assert!(file <= most, "{size}: {file}");
        // Nor is much of it left unused.
        assert!(file >= BOUND / 4 * 3, "{size}: {file}");
    }
}

#[test]
fn what_is_gone_gives_its_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let place = crash(&folder);
    let mut store = Store::open(&place).unwrap();
    for _ in 0..100 {
        filled(&mut store, 4, 100, &[b'x'; 1000]);
    }
    store.write(|store| store.remove(4, 1..=10_000)).unwrap();
    while store.write(Store::give_back).unwrap() {}
    drop(store);
    let file = fs::metadata(place.path.unwrap()).unwrap().len();
    assert!(file <= (SPARE_PAGES + GIVE_BACK + SMALL) * PAGE, "{file}");
}

#[test]
fn the_journal_has_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&crash(&folder)).unwrap();
    for _ in 0..200 {
        filled(&mut store, 4, 50, &[b'x'; 1000]);
    }
    let journal = fs::metadata(folder.path().join("alerts.db-wal")).unwrap().len();
    assert!(journal <= 2 * JOURNAL, "{journal}");
}

#[test]
fn a_file_that_is_no_store_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let place = crash(&folder);
    let path = place.path.clone().unwrap();
    for bytes in [
        &b"not a database at all, but long enough to look like one........................................"[..],
        &[0; 8192],
    ] {
        fs::write(&path, bytes).unwrap();
        let opened = Store::open(&place);
        let told = matches!(opened, Err(StoreError::Corrupt(_)));
        assert!(told || bytes[0] == 0, "{:?}", opened.err());
    }
}

#[test]
fn a_page_that_is_overwritten_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let place = crash(&folder);
    let mut store = Store::open(&place).unwrap();
    filled(&mut store, 4, 2000, &[b'x'; 1000]);
    drop(store);
    let path = place.path.clone().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    bytes[4096 * (pages / 2)..4096 * (pages - 1)].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let told = (|| {
        let mut store = Store::open(&place)?;
        let mut from = 0;
        while let Some(last) = store
            .read(Want {
                level: 4,
                from,
                backwards: false,
            })?
            .0
            .last()
        {
            from = last.seq + 1;
        }
        store.write(|store| store.remove(4, i64::MIN..=i64::MAX))
    })();
    assert!(matches!(told, Err(StoreError::Corrupt(_))), "{told:?}");
}

#[test]
fn a_torn_journal_costs_its_end_alone() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut store = Store::open(&crash(&folder)).unwrap();
    for number in 1..=20 {
        store.write(|store| store.insert(4, number, b"x")).unwrap();
    }
    // As it is when the process is killed: the file of another is a copy.
    let copy = crash(&other).path.unwrap();
    fs::copy(folder.path().join("alerts.db"), &copy).unwrap();
    let journal = fs::read(folder.path().join("alerts.db-wal")).unwrap();
    let mut before = usize::MAX;
    for torn in [
        journal.len(),
        journal.len() - 1,
        journal.len() - 5000,
        journal.len() / 2,
        31,
        0,
    ] {
        fs::copy(folder.path().join("alerts.db"), &copy).unwrap();
        fs::write(other.path().join("alerts.db-wal"), &journal[..torn]).unwrap();
        let kept = seqs(&Store::open(&crash(&other)).unwrap(), 4, 0, false);
        assert_eq!(kept, Vec::from_iter(1..=kept.len() as i64), "a beginning: {torn}");
        assert!(kept.len() <= before, "{torn}");
        before = kept.len();
    }
    assert_eq!(before, 0);
}

#[test]
fn one_of_a_later_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&crash(&folder)).unwrap();
    store
        .connection
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    drop(store);
    let error = Store::open(&crash(&folder)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "it is of version 99, and this program knows version 1"
    );
}

#[test]
fn memory_works_alike() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&place(&folder, Durability::Memory, BOUND)).unwrap();
    filled(&mut store, 4, 100, b"x");
    store.write(|store| store.remove(4, 1..=50)).unwrap();
    assert_eq!(seqs(&store, 4, 0, false)[0], 51);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
