//! Reading an alert and finding its offender, beside a borrowed `serde_json` read of the same bytes with the same
//! fields; and an alert as a structured event. `cargo bench -p falco-event --features cloudevents`.

#![expect(clippy::unwrap_used, reason = "a bench stops where it fails")]

#[path = "../tests/borrowed/mod.rs"]
mod borrowed;

use std::hint::black_box;

use borrowed::Borrowed;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use falco_event::Alert;

const ALERTS: [(&str, &[u8]); 2] = [
    ("plain", include_bytes!("../tests/fixtures/shell-in-pod.json")),
    (
        "escapes",
        include_bytes!("../tests/fixtures/shell-with-escapes.json"),
    ),
];

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for (name, bytes) in ALERTS {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("{name}/serde_json borrowed"), |bench| {
            bench.iter(|| serde_json::from_slice::<Borrowed<'_>>(black_box(bytes)).unwrap());
        });
        group.bench_function(format!("{name}/alert and offender"), |bench| {
            bench.iter(|| {
                let alert = Alert::from_slice(black_box(bytes)).unwrap();
                black_box(alert.offender());
                alert
            });
        });
        group.bench_function(format!("{name}/alert"), |bench| {
            bench.iter(|| Alert::from_slice(black_box(bytes)).unwrap());
        });
    }
}

#[cfg(feature = "cloudevents")]
fn write(criterion: &mut Criterion) {
    use falco_event::{Timestamp, cloudevents::Sender};
    let mut group = criterion.benchmark_group("structured event out");
    let sender = Sender::default();
    for (name, bytes) in ALERTS {
        group.bench_function(format!("{name}/alert just read"), |bench| {
            let read = || {
                let alert = Alert::from_slice(bytes).unwrap();
                black_box(alert.offender());
                alert
            };
            let write = |alert: &mut Alert| sender.structured(alert, black_box(Timestamp::UNIX_EPOCH));
            bench.iter_batched_ref(read, write, criterion::BatchSize::SmallInput);
        });
        let alert = Alert::from_slice(bytes).unwrap();
        group.bench_function(format!("{name}/id known"), |bench| {
            bench.iter(|| sender.structured(black_box(&alert), black_box(Timestamp::UNIX_EPOCH)));
        });
    }
}

#[cfg(not(feature = "cloudevents"))]
fn write(_: &mut Criterion) {}

criterion_group!(benches, read, write);
criterion_main!(benches);
