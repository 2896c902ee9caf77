use std::fs;
use std::ops::RangeInclusive;
use std::sync::Mutex;

use tempfile::TempDir;

use super::disk::{InFolder, InMemory};
use super::power::alerts;
use super::reader::READ_BYTES;
use super::reader::Row;
use super::*;

/// Segments of 16 KiB.
const BOUND: u64 = 1024 * 1024;

fn store(folder: &TempDir) -> Store {
    let disk = Arc::new(InFolder(folder.path().to_owned()));
    let (store, broken) = Store::open(disk, BOUND).unwrap();
    assert!(broken.is_empty(), "{broken:?}");
    store
}

fn filled(store: &mut Store, level: usize, alerts: usize, data: &[u8]) {
    for _ in 0..alerts {
        store.add(level, 17, data).unwrap();
    }
}

fn read(store: &Store, level: usize, from: i64, backwards: bool) -> (Vec<i64>, RangeInclusive<i64>) {
    let want = Want {
        level,
        from,
        backwards,
    };
    let (read, within) = store.reader().read(want, || store.part(want)).unwrap();
    assert!(read.broken.is_empty());
    (read.rows.iter().map(|row| row.seq).collect(), within)
}

fn remove(store: &mut Store, level: usize, seqs: RangeInclusive<i64>) {
    store.remove(level, &Ranges::from_iter([seqs])).unwrap();
    store.sweep(true).unwrap();
}

/// The names of the files, without those that are empty.
fn files(folder: &TempDir) -> Vec<String> {
    let files = InFolder(folder.path().to_owned()).list().unwrap();
    let mut names: Vec<_> = files
        .into_iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names
}

fn bytes(folder: &TempDir) -> u64 {
    let files = InFolder(folder.path().to_owned()).list().unwrap();
    files.iter().map(|(_, bytes)| bytes).sum()
}

#[test]
fn what_is_written_is_there_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    assert_eq!(store.add(3, 42, b"a").unwrap(), 1);
    assert_eq!(store.add(3, 43, b"b").unwrap(), 2);
    assert_eq!(store.add(0, 44, b"c").unwrap(), 1);
    let counts = store.counts();
    assert_eq!(
        counts[3],
        Count {
            alerts: 2,
            bytes: 2 * on_disk(1),
            zeros: 0,
        }
    );
    drop(store);
    let store = self::store(&folder);
    assert_eq!(store.counts(), counts);
    let want = Want {
        level: 3,
        from: 0,
        backwards: false,
    };
    let (read, within) = store.reader().read(want, || store.part(want)).unwrap();
    let row = |seq, received, data: &[u8]| Row {
        seq,
        received,
        data: data.to_vec().into(),
    };
    assert_eq!(
        (read.rows, within),
        (vec![row(1, 42, b"a"), row(2, 43, b"b")], 0..=2)
    );
    assert_eq!(
        store.reader().oldest(0, |want| store.part(want)).unwrap(),
        Some(44)
    );
    assert_eq!(store.reader().oldest(1, |want| store.part(want)).unwrap(), None);
}

#[test]
fn no_number_is_given_twice_even_if_all_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    for (adds, next) in [(10, 11), (0, 12), (300, 313)] {
        let mut store = self::store(&folder);
        filled(&mut store, 5, adds, &[b'x'; 500]);
        remove(&mut store, 5, 1..=i64::MAX);
        assert_eq!(store.counts(), <[Count; LEVELS]>::default());
        assert_eq!(bytes(&folder), 0, "{:?}", files(&folder));
        drop(store);
        let mut store = self::store(&folder);
        assert_eq!(store.add(5, 1, b"y").unwrap(), next);
    }
}

