use std::time::Duration;

use falco_event::Priority;

use super::dead::DeadLetters;
use super::store::Store;
use super::store::faulty::Faulty;
use super::*;
use crate::config::{Config, Durability};
use crate::fixture::{self, alert, config, rules, spool};
use crate::metrics::Metrics;

/// A spool in a folder.
fn in_folder(folder: &tempfile::TempDir) -> Config {
    let mut config = config(16 << 20);
    config.spool.durability = Durability::Crash;
    config.spool.folder = folder.path().to_owned();
    config
}

/// A spool in a folder, for two sinks.
fn two_sinks(folder: &tempfile::TempDir) -> Config {
    let mut config = in_folder(folder);
    let mut other = config.sinks[0].clone();
    other.name = "other".to_owned();
    other.share = 50;
    config.sinks.push(other);
    config
}

fn started(config: &Config) -> Spool {
    spool(config, &Arc::new(Metrics::new(&[])), ())
}

#[tokio::test]
async fn what_waited_only_for_a_sink_that_is_configured_no_more_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = two_sinks(&folder);
    let spool = started(&config);
    let alerts = vec![alert("a"), alert("b")];
    spool.keep(alerts, &Patience::default()).await.unwrap();
    assert_eq!(rules(&spool), ["a", "b"]);
    assert_eq!(spool.spooled().await.alerts, 2, "the other sink waits for them");
    spool.close().await;
    drop(spool);

    config.sinks.pop();
    let metrics = Arc::new(Metrics::new(&[]));
    let spool = self::spool(&config, &metrics, ());
    assert_eq!(spool.spooled().await.alerts, 0);
    let spooled = spool.spooled().await;
    assert_eq!(spooled.oldest, Duration::ZERO);
    let counted = "sidekick_shim_dropped_total{reason=\"no_sink\"} 2\n";
    assert!(metrics.text(spooled).contains(counted));
}

async fn keep(spool: &Spool, rules: &[&str]) {
    let alerts = rules.iter().map(|rule| alert(rule)).collect();
    spool.keep(alerts, &Patience::default()).await.unwrap();
}

#[tokio::test]
async fn a_share_is_one_of_what_a_full_disk_has_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let spool = started(&two_sinks(&folder));
    keep(&spool, &["a", "b", "c", "d"]).await;
    assert_eq!(spool.ledger().hold_to_shares(), []);
    spool.ledger().limit(Some(0));
    let given_up = spool.ledger().hold_to_shares();
    assert!(matches!(given_up[..], [(1, 2..=3)]), "{given_up:?}");
}

