//! The power goes at any moment, and what was not synced is lost in part: the store opens, what was promised is there, and
//! nothing is there that was never added.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::faulty::Faulty;
use super::*;

/// Segments of 2 KiB.
const BOUND: u64 = PARTS * 2048;

/// What is done with a store.
#[derive(Clone, Debug)]
enum Step {
    Add {
        level: usize,
        sizes: Vec<usize>,
    },
    /// Some of a level are gone, and what takes too much room is removed or written anew.
    Remove {
        level: usize,
        from: i64,
        alerts: i64,
    },
    /// A level's oldest make room.
    Evict {
        level: usize,
    },
    /// What was written is synced in the background.
    Sync,
}

/// Level and number of each alert, with its bytes.
type Alerts = BTreeMap<(usize, i64), Vec<u8>>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![8 => 1..600_usize, 1 => 3_000..20_000_usize];
    let level = || prop_oneof![Just(3), 0..LEVELS];
    let step = prop_oneof![
        6 => (level(), prop::collection::vec(size, 1..20)).prop_map(|(level, sizes)| Step::Add { level, sizes }),
        4 => (level(), 1..60_i64, 1..60_i64).prop_map(|(level, from, alerts)| Step::Remove { level, from, alerts }),
        1 => level().prop_map(|level| Step::Evict { level }),
        1 => Just(Step::Sync),
    ];
    prop::collection::vec(step, 1..40)
}

pub(super) fn alerts(store: &Store) -> Alerts {
    let mut all = Alerts::new();
    let mut reader = store.reader();
    for level in 0..LEVELS {
        let mut from = i64::MIN;
        loop {
            let want = Want {
                level,
                from,
                backwards: false,
            };
            let (read, within) = reader.read(want, || store.part(want)).unwrap();
            assert!(read.broken.is_empty(), "{read:?}");
            all.extend(
                read.rows
                    .into_iter()
                    .map(|row| ((level, row.seq), row.data.to_vec())),
            );
            if store.part(want).is_err() {
                break;
            }
            from = within.end() + 1;
        }
    }
    all
}

/// What was done, and what of it has to stay.
#[derive(Default)]
struct Model {
    added: Alerts,
    /// Of these, what nobody removed.
    there: Alerts,
    /// Of these, what is synced.
    safe: Alerts,
}

impl Model {
    fn synced(&mut self) {
        self.safe = self.there.clone();
    }

    fn remove(&mut self, gone: impl Fn(usize, i64) -> bool) {
        self.there.retain(|(level, seq), _| !gone(*level, *seq));
        self.safe.retain(|(level, seq), _| !gone(*level, *seq));
    }
}

/// Adds alerts together, a fifth of them to another level.
fn add(store: &mut Store, level: usize, sizes: &[usize], model: &mut Model) -> io::Result<()> {
    let data = |size: &usize| vec![u8::try_from(size % 251).unwrap(); *size];
    let level = |size: &usize| {
        if size.is_multiple_of(5) {
            (level + 1) % LEVELS
        } else {
            level
        }
    };
    let alerts: Vec<_> = sizes.iter().map(|size| (level(size), data(size))).collect();
    let (added, result) = store.add_all(7, alerts.iter().map(|(level, data)| (*level, &**data)));
    for (key, (_, data)) in added.iter().zip(&alerts) {
        model.there.extend(key.map(|key| (key, data.clone())));
    }
    if result.is_ok() {
        assert_eq!(added.iter().flatten().count(), sizes.len());
    }
    result
}

fn carry_out(store: &mut Store, step: &Step, model: &mut Model) -> io::Result<()> {
    match *step {
        Step::Add { level, ref sizes } => {
            let before = model.there.clone();
            let result = add(store, level, sizes, model);
            model.added.append(&mut model.there.clone());
            if result.is_err() {
                model.there = before;
            }
            result
        }
        Step::Remove { level, from, alerts } => {
            let first = store.live(level).first().unwrap_or_default() + from - 1;
            let range = first..=first + alerts - 1;
            model.remove(|of, seq| of == level && range.contains(&seq));
            store.remove(level, &Ranges::from_iter([range]))?;
            store.sweep(alerts % 2 == 0)?;
            if let Some(part) = store.wasteful(true) {
                let bytes = store.reader().rewrite(&part)?;
                store.put_in_place(&part, bytes)?;
            }
            Ok(())
        }
        Step::Evict { level } => {
            let oldest = store.live(level);
            let evicted = store.evict(level);
            // Whether it was removed before the power went is not known.
            let last = evicted
                .as_ref()
                .map_or(oldest.last(), |evicted| evicted.map(|(last, _)| last));
            if let Some(last) = last {
                model.remove(|of, seq| of == level && seq <= last);
            }
            evicted.map(drop)
        }
        Step::Sync => Ok(()),
    }
}

