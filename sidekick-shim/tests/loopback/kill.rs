//! The program is killed at a random moment under load, again and again: what was answered 200 reaches the sink.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::process::Program;
use crate::support::{Does, Got, Sink, alert};

/// Who posts at a time, each on a connection of its own.
const SENDERS: u32 = 4;

/// How often it is killed, unless `SHIM_KILLS` says so: each durability by turns.
const KILLS: u32 = 4;

/// Posts one alert; whether it was answered 200.
async fn post(stream: &mut TcpStream, body: &str) -> io::Result<bool> {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: shim\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let (mut answer, mut part) = (Vec::new(), [0; 512]);
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => answer.extend_from_slice(&part[..read]),
        }
    }
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

/// Posts alerts with the numbers from 0 to 19, all of which are accepted.
async fn post_twenty(shim: SocketAddr) {
    let mut stream = TcpStream::connect(shim).await.unwrap();
    for number in 0..20 {
        assert!(post(&mut stream, &alert(&number.to_string())).await.unwrap());
    }
}

/// Posts alerts with numbers of their own until the connection ends, and tells each that was accepted.
async fn load(shim: SocketAddr, next: Arc<AtomicU32>, accepted: UnboundedSender<u32>) {
    let Ok(mut stream) = TcpStream::connect(shim).await else {
        return;
    };
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        match post(&mut stream, &alert(&number.to_string())).await {
            Ok(true) => drop(accepted.send(number)),
            Ok(false) | Err(_) => return,
        }
    }
}

fn number(got: &Got) -> u32 {
    got.rule().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_200_reaches_each_sink_however_often_the_shim_is_killed() {
    let kills = std::env::var("SHIM_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    // A third of the tries fail, so that something always waits.
    let mut sink = Sink::start(|before| Does::Answer(if before % 3 == 2 { 503 } else { 202 })).await;
    let mut other = Sink::start(|_| Does::Answer(202)).await;
    let file = folder.path().join("shim.yaml");
    let sinks = format!("shim: {{sinks: [{{name: other, url: '{}'}}]}}", other.url());
    std::fs::write(&file, sinks).unwrap();
    let arguments = ["-c", file.to_str().unwrap()];
    let own = |durability| [("SHIM_DURABILITY", durability), ("SHIM_SPOOL", spool)];
    let next = Arc::new(AtomicU32::new(0));
    let mut random = fastrand::Rng::with_seed(kills.into());
    let mut accepted = BTreeSet::new();
    for kill in 0..kills {
        let durability = if kill % 2 == 0 { "crash" } else { "power-loss" };
        let mut program = Program::start_with(&sink.url(), &own(durability), &arguments).await;
        let (tell, mut told) = unbounded_channel();
        for _ in 0..SENDERS {
            tokio::spawn(load(program.address, Arc::clone(&next), tell.clone()));
        }
        drop(tell);
        for _ in 0..random.u32(1..400) {
            accepted.extend(told.recv().await);
        }
        program.signal("KILL");
        program.exit_code().await;
        while let Some(number) = told.recv().await {
            accepted.insert(number);
        }
    }
    assert!(!accepted.is_empty());

    let last = Program::start_with(&sink.url(), &own("crash"), &arguments).await;
    let mut ids = BTreeMap::new();
    for sink in [&mut sink, &mut other] {
        let all = arrive(sink, accepted.clone(), next.load(Ordering::Relaxed), &mut ids);
        all.await;
    }
    drop(last);
}

/// Waits until all of these are at a sink. Nothing else may come there, and each alert with one id.
async fn arrive(sink: &mut Sink, mut missing: BTreeSet<u32>, sent: u32, ids: &mut BTreeMap<u32, String>) {
    let limit = tokio::time::sleep(Duration::from_secs(60));
    let mut limit = std::pin::pin!(limit);
    while !missing.is_empty() {
        let got = tokio::select! {
            got = sink.got.recv() => got.unwrap(),
            () = &mut limit => panic!("{} alerts did not arrive: {missing:?}", missing.len()),
        };
        let (number, id) = (number(&got), got.event()["id"].as_str().unwrap().to_owned());
        assert!(number < sent, "{number} was never sent");
        let before = ids.entry(number).or_insert_with(|| id.clone());
        assert_eq!(*before, id, "{number} has one id");
        missing.remove(&number);
    }
}

#[tokio::test]
async fn what_is_left_at_the_end_is_sent_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let own = [
        ("SHIM_DURABILITY", "power-loss"),
        ("SHIM_SPOOL", spool),
        ("SHIM_DRAIN_DEADLINE", "50ms"),
    ];
    let hangs = Sink::start(|_| Does::Hang).await;
    let mut program = Program::start(&hangs.url(), &own).await;
    post_twenty(program.address).await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0), "nothing is lost");
    let mut works = Sink::start(|_| Does::Answer(202)).await;
    let _program = Program::start(&works.url(), &own).await;
    let mut numbers = BTreeSet::new();
    while numbers.len() < 20 {
        numbers.insert(number(&works.next().await));
    }
    assert_eq!(numbers, (0..20).collect());
}