/// Writes nonsense over a file from here on.
fn spoil(path: &std::path::Path, from: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    assert!(from < bytes.len());
    bytes[from..].fill(0x5a);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn whatever_part_of_a_file_is_broken_it_is_set_aside_and_the_start_goes_on() {
    for (file, from) in [
        ("5-0000000000000001.alerts1", 0),
        ("dead.db", 0),
        ("dead.db", 4096),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = in_folder(&folder);
        let spool = started(&config);
        keep(&spool, &["a", "b"]).await;
        assert!(spool.bury(letter("c")).await);
        spool.close().await;
        drop(spool);
        spoil(&folder.path().join(file), from);

        let spool = started(&config);
        keep(&spool, &["d"]).await;
        assert!(rules(&spool).contains(&"d".to_owned()), "{file} {from}");
        assert!(spool.bury(letter("e")).await);
        let names = std::fs::read_dir(folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let aside = names.filter(|name| name.starts_with(&format!("{file}.broken-")));
        assert!(aside.count() > 0, "{file} {from}");
    }
}

fn letter(rule: &str) -> DeadLetter {
    let alert = alert(rule);
    DeadLetter {
        sink: "cloudevents".to_owned(),
        received: 1,
        refused: 2,
        answer: "status 400".to_owned(),
        id: alert.id().to_string(),
        data: alert.as_bytes().to_vec(),
    }
}

#[tokio::test]
async fn what_made_room_is_not_counted_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = in_folder(&folder);
    config.spool.bytes = 64 * 1024;
    let spool = started(&config);
    let large = "x".repeat(2_000);
    let patience = Patience::default();
    for _ in 0..100 {
        spool.keep(vec![alert(&large)], &patience).await.unwrap();
    }
    let there = spool.spooled().await.alerts;
    assert!(there < 40, "the others had to go: {there}");
    // It is killed: nothing is written down at the end.
    drop(spool);
    let spool = started(&config);
    assert_eq!(spool.spooled().await.alerts, there);
    assert_eq!(rules(&spool).len() as u64, there);
    let left = spool.spooled().await;
    assert_eq!((left.alerts, left.bytes), (0, 0));
}

#[tokio::test]
async fn on_a_full_disk_what_comes_takes_the_place_of_the_oldest_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(&folder);
    let spool = started(&config);
    let name = |n: u32| format!("{n:0>600}");
    let all: Vec<_> = (0..2_000).map(name).collect();
    for names in all.chunks(100) {
        keep(&spool, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    spool.ledger().limit(Some(0));
    let patience = Patience::default();
    for n in 2_000..2_010 {
        spool.keep(vec![alert(&name(n))], &patience).await.unwrap();
    }
    let left = rules(&spool);
    assert_eq!(left.last(), Some(&name(2_009)));
    // A segment has 256 KiB.
    let segment = (256 << 10) / store::on_disk(alert(&name(0)).as_bytes().len());
    assert!(left.len() as u64 > 2_000 - 3 * segment, "{}", left.len());
}

#[tokio::test]
async fn a_file_that_someone_removed_costs_what_was_in_it_and_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(&folder);
    let metrics = Arc::new(Metrics::new(&[]));
    let spool = spool(&config, &metrics, ());
    let name = |n: u32| format!("{n:0>600}");
    for n in 0..1_000 {
        keep(&spool, &[&name(n)]).await;
    }
    std::fs::remove_file(folder.path().join("5-0000000000000001.alerts1")).unwrap();
    let left = rules(&spool);
    let lost = 1_000 - left.len();
    assert!((300..700).contains(&lost), "{lost}");
    assert_eq!(left.last(), Some(&name(999)));
    let text = metrics.text(spool.spooled().await);
    let line = format!("sidekick_shim_dropped_total{{reason=\"spool_broken\"}} {lost}\n");
    assert!(text.contains(&line), "{text}");
}

/// Which needs no sink that is done with anything.
#[tokio::test]
async fn what_nobody_wants_leaves_the_spool_and_memory_too() {
    let mut config = config(16 << 20);
    config.sinks.clear();
    let metrics = Arc::new(Metrics::new(&[]));
    let observer: Arc<dyn Observer> = Arc::new(());
    let opened = open(&config.spool).unwrap();
    let spool = Spool::start(opened, &config.spool, &config.sinks, &metrics, &observer).unwrap();
    let large = "x".repeat(100_000);
    for _ in 0..400 {
        keep(&spool, &[&large]).await;
    }
    spool.close().await;
    assert_eq!(spool.ledger().count().alerts, 0);
    assert!(spool.keeper.store().take_unsynced().is_empty());
}

#[tokio::test]
async fn a_disk_that_can_be_written_again_is_found_without_anybody_asking() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(&folder);
    let metrics = Arc::new(Metrics::new(&[]));
    let observer: Arc<dyn Observer> = Arc::new(());
    let opened = open(&config.spool).unwrap();
    let spool = Spool::start(opened, &config.spool, &config.sinks, &metrics, &observer).unwrap();
    let gone = folder.path().with_extension("gone");
    std::fs::rename(folder.path(), &gone).unwrap();
    let refused = spool.keep(vec![alert("a")], &Patience::none()).await;
    assert_eq!(refused, Err(Short::Unwritable));
    let mut room = std::pin::pin!(spool.ledger().room.notified());
    room.as_mut().enable();
    std::fs::rename(&gone, folder.path()).unwrap();
    if !spool.ledger().is_writable() {
        room.await;
    }
    keep(&spool, &["b"]).await;
    assert_eq!(rules(&spool), ["b"]);
}

/// Who takes alerts is quicker than who sends them: without this the senders would read every alert again.
#[test]
fn who_brings_alerts_gives_way_while_the_sender_is_behind() {
    use std::task::{Context, Waker};
    let spool = started(&config(16 << 20));
    // One to be written with others that are ready, and one to be answered.
    let at_once = 2;
    let turns = || {
        let patience = Patience::default();
        let mut keep = std::pin::pin!(spool.keep(vec![alert("a")], &patience));
        let turn = || keep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        1 + std::iter::repeat_with(turn)
            .take_while(|turn| turn.is_pending())
            .count()
    };
    // A sink that has taken none may never take any.
    while spool.ledger().count().alerts < 300 {
        assert_eq!(turns(), at_once);
    }
    let Next::Try(key, _) = spool.ledger().next(0, Lane::Newest) else {
        panic!()
    };
    spool.settle(0, key);
    assert_eq!(turns(), at_once + TURNS as usize);
    spool.ledger().rest(0, key);
    assert_eq!(turns(), at_once, "the sink takes none any more");
}