#[test]
fn it_is_read_from_either_end_some_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 2, 100, b"x");
    remove(&mut store, 2, 11..=20);
    assert_eq!(
        read(&store, 2, 5, false),
        (Vec::from_iter((5..=10).chain(21..=46)), 5..=46)
    );
    assert_eq!(
        read(&store, 2, 30, true),
        (Vec::from_iter((21..=30).rev().chain((1..=10).rev())), 1..=30)
    );
    assert_eq!(read(&store, 2, 90, false), (Vec::from_iter(90..=100), 90..=100));
    assert_eq!(read(&store, 2, 101, false), (vec![], 101..=101));
    assert_eq!(read(&store, 2, 50, false).1, 50..=81);
    assert_eq!(read(&store, 2, 0, true), (vec![], i64::MIN..=0));
    let large = vec![b'x'; usize::try_from(READ_BYTES).unwrap()];
    filled(&mut store, 1, 3, &large);
    assert_eq!(
        read(&store, 1, 0, false),
        (vec![1], 0..=1),
        "a large one is read alone"
    );
}

#[test]
fn a_reader_sees_what_is_added_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    let mut reader = store.reader();
    let mut from = 1;
    for _ in 0..200 {
        filled(&mut store, 2, 3, &[b'x'; 300]);
        let want = Want {
            level: 2,
            from,
            backwards: false,
        };
        let (read, within) = reader.read(want, || store.part(want)).unwrap();
        let seqs: Vec<_> = read.rows.iter().map(|row| row.seq).collect();
        assert_eq!(seqs, Vec::from_iter(within.clone()));
        from = within.end() + 1;
        // Of those before it nothing is there any more.
        remove(&mut store, 2, 1..=*within.start());
    }
}

#[test]
fn the_oldest_segment_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 7, 100, &[b'x'; 1000]);
    let (last, gone) = store.evict(7).unwrap().unwrap();
    assert_eq!(
        (last, gone),
        (
            16,
            Count {
                alerts: 16,
                bytes: 16 * on_disk(1000),
                zeros: 0,
            }
        )
    );
    while store.evict(7).unwrap().is_some() {}
    assert_eq!(store.counts()[7], Count::default());
    assert_eq!(store.add(7, 1, b"y").unwrap(), 101);
}

#[test]
fn what_is_gone_is_gone_the_next_time_and_gives_its_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 4, 1000, &[b'x'; 500]);
    // Every tenth stays.
    for first in (1..1000).step_by(10) {
        remove(&mut store, 4, first..=first + 8);
    }
    let left = Vec::from_iter((1..=100).map(|n| (4, 10 * n)));
    let keys = |store: &Store| Vec::from_iter(alerts(store).into_keys());
    assert_eq!(keys(&store), left);
    assert_eq!(store.bytes(), bytes(&folder));
    let mut reader = store.reader();
    while let Some(part) = store.wasteful(true) {
        let written = reader.rewrite(&part).unwrap();
        store.put_in_place(&part, written).unwrap();
    }
    assert_eq!(keys(&store), left);
    assert_eq!(store.bytes(), bytes(&folder));
    assert!(
        store.bytes() < 100 * on_disk(500) + 4 * 16 * 1024,
        "{}",
        store.bytes()
    );
    let count = store.counts()[4].alerts;
    drop(store);
    let mut store = self::store(&folder);
    assert_eq!((keys(&store), store.counts()[4].alerts), (left, count));
    // Once more some, after a start.
    remove(&mut store, 4, 1..=500);
    drop(store);
    assert_eq!(alerts(&self::store(&folder)).len(), 50);
}

#[test]
fn what_is_removed_while_it_is_written_anew_stays_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 4, 100, &[b'x'; 500]);
    remove(&mut store, 4, 2..=25);
    let part = store.wasteful(true).unwrap();
    let written = store.reader().rewrite(&part).unwrap();
    store.evict(4).unwrap();
    store.put_in_place(&part, written).unwrap();
    assert_eq!(store.bytes(), bytes(&folder));
    assert_eq!(store.live(4).first(), Some(32));
}

#[test]
fn little_that_is_gone_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 4, 1000, &[b'x'; 500]);
    remove(&mut store, 4, 1..=310);
    remove(&mut store, 4, 400..=401);
    assert!(store.wasteful(false).is_none() && store.wasteful(true).is_none());
}

#[test]
fn progress_is_what_was_saved_last() {
    let folder = tempfile::tempdir().unwrap();
    let mut progress = store(&folder).progress();
    assert_eq!(progress.read().unwrap(), []);
    progress
        .save([("a", 1, 1..=5), ("b", 1, 3..=9)].into_iter())
        .unwrap();
    progress.save([("b", 2, 4..=4)].into_iter()).unwrap();
    let done = Ranges::from_iter([4..=4]);
    let mut again = store(&folder).progress();
    assert_eq!(again.read().unwrap(), [("b".to_owned(), 2, done)]);
}

