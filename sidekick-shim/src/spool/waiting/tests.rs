use super::*;
use crate::fixture;

fn item(second: i64) -> Item {
    Item {
        alert: fixture::alert("r"),
        received: Timestamp::from_second(second).unwrap(),
        age: (Duration::ZERO, Instant::now()),
    }
}

fn key(level: usize, seq: i64) -> Key {
    Key { level, seq }
}

/// Takes what is next, which is in memory.
fn take(waiting: &mut Waiting, lane: Lane) -> Option<(usize, i64)> {
    match waiting.next(lane) {
        Next::Try(key, _) => Some((key.level, key.seq)),
        Next::Nothing => None,
        Next::Read(want) => panic!("{want:?}"),
    }
}

#[test]
fn the_newest_are_taken_by_priority_and_the_oldest_by_time() {
    let mut waiting = Waiting::default();
    for (second, level, seq) in [(1, 6, 1), (2, 2, 1), (3, 6, 2), (4, 2, 2), (5, 6, 3)] {
        waiting.add(key(level, seq), item(second));
    }
    assert_eq!(take(&mut waiting, Lane::Newest), Some((2, 2)));
    assert_eq!(take(&mut waiting, Lane::Oldest), Some((6, 1)));
    assert_eq!(take(&mut waiting, Lane::Oldest), Some((2, 1)));
    assert_eq!(take(&mut waiting, Lane::Newest), Some((6, 3)));
    assert_eq!(take(&mut waiting, Lane::Newest), Some((6, 2)));
    assert_eq!(take(&mut waiting, Lane::Oldest), None);
    assert!(!waiting.is_empty(), "what was handed out is not settled");
    for (level, seq) in [(6, 1), (2, 1), (6, 2), (2, 2), (6, 3)] {
        assert!(waiting.settle(key(level, seq)));
        assert!(!waiting.settle(key(level, seq)));
    }
    assert!(waiting.is_empty());
}

#[test]
fn what_is_not_in_memory_is_read_at_the_end_where_it_is_wanted() {
    let mut waiting = Waiting::default();
    waiting.add_stored(5, 1..=1_000_000);
    let want = |from, backwards| Want {
        level: 5,
        from,
        backwards,
    };
    let Next::Read(newest) = waiting.next(Lane::Newest) else {
        panic!()
    };
    assert_eq!(newest, want(1_000_000, true));
    let Next::Read(oldest) = waiting.next(Lane::Oldest) else {
        panic!()
    };
    assert_eq!(oldest, want(1, false));
    assert!(
        matches!(waiting.next(Lane::Newest), Next::Nothing),
        "one reading at a time"
    );
    waiting.found(
        true,
        Some(Found {
            want: newest,
            items: vec![(1_000_000, item(9)), (999_998, item(8))],
            within: 999_998..=1_000_000,
        }),
    );
    assert_eq!(take(&mut waiting, Lane::Newest), Some((5, 1_000_000)));
    // One does not exist.
    assert_eq!(take(&mut waiting, Lane::Newest), Some((5, 999_998)));
    waiting.found(
        false,
        Some(Found {
            want: oldest,
            items: vec![(4, item(1))],
            within: 1..=i64::MAX,
        }),
    );
    assert_eq!(take(&mut waiting, Lane::Oldest), Some((5, 4)));
    assert_eq!(take(&mut waiting, Lane::Oldest), None, "nothing else exists");
    for seq in [1_000_000, 999_998, 4] {
        waiting.settle(key(5, seq));
    }
    assert!(waiting.is_empty());
}

#[test]
fn a_reading_that_failed_can_be_tried_again() {
    let mut waiting = Waiting::default();
    waiting.add_stored(5, 1..=1);
    assert!(matches!(waiting.next(Lane::Oldest), Next::Read(_)));
    waiting.found(false, None);
    assert!(matches!(waiting.next(Lane::Oldest), Next::Read(_)));
}

#[test]
fn memory_has_a_bound_and_the_disk_has_the_rest() {
    let mut waiting = Waiting::default();
    for seq in 1..=10_000 {
        waiting.add(key(7, seq), item(seq));
        waiting.add(key(1, seq), item(seq));
    }
    assert_eq!(waiting.fresh, FRESH_ALERTS);
    let whole: Vec<_> = waiting.levels.iter().map(|level| level.fresh.len()).collect();
    assert_eq!(whole[7] + whole[1], FRESH_ALERTS);
    assert!(whole[1] > whole[7], "the urgent stay: {whole:?}");
    assert_eq!(waiting.pending(1).unwrap().len(), 10_000);
    assert_eq!(take(&mut waiting, Lane::Newest), Some((1, 10_000)));
    assert!(matches!(waiting.next(Lane::Oldest), Next::Read(_)));
}