/// A spool on this disk.
fn on_disk_of(disk: &Faulty, metrics: &Arc<Metrics>) -> Spool {
    let config = config(16 << 20);
    let mut opened = open(&config.spool).unwrap();
    opened.store = Store::open(Arc::new(disk.clone()), 16 << 20).unwrap().0;
    let observer: Arc<dyn Observer> = Arc::new(());
    let (keeper, writer, _) = prepare(opened, &config.spool, &config.sinks, metrics, &observer).unwrap();
    Spool {
        writer: To::Inline(Arc::new(Mutex::new(writer))),
        keeper,
        when_full: config.spool.when_full,
        replies: Arc::default(),
    }
}

/// An alert of this priority.
fn of(priority: &str, rule: &str) -> Alert {
    let text = fixture::text(rule).replace("Notice", priority);
    Alert::from_slice(text.as_bytes()).unwrap()
}

/// Spools alerts of these priorities, each with a rule of 1,000 bytes, and fills the disk.
async fn filled(priorities: &[(&str, u64)]) -> (Faulty, Spool, Arc<Metrics>) {
    let (disk, metrics) = (Faulty::default(), Arc::new(Metrics::new(&[])));
    let spool = on_disk_of(&disk, &metrics);
    for (priority, alerts) in priorities {
        for _ in 0..*alerts {
            let alert = of(priority, &"x".repeat(1_000));
            spool.keep(vec![alert], &Patience::none()).await.unwrap();
        }
    }
    let used = spool.keeper.store().bytes();
    disk.leave_room(Some(usize::try_from(used).unwrap()));
    (disk, spool, metrics)
}

/// Of each level, how many alerts there are.
fn levels(spool: &Spool) -> [u64; 8] {
    spool.keeper.store().counts().map(|count| count.alerts)
}

#[tokio::test]
async fn on_a_full_disk_the_least_urgent_make_room_however_little_there_is() {
    // Less than is left to others; and more, and of that little that is no more urgent.
    for errors in [5, 600] {
        let (_disk, spool, metrics) = filled(&[("Error", errors), ("Debug", 3)]).await;
        let patience = Patience::none();
        for notices in [1, 2] {
            spool.keep(vec![of("Notice", "a")], &patience).await.unwrap();
            assert_eq!(levels(&spool), [0, 0, 0, errors, 0, notices, 0, 0]);
        }
        let text = metrics.text(spool.spooled().await);
        let line = "sidekick_shim_dropped_total{reason=\"spool_full\"} 3\n";
        assert!(text.contains(line), "{text}");
        assert!(spool.ledger().is_writable());
    }
}