#[test]
fn a_torn_end_costs_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    for n in 0..20 {
        store.add(4, n, format!("alert {n}").as_bytes()).unwrap();
    }
    drop(store);
    let path = folder.path().join(&files(&folder)[0]);
    let whole = fs::read(&path).unwrap();
    let lengths = [None, Some(whole.len() + 50)];
    for (torn, zeros) in (1..whole.len())
        .rev()
        .flat_map(|torn| lengths.map(|zeros| (torn, zeros)))
    {
        let other = tempfile::tempdir().unwrap();
        let mut left = whole[..torn].to_vec();
        left.resize(zeros.unwrap_or(torn), 0);
        fs::write(other.path().join(path.file_name().unwrap()), left).unwrap();
        let disk = Arc::new(InFolder(other.path().to_owned()));
        let (mut store, _) = Store::open(disk, BOUND).unwrap();
        let kept = alerts(&store);
        let ends = (0..20).scan(0, |end, n| {
            *end += usize::try_from(on_disk(format!("alert {n}").len())).unwrap();
            Some(*end)
        });
        assert_eq!(kept.len(), ends.filter(|end| *end <= torn).count(), "{torn}");
        let next = i64::try_from(kept.len()).unwrap() + 1;
        assert_eq!(store.add(4, 1, b"next").unwrap(), next);
        drop(store);
        assert_eq!(alerts(&self::store(&other)).len(), kept.len() + 1, "{torn}");
    }
}

#[test]
fn what_is_written_ahead_has_its_room_and_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    let most = BOUND / 2;
    store.write_ahead(most);
    let (mut added, mut ahead) = (0_usize, 0);
    while store.bytes() < most + 64 * 1024 {
        let before = store.bytes();
        filled(&mut store, added % 3, 1, &[b'x'; 500]);
        if store.zeros() > 0 {
            store.lengthen();
        }
        assert!(store.take_unsynced().sync().is_ok());
        added += 1;
        assert_eq!(store.bytes(), bytes(&folder));
        let grown = store.bytes() - before;
        assert!(
            grown <= 16 * 1024 && (before <= most || grown <= on_disk(500)),
            "{grown}"
        );
        ahead += usize::from(grown == 0);
    }
    assert!(ahead > added / 2, "most take the place of zeros: {ahead}");
    assert_eq!(alerts(&store).len(), added);
    assert_eq!(
        store.bytes(),
        (0..3).map(|level| store.counts()[level].on_disk()).sum::<u64>()
    );
    drop(store);
    let mut store = self::store(&folder);
    assert_eq!(store.bytes(), bytes(&folder));
    filled(&mut store, 1, 1, b"y");
    assert_eq!(alerts(&store).len(), added + 1);
    (0..3).for_each(|level| remove(&mut store, level, 1..=i64::MAX));
    assert_eq!((store.bytes(), bytes(&folder)), (0, 0));
}

#[test]
fn what_is_written_ahead_is_given_back() {
    for by_a_start in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut store = self::store(&folder);
        store.write_ahead(BOUND);
        filled(&mut store, 4, 4, &[b'x'; 500]);
        store.lengthen();
        assert_eq!(bytes(&folder), 16 * on_disk(500));
        assert_eq!(store.counts()[4].mean(), on_disk(500), "none of it is an alert's");
        if by_a_start {
            drop(store);
            store = self::store(&folder);
        } else {
            store.trim();
        }
        assert_eq!(
            (store.bytes(), bytes(&folder)),
            (4 * on_disk(500), 4 * on_disk(500))
        );
        filled(&mut store, 4, 1, &[b'x'; 500]);
        assert_eq!(alerts(&store).len(), 5);
    }
}