/// Does the steps until the power goes.
fn until_cut(disk: &Faulty, syncs: bool, steps: &[Step], model: &mut Model) -> io::Result<()> {
    let mut store = Store::open(Arc::new(disk.clone()), BOUND)?.0;
    if syncs {
        store.write_ahead(BOUND / 2);
    }
    for step in steps {
        carry_out(&mut store, step, model)?;
        if store.zeros() > 0 {
            store.lengthen();
        }
        if syncs || matches!(step, Step::Sync) {
            store.take_unsynced().sync()?;
            model.synced();
        }
        if !disk.is_cut() {
            assert_eq!(alerts(&store), model.there);
        }
    }
    Ok(())
}

fn power_goes(syncs: bool, steps: &[Step], at: prop::sample::Index, seed: u64) {
    let whole = Faulty::default();
    until_cut(&whole, syncs, steps, &mut Model::default()).unwrap();
    let disk = Faulty::until(at.index(whole.steps() + 1));
    let mut model = Model::default();
    let _ = until_cut(&disk, syncs, steps, &mut model);
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = disk.after_cut(|| random.bool());
    // What is broken is set aside only where nothing was promised.
    let (mut store, _) = Store::open(Arc::new(disk), BOUND).unwrap();
    let found = readable(&store);
    for (key, data) in &model.safe {
        assert!(found.get(key) == Some(data), "{key:?} was promised");
    }
    for (key, data) in &found {
        assert!(model.added.get(key) == Some(data), "{key:?} was never added");
    }
    // It goes on, with numbers that nothing has.
    for level in 0..LEVELS {
        let seq = store.add(level, 7, b"x").unwrap();
        let last = store.live(level).last();
        assert!(Some(seq) == last && !found.contains_key(&(level, seq)));
    }
}

/// What can be read of a store that lost some: what was never promised may be broken.
fn readable(store: &Store) -> Alerts {
    let mut reader = store.reader();
    let mut all = Alerts::new();
    for level in 0..LEVELS {
        for seq in store.live(level).iter().flatten() {
            let read = reader.get(level, seq, |want| store.part(want)).unwrap();
            all.extend(
                read.rows
                    .into_iter()
                    .map(|row| ((level, row.seq), row.data.to_vec())),
            );
        }
    }
    all
}

/// The same cases each time; others, and as many as one likes, with `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 100;
        config.rng_seed = RngSeed::Fixed(8);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_was_synced_before_the_answer_survives_the_power(
        steps in steps(),
        at in any::<prop::sample::Index>(),
        seed in any::<u64>(),
    ) {
        power_goes(true, &steps, at, seed);
    }

    #[test]
    fn what_was_synced_in_the_background_survives_the_power(
        steps in steps(),
        at in any::<prop::sample::Index>(),
        seed in any::<u64>(),
    ) {
        power_goes(false, &steps, at, seed);
    }
}

#[test]
fn a_full_disk_takes_nothing_and_loses_nothing() {
    let disk = Faulty::default();
    let mut store = Store::open(Arc::new(disk.clone()), BOUND).unwrap().0;
    let mut model = Model::default();
    add(&mut store, 1, &[100; 50], &mut model).unwrap();
    disk.leave_room(Some(64 * 1024));
    let refused = store.add(1, 8, &vec![b'x'; 100 * 1024]).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert_eq!(alerts(&store), model.there);
    // Of many together some have room: who adds them is told which, and takes them back.
    let (before, many) = (model.there.clone(), [1000; 100]);
    let refused = add(&mut store, 1, &many, &mut model).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert_eq!(alerts(&store), model.there);
    assert!((1..many.len()).contains(&(model.there.len() - before.len())));
    let taken_back = model.there.keys().filter(|key| !before.contains_key(key));
    for (level, seq) in taken_back {
        store.remove(*level, &Ranges::from_iter([*seq..=*seq])).unwrap();
    }
    store.sweep(true).unwrap();
    model.there = before;
    assert_eq!(alerts(&store), model.there);
    add(&mut store, 1, &[11], &mut model).unwrap();
    // To the last byte, and still something can go.
    disk.leave_room(Some(0));
    store.add(1, 8, b"x").unwrap_err();
    store.evict(1).unwrap().unwrap();
    disk.leave_room(None);
    store.add(1, 8, b"x").unwrap();
    let again = Store::open(Arc::new(disk), BOUND).unwrap().0;
    assert_eq!(alerts(&again), alerts(&store));
}