#[tokio::test]
async fn on_a_full_disk_what_is_more_urgent_stays() {
    let (_disk, spool, _) = filled(&[("Error", 5)]).await;
    let refused = spool.keep(vec![of("Notice", "a")], &Patience::none()).await;
    assert_eq!(refused, Err(Short::Full));
    assert_eq!(levels(&spool), [0, 0, 0, 5, 0, 0, 0, 0]);
    assert!(spool.ledger().is_writable(), "who is more urgent is taken");
    spool
        .keep(vec![of("Error", "a")], &Patience::none())
        .await
        .unwrap();
    assert_eq!(levels(&spool), [0, 0, 0, 1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn where_others_fill_the_disk_an_empty_spool_takes_what_can_be_written() {
    let (disk, spool, _) = filled(&[]).await;
    let patience = Patience::none();
    for _ in 0..2 {
        let refused = spool.keep(vec![alert("a")], &patience).await;
        assert_eq!(refused, Err(Short::Unwritable));
    }
    disk.leave_room(Some(8 * 1024));
    let many = "x".repeat(1_000);
    for _ in 0..6 {
        spool.keep(vec![alert(&many)], &patience).await.unwrap();
    }
    assert_eq!(spool.ledger().count().alerts, 6, "none has to go for another");
    assert!(spool.ledger().is_limited());
    assert_eq!(spool.ledger().promise(1_000), Ok(()), "nobody waits for a limit");
}

#[test]
fn what_is_written_with_others_is_there_once_whatever_becomes_of_them() {
    let disk = Faulty::default();
    let spool = on_disk_of(&disk, &Arc::new(Metrics::new(&[])));
    let debug = of("Debug", &"d".repeat(1_000));
    let gather = |alerts: Vec<_>| {
        let (reply, kept) = oneshot::channel();
        let promised = alerts
            .iter()
            .map(|alert: &Alert| on_disk(alert.as_bytes().len()))
            .sum();
        spool.ledger().promise(promised).unwrap();
        spool.keeper.gathered.add(Keep {
            alerts: alerts.into(),
            promised,
            make_room: false,
            reply,
        });
        kept
    };
    let kept = [gather(vec![alert("a"), debug]), gather(vec![alert("b")])];
    // The notices are written, and the other of the first of them is not; alone it is.
    disk.refuse_once(1_000);
    let tell = spool
        .keeper
        .keep_and_reply(spool.keeper.gathered.take_all().keeps);
    assert!(tell, "what was taken back has to go");
    for mut kept in kept {
        assert_eq!(kept.try_recv().unwrap(), Ok(()));
    }
    assert_eq!(
        spool.ledger().promise((16 << 20) - 8 * 1024),
        Ok(()),
        "all that was promised is given back"
    );
    let mut rules = rules(&spool);
    rules.sort();
    assert_eq!(rules, ["a", "b", &"d".repeat(1_000)]);
}

/// A spool that waits for the disk, with its thread's end of it, and no thread.
fn power_loss(mut config: Config) -> (Arc<Keeper>, Writer) {
    config.spool.durability = Durability::PowerLoss;
    let opened = open(&config.spool).unwrap();
    let (metrics, observer): (_, Arc<dyn Observer>) = (Arc::new(Metrics::new(&[])), Arc::new(()));
    let (keeper, writer, _) = prepare(opened, &config.spool, &config.sinks, &metrics, &observer).unwrap();
    (keeper, writer)
}

#[test]
fn a_dead_letter_goes_to_its_sink_or_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = two_sinks(&folder);
    config.sinks[0].minimum_priority = Some(Priority::Error);
    let (keeper, mut writer) = power_loss(config);
    // Of a sink that is configured no more, and so for the first.
    for (rule, sink) in [("a", "other"), ("b", "gone")] {
        let sink = sink.to_owned();
        let (letter, reply) = (DeadLetter { sink, ..letter(rule) }, oneshot::channel().0);
        writer.carry_out(vec![Command::Bury { letter, reply }]);
    }
    let person = DeadLetters::open(Some(&folder.path().join("dead.db"))).unwrap();
    assert_eq!(person.requeue().unwrap(), 2);
    writer.look_around();
    let Next::Try(_, item) = keeper.ledger.next(1, Lane::Oldest) else {
        panic!("the sink gets it again")
    };
    assert_eq!(item.alert.rule(), "a");
    let left = person.after(0).unwrap();
    assert!(
        matches!(&left[..], [(_, letter)] if letter.sink == "gone"),
        "{left:?}"
    );
    assert!(
        person.again().unwrap().is_empty(),
        "nobody tries it again and again"
    );
}

fn to_keep(rule: &str) -> Keep {
    Keep {
        alerts: [alert(rule)].into(),
        promised: 0,
        make_room: false,
        reply: oneshot::channel().0,
    }
}

fn several(rules: &[&str]) -> Vec<Command> {
    vec![Command::Keep(Together {
        keeps: rules.iter().map(|rule| to_keep(rule)).collect(),
        awaited: false,
    })]
}

#[test]
fn who_was_answered_joins_in_before_the_senders_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (keeper, mut writer) = power_loss(in_folder(&folder));
    let waits = |lane| matches!(keeper.ledger.next(0, lane), Next::Try(..));
    let (commands, out) = channel();
    let bring = |rule| {
        assert!(keeper.gathered.add(to_keep(rule)), "each in a turn of its own");
        keeper.gathered.take()
    };

    writer.carry_out(several(&["a", "b"]));
    assert!(!waits(Lane::Oldest), "those who were answered come first");
    assert!(!keeper.ledger.is_empty(0), "a sender does not end before");
    assert!(bring("c").is_none(), "the other comes too");
    let all = bring("d").unwrap();
    assert!(all.awaited && all.keeps.len() == 2);
    commands.send(Command::Keep(all)).unwrap();
    let mut together = Vec::new();
    writer.await_answered(&out, &mut together);
    assert!(!waits(Lane::Newest), "who brings them tells the senders");
    assert!(keeper.release() && waits(Lane::Newest) && waits(Lane::Newest) && !waits(Lane::Newest));

    // Who does not come is not waited for any longer.
    writer.carry_out(together);
    assert!(bring("e").is_none());
    let mut together = Vec::new();
    writer.await_answered(&out, &mut together);
    assert!(waits(Lane::Newest) && waits(Lane::Newest) && !waits(Lane::Newest));
    assert!(bring("x").is_some_and(|one| !one.awaited));
    writer.carry_out(together);
    writer.await_answered(&out, &mut Vec::new());
    assert!(waits(Lane::Newest), "one is there");

    // One alone has nobody to wait for.
    writer.carry_out(several(&["f"]));
    assert!(bring("x").is_some());
    writer.await_answered(&out, &mut Vec::new());
    assert!(waits(Lane::Newest));

    // What is told besides comes behind what is held.
    writer.carry_out(several(&["g", "h"]));
    let item = Item {
        alert: alert("i"),
        received: falco_event::Timestamp::UNIX_EPOCH,
        age: (Duration::ZERO, tokio::time::Instant::now()),
    };
    let key = Key { level: 5, seq: 9 };
    keeper.ledger.committed([(key, item)].into_iter(), None);
    let seqs = std::iter::from_fn(|| match keeper.ledger.next(0, Lane::Newest) {
        Next::Try(key, _) => Some(key.seq),
        Next::Read(_) | Next::Nothing => None,
    });
    assert_eq!(seqs.collect::<Vec<_>>(), [9, 8, 7]);
}

#[test]
fn what_is_held_and_has_to_make_room_is_lost_as_all_else() {
    let folder = tempfile::tempdir().unwrap();
    let (keeper, mut writer) = power_loss(in_folder(&folder));
    writer.carry_out(several(&["a", "b"]));
    let (last, _) = keeper.store().evict(5).unwrap().unwrap();
    let mut work = std::pin::pin!(keeper.ledger.work(0));
    let mut is_woken = || {
        let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
        work.as_mut().poll(context).is_ready()
    };
    assert!(!is_woken());
    assert_eq!(keeper.ledger.evicted(5, last), 2);
    // Others may have been held with them, and nobody releases these any more.
    assert!(is_woken());
    assert!(!keeper.release() && matches!(keeper.ledger.next(0, Lane::Newest), Next::Nothing));
}

#[test]
fn who_waits_for_others_hears_of_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (keeper, mut writer) = power_loss(in_folder(&folder));
    writer.carry_out(several(&["a", "b"]));
    let (reply, mut kept) = oneshot::channel();
    keeper.gathered.add(Keep {
        reply,
        ..to_keep("c")
    });
    assert!(keeper.gathered.take().is_none());
    drop(writer);
    kept.try_recv().unwrap_err();
    keeper.gathered.add(to_keep("d"));
    assert!(keeper.gathered.take().is_some(), "nobody is waited for");
}