#[test]
fn what_is_overwritten_is_told_and_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 4, 100, &[b'x'; 1000]);
    drop(store);
    let path = folder.path().join(&files(&folder)[1]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[3000..8000].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let store = self::store(&folder);
    let (mut there, mut broken, mut from) = (0, 0, 1);
    let mut reader = store.reader();
    while from <= 100 {
        let want = Want {
            level: 4,
            from,
            backwards: false,
        };
        let (read, within) = reader.read(want, || store.part(want)).unwrap();
        there += read.rows.len() as u64;
        broken += read.broken.len();
        from = within.end().saturating_add(1);
    }
    assert_eq!(there + broken, 100);
    assert_eq!(broken, 6, "those of which something was overwritten");
}

/// What can be read of level 4, and what cannot.
fn readable(store: &Store) -> (Vec<i64>, Vec<i64>) {
    let (mut there, mut broken) = (Vec::new(), Vec::new());
    let mut reader = store.reader();
    for seq in store.live(4).iter().flatten() {
        let read = reader.get(4, seq, |want| store.part(want)).unwrap();
        there.extend(read.rows.into_iter().map(|row| row.seq));
        broken.extend(read.broken.iter().flatten());
    }
    (there, broken)
}

#[test]
fn whatever_bit_of_a_head_changed_the_alert_is_lost_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 4, 20, &[b'x'; 1000]);
    drop(store);
    // Of the first file, which is not read at the start, and of the last one; in the middle and at its end.
    for (file, alert, seq) in [(0, 3, 4), (0, 14, 15), (1, 1, 18), (1, 3, 20)] {
        let path = folder.path().join(&files(&folder)[file]);
        let whole = fs::read(&path).unwrap();
        for bit in 0..8 * 24 {
            let mut bytes = whole.clone();
            bytes[alert * 1024 + bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).unwrap();
            let (there, broken) = readable(&self::store(&folder));
            assert!(
                there.iter().copied().eq((1..=20).filter(|n| *n != seq)),
                "{seq} {bit}: {there:?}"
            );
            // That a last one is longer than what there is of it, or has no number, is like one that was not written whole.
            let like_torn = seq == 20 && broken.is_empty() && !(32..64).contains(&bit);
            assert!(like_torn || broken == [seq], "{seq} {bit}: {broken:?}");
        }
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_file_in_which_nothing_can_be_read_is_set_aside() {
    for garbage in [
        &b"not what this program wrote, but something else"[..],
        &[0; 8192],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut store = self::store(&folder);
        filled(&mut store, 4, 40, &[b'x'; 1000]);
        drop(store);
        let last = files(&folder).pop().unwrap();
        fs::write(folder.path().join(&last), garbage).unwrap();
        let disk = Arc::new(InFolder(folder.path().to_owned()));
        let (mut store, broken) = Store::open(disk, BOUND).unwrap();
        assert_eq!(broken.len(), 1);
        assert_eq!(fs::read(folder.path().join(&broken[0])).unwrap(), garbage);
        assert_eq!(alerts(&store).len(), 32);
        assert_eq!(store.add(4, 1, b"x").unwrap(), 33);
        drop(store);
        assert_eq!(alerts(&self::store(&folder)).len(), 33);
    }
}

#[test]
fn one_of_a_later_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let name = "3-0000000000000001.alerts2";
    fs::write(folder.path().join(name), "x").unwrap();
    let disk = Arc::new(InFolder(folder.path().to_owned()));
    let error = Store::open(disk, BOUND).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("`{name}` is of another program's format")
    );
    assert_eq!(files(&folder), [name]);
}

#[test]
fn memory_works_alike() {
    let mut store = Store::open(Arc::new(InMemory::default()), BOUND).unwrap().0;
    filled(&mut store, 4, 100, &[b'x'; 1000]);
    remove(&mut store, 4, 1..=50);
    assert_eq!(read(&store, 4, 0, false).0[0], 51);
    remove(&mut store, 4, 51..=100);
    assert_eq!(store.bytes(), 0);
}

#[test]
fn it_can_be_seen_whether_it_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = self::store(&folder);
    store.try_to_write().unwrap();
    assert!(store.has_room());
    assert!(files(&folder).is_empty());
    fs::remove_dir(folder.path()).unwrap();
    store.try_to_write().unwrap_err();
}