#[test]
fn an_alert_that_rests_is_taken_by_no_one_else() {
    let mut waiting = Waiting::default();
    waiting.add(key(5, 1), item(1));
    take(&mut waiting, Lane::Newest);
    waiting.rest(key(5, 1));
    assert_eq!(take(&mut waiting, Lane::Oldest), None);
    assert!(matches!(waiting.again(key(5, 1)), Again::Try(_)));
    waiting.settle(key(5, 1));
    assert!(matches!(waiting.again(key(5, 1)), Again::Gone));
}

#[test]
fn of_many_that_rest_the_last_are_read_again() {
    let mut waiting = Waiting::default();
    for seq in 1..=(RESTING as i64 + 1) {
        waiting.add(key(5, seq), item(seq));
        assert_eq!(take(&mut waiting, Lane::Newest), Some((5, seq)));
        waiting.rest(key(5, seq));
    }
    let last = RESTING as i64 + 1;
    assert!(matches!(waiting.again(key(5, 1)), Again::Try(_)));
    assert!(matches!(waiting.again(key(5, last)), Again::Read));
    assert!(matches!(waiting.again(key(5, last)), Again::Later));
    waiting.unread(key(5, last));
    assert!(
        matches!(waiting.again(key(5, last)), Again::Read),
        "one that failed is tried once more"
    );
    assert!(
        matches!(waiting.next(Lane::Oldest), Next::Nothing),
        "it does not go before others"
    );
    waiting.returned(key(5, last), Some(item(last)));
    assert!(matches!(waiting.again(key(5, last)), Again::Try(_)));
    waiting.rest(key(5, last));
    assert!(matches!(waiting.again(key(5, last)), Again::Read));
    waiting.returned(key(5, last), None);
    assert!(matches!(waiting.again(key(5, last)), Again::Gone));
    assert!(
        !waiting.pends(key(5, last)),
        "what is not there is waited for by nobody"
    );
}

#[test]
fn large_ones_that_rest_are_in_memory_up_to_a_bound() {
    let mut waiting = Waiting::default();
    let large = "x".repeat(RESTING_BYTES / 2);
    for seq in 1..=4 {
        let mut item = item(seq);
        item.alert = crate::fixture::alert(&large);
        waiting.put_out(key(5, seq), Out::Whole(item));
        waiting.rest(key(5, seq));
    }
    assert!(waiting.whole_bytes <= RESTING_BYTES, "{}", waiting.whole_bytes);
    assert!(matches!(waiting.again(key(5, 4)), Again::Read));
}

#[test]
fn what_made_room_is_forgotten_wherever_it_is() {
    let mut waiting = Waiting::default();
    for seq in 1..=5 {
        waiting.add(key(5, seq), item(seq));
    }
    assert_eq!(take(&mut waiting, Lane::Oldest), Some((5, 1)));
    waiting.forget(5, 3);
    assert!(!waiting.settle(key(5, 1)), "it was in flight");
    assert_eq!((waiting.fresh, waiting.pending(5).unwrap().len()), (2, 2));
    assert_eq!(take(&mut waiting, Lane::Oldest), Some((5, 4)));
}

#[test]
fn what_is_over_a_share_goes_from_the_least_urgent_and_oldest() {
    let mut waiting = Waiting::default();
    let mut counts = [Count::default(); LEVELS];
    for level in [2, 6] {
        waiting.add_stored(level, 1..=100);
        counts[level] = Count {
            zeros: 0,
            alerts: 100,
            bytes: 100_000,
        };
    }
    assert_eq!(waiting.bytes(&counts), 200_000);
    let gone = waiting.give_up(30_000, &counts);
    assert_eq!(gone, [(6, Ranges::from_iter([1..=30]))]);
    let gone = waiting.give_up(80_000, &counts);
    assert_eq!(
        gone,
        [
            (6, Ranges::from_iter([31..=100])),
            (2, Ranges::from_iter([1..=10]))
        ]
    );
    assert_eq!(waiting.bytes(&counts), 90_000);
}