#[test]
fn what_is_held_and_nobody_wants_goes_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = in_folder(&folder);
    config.sinks.clear();
    let (keeper, mut writer) = power_loss(config);
    let (_commands, out) = channel();
    writer.carry_out(several(&["a"]));
    assert_eq!(keeper.ledger.count().alerts, 1);
    while keeper.ledger.count().alerts > 0 {
        let due = writer.next(&out).unwrap();
        writer.carry_out(due);
    }
}

#[test]
fn dead_letters_have_a_file_once_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.db");
    let mut letters = DeadLetters::open(Some(&path)).unwrap();
    assert!(letters.again().unwrap().is_empty() && letters.after(0).unwrap().is_empty());
    assert!(
        !path.exists(),
        "it takes a dozen syncs, and a start does not wait for them"
    );
    // Someone else put it there meanwhile; and a full disk left it without a byte.
    std::fs::write(&path, "").unwrap();
    let mut other = DeadLetters::open(Some(&path)).unwrap();
    assert_eq!(other.add(&letter("a")).unwrap(), 0);
    drop(other);
    assert_eq!(letters.add(&letter("a")).unwrap(), 0);
    assert_eq!(letters.add(&letter("b")).unwrap(), 0);
    let again = DeadLetters::open(Some(&path)).unwrap();
    assert_eq!((letters.count(), again.count()), (2, 2));
    assert_eq!(again.requeue().unwrap(), 2);
    letters.settle(&letters.again().unwrap(), &[]).unwrap();
    assert_eq!(letters.count(), 0);
}

#[tokio::test]
async fn alerts_are_kept_where_dead_letters_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.db");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("x"), "").unwrap();
    let spool = started(&in_folder(&folder));
    keep(&spool, &["a"]).await;
    assert!(!spool.bury(letter("b")).await);
    std::fs::remove_dir_all(&path).unwrap();
    assert!(spool.bury(letter("b")).await);
    assert_eq!(rules(&spool), ["a"]);
}