#[test]
fn what_is_delivered_from_the_middle_is_not_missed_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 4, 100, &[b'x'; 1000]);
    // A whole segment and more, as when the newest go first.
    remove(&mut store, 4, 10..=90);
    let left = Vec::from_iter((1..10).chain(91..=100).map(|seq| (4, seq)));
    for _ in 0..2 {
        assert_eq!(Vec::from_iter(alerts(&store).into_keys()), left);
        assert_eq!(store.counts()[4].alerts, 19);
        drop(store);
        store = self::store(&folder);
    }
    assert_eq!(files(&folder).len(), 5, "{:?}", files(&folder));
}

#[test]
fn what_another_file_of_the_name_said_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 4, 10, b"x");
    remove(&mut store, 4, 1..=5);
    drop(store);
    let alerts = files(&folder)[0].clone();
    fs::write(folder.path().join(alerts), "").unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 4, 10, b"y");
    drop(store);
    assert_eq!(self::store(&folder).counts()[4].alerts, 10);
}

#[test]
fn what_could_not_be_removed_is_still_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 4, 40, &[b'x'; 1000]);
    // A folder in the place of the file cannot be removed as one.
    let path = folder.path().join(&files(&folder)[0]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let before = store.counts();
    store.evict(4).unwrap_err();
    assert_eq!(store.counts(), before);
}

#[test]
fn in_memory_what_goes_gives_its_room_back() {
    let disk = Arc::new(InMemory::default());
    let mut store = Store::open(Arc::clone(&disk) as _, BOUND).unwrap().0;
    for n in 0..10_000 {
        let seq = store.add(4, n, &[b'x'; 1000]).unwrap();
        drop(store.take_unsynced());
        remove(&mut store, 4, seq..=seq);
    }
    assert!(store.unsynced.is_empty());
    assert_eq!(
        disk.list().unwrap().iter().map(|(_, bytes)| bytes).sum::<u64>(),
        0
    );
}

#[test]
fn what_cannot_be_removed_holds_nothing_else_up_and_goes_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = self::store(&folder);
    filled(&mut store, 4, 100, &[b'x'; 1000]);
    filled(&mut store, 6, 100, &[b'x'; 1000]);
    let middle = folder.path().join(&files(&folder)[2]);
    let aside = folder.path().join("aside");
    fs::rename(&middle, &aside).unwrap();
    fs::create_dir(&middle).unwrap();
    let finished = Ranges::from_iter([10..=90]);
    store.remove(4, &finished).unwrap();
    store.remove(6, &finished).unwrap();
    for _ in 0..3 {
        store.sweep(true).unwrap_err();
        assert_eq!((store.counts()[4].alerts, store.counts()[6].alerts), (19, 19));
    }
    fs::remove_dir(&middle).unwrap();
    store.sweep(true).unwrap();
    fs::remove_file(aside).unwrap();
    let left = Vec::from_iter((1..10).chain(91..=100));
    for store in [&store, &self::store(&folder)] {
        assert_eq!(store.live(4).iter().flatten().collect::<Vec<_>>(), left);
        assert_eq!(store.counts()[4].alerts, 19);
        assert_eq!(store.counts()[6].alerts, 19);
    }
}

#[test]
fn a_file_that_cannot_be_synced_keeps_no_other_from_it() {
    #[derive(Debug)]
    struct Counts(Mutex<u32>, bool);
    impl DiskFile for Counts {
        fn write(&self, _: &[u8], _: u64) -> io::Result<()> {
            Ok(())
        }
        fn read(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Ok(())
        }
        fn truncate(&self, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn sync(&self) -> io::Result<()> {
            *self.0.lock().unwrap() += 1;
            if self.1 {
                Ok(())
            } else {
                Err(io::Error::other("broken"))
            }
        }
        fn has_name(&self) -> bool {
            true
        }
    }
    let files = [false, true].map(|works| Arc::new(Counts(Mutex::default(), works)));
    let unsynced = Unsynced {
        files: files
            .iter()
            .map(|file| Arc::clone(file) as Arc<dyn DiskFile>)
            .collect(),
        names: None,
    };
    assert_eq!(unsynced.sync().unwrap_err().to_string(), "broken");
    assert_eq!(files.map(|file| *file.0.lock().unwrap()), [1, 1]);
}
