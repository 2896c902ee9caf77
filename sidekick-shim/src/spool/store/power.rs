//! The power goes at any moment, and what was not synced is lost in part: the store opens, and what was promised is there.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::disk::Disk;
use super::*;

const BOUND: u64 = 16 * 1024 * 1024;

/// What is done with a store.
#[derive(Clone, Debug)]
enum Step {
    /// Alerts of one level, together.
    Add { level: usize, sizes: Vec<usize> },
    /// The oldest of a level, and what tidying up does beside.
    Remove { level: usize, alerts: i64 },
    /// What was written is synced in the background.
    Sync,
}

/// Level and key of each alert, with its bytes.
type Alerts = BTreeMap<(usize, i64), Vec<u8>>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![8 => 1..600_usize, 1 => 3_000..20_000_usize];
    let step = prop_oneof![
        6 => (0..LEVELS, prop::collection::vec(size, 1..40)).prop_map(|(level, sizes)| Step::Add { level, sizes }),
        3 => (0..LEVELS, 1..100_i64).prop_map(|(level, alerts)| Step::Remove { level, alerts }),
        1 => Just(Step::Sync),
    ];
    prop::collection::vec(step, 1..40)
}

fn alerts(store: &Store) -> Alerts {
    let mut all = Alerts::new();
    for level in 0..LEVELS {
        let mut from = i64::MIN;
        loop {
            let (rows, within) = store
                .read(Want {
                    level,
                    from,
                    backwards: false,
                })
                .unwrap();
            all.extend(rows.into_iter().map(|row| ((level, row.seq), row.data)));
            match within.end().checked_add(1) {
                Some(next) => from = next,
                None => break,
            }
        }
    }
    all
}

/// Does a step; what there is after it.
fn carry_out(store: &mut Store, step: &Step, before: &Alerts) -> Alerts {
    let mut after = before.clone();
    match step {
        Step::Add { level, sizes } => {
            let added = store.write(|store| {
                let data = sizes
                    .iter()
                    .map(|&size| vec![u8::try_from(size % 251).unwrap(); size]);
                data.map(|data| Ok(((*level, store.insert(*level, 7, &data)?), data)))
                    .collect::<Stored<Vec<_>>>()
            });
            after.extend(added.unwrap());
        }
        Step::Remove { level, alerts } => {
            let last = store
                .oldest(*level)
                .unwrap()
                .map_or(0, |(first, _)| first + alerts);
            let removed = store.write(|store| {
                store.remove(*level, i64::MIN..=last)?;
                store.save_counts()?;
                store.give_back()
            });
            removed.unwrap();
            after.retain(|(of, seq), _| of != level || *seq > last);
        }
        Step::Sync => {}
    }
    after
}

/// Does the steps on a disk whose power goes at some moment. What there may be after that: from the last state that was
/// promised to the one that was about to come.
fn until_cut(disk: &Disk, durability: Durability, steps: &[Step]) -> Vec<Alerts> {
    let mut possible = vec![Alerts::new()];
    let mut store = disk.open(durability, BOUND).unwrap();
    for step in steps {
        if disk.is_cut() {
            break;
        }
        let last = possible.last().unwrap();
        possible.push(carry_out(&mut store, step, last));
        if matches!(step, Step::Sync) {
            disk.sync_journal();
        }
        let is_promised = durability == Durability::PowerLoss || matches!(step, Step::Sync);
        if is_promised && !disk.is_cut() {
            possible.drain(..possible.len() - 1);
        }
    }
    possible
}

fn power_goes(durability: Durability, steps: &[Step], at: prop::sample::Index, seed: u64) {
    let whole = Disk::new(None);
    until_cut(&whole, durability, steps);
    let disk = Disk::new(Some(at.index(whole.steps())));
    let possible = until_cut(&disk, durability, steps);
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = disk.after_cut(|| random.bool());
    let mut store = disk.open(durability, BOUND).unwrap();
    let found = alerts(&store);
    assert!(possible.contains(&found), "{} alerts", found.len());
    let counts = store.counts();
    for (level, count) in counts.iter().enumerate() {
        let of = found.iter().filter(|((of, _), _)| *of == level);
        let (alerts, bytes) = of.fold((0, 0), |(n, sum), (_, data)| (n + 1, sum + on_disk(data.len())));
        assert_eq!(*count, Count { alerts, bytes });
    }
    // It goes on, and takes no key again.
    let after = carry_out(
        &mut store,
        &Step::Add {
            level: 3,
            sizes: vec![9],
        },
        &found,
    );
    assert_eq!(after.len(), found.len() + 1);
    assert_eq!(alerts(&store), after);
}

/// The same cases each time; others, and as many as one likes, with `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 40;
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
        power_goes(Durability::PowerLoss, &steps, at, seed);
    }

    #[test]
    fn what_was_synced_in_the_background_survives_the_power_and_the_rest_goes_from_its_end(
        steps in steps(),
        at in any::<prop::sample::Index>(),
        seed in any::<u64>(),
    ) {
        power_goes(Durability::Crash, &steps, at, seed);
    }
}

#[test]
fn a_full_disk_takes_nothing_and_loses_nothing() {
    let disk = Disk::new(None);
    let mut store = disk.open(Durability::Crash, BOUND).unwrap();
    let before = carry_out(
        &mut store,
        &Step::Add {
            level: 1,
            sizes: vec![100; 50],
        },
        &Alerts::new(),
    );
    disk.leave_room(Some(64 * 1024));
    let large = vec![b'x'; 100 * 1024];
    let refused = store.write(|store| store.insert(1, 8, &large)).unwrap_err();
    assert!(matches!(refused, StoreError::Full(_)), "{refused}");
    assert_eq!(alerts(&store), before);
    let small = Step::Add {
        level: 1,
        sizes: vec![10],
    };
    let after = carry_out(&mut store, &small, &before);
    disk.leave_room(None);
    store.write(|store| store.insert(1, 8, &large)).unwrap();
    assert_eq!(alerts(&store).len(), after.len() + 1);
}