#[tokio::test]
async fn with_power_loss_too_everything_is_sent_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let own = [("SHIM_DURABILITY", "power-loss"), ("SHIM_SPOOL", spool)];
    let mut sink = Sink::start(|_| Does::Answer(202)).await;
    let mut program = Program::start(&sink.url(), &own).await;
    post_twenty(program.address).await;
    program.signal("TERM");
    program.says("ended with no alert left").await;
    assert_eq!(program.exit_code().await, Some(0));
    let mut numbers = BTreeSet::new();
    for _ in 0..20 {
        numbers.insert(number(&sink.next().await));
    }
    assert_eq!(numbers, (0..20).collect());
}

#[tokio::test]
async fn two_programs_do_not_share_a_spool() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let own = [("SHIM_DURABILITY", "crash"), ("SHIM_SPOOL", spool)];
    let sink = Sink::start(|_| Does::Answer(202)).await;
    let _first = Program::start(&sink.url(), &own).await;
    let second = crate::process::output(&[&own[..], &[("K_SINK", "http://sink")]].concat(), &[]).await;
    assert_eq!(second.0, Some(64));
    let why = format!("`{spool}`: another sidekick-shim holds it");
    assert!(second.2.contains(&why), "{}", second.2);
}

#[tokio::test]
async fn what_is_broken_on_the_disk_costs_itself_alone_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let own = [("SHIM_DURABILITY", "crash"), ("SHIM_SPOOL", spool)];
    let hangs = Sink::start(|_| Does::Hang).await;
    let mut program = Program::start(&hangs.url(), &own).await;
    post_twenty(program.address).await;
    program.signal("KILL");
    program.exit_code().await;

    // The rule of one, and a file in which nothing can be read.
    let file = folder.path().join("5-0000000000000001.alerts1");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(4).position(|text| text == b"\"13\"").unwrap();
    bytes[at + 1] = b'9';
    std::fs::write(&file, bytes).unwrap();
    std::fs::write(folder.path().join("2-0000000000000001.alerts1"), [0x5a; 4096]).unwrap();

    let mut works = Sink::start(|_| Does::Answer(202)).await;
    let mut program = Program::start(&works.url(), &own).await;
    let aside = program.said("a file of the spool is broken: it is set aside");
    let aside = aside["file"].as_str().unwrap();
    assert!(aside.starts_with("2-0000000000000001.alerts1.broken-"), "{aside}");
    assert!(folder.path().join(aside).exists());
    let lost = program
        .says("alerts in the spool cannot be read: they are lost")
        .await;
    assert_eq!((&lost["first"], &lost["lost"]), (&14.into(), &1.into()));
    let mut numbers = BTreeSet::new();
    while numbers.len() < 19 {
        numbers.insert(number(&works.next().await));
    }
    assert_eq!(numbers, (0..20).filter(|number| *number != 13).collect());
}
