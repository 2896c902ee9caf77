//! How often reading and sending allocate. A number here that grows is a regression; one that falls is to be lowered.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use allocation_counter::measure;
use falco_event::cloudevents::Sender;
use falco_event::{Alert, Timestamp};

const PLAIN: &[u8] = include_bytes!("fixtures/shell-in-pod.json");
const ESCAPES: &[u8] = include_bytes!("fixtures/shell-with-escapes.json");

fn count(mut what: impl FnMut()) -> u64 {
    what();
    measure(what).count_total
}

fn read(bytes: &[u8]) -> Alert {
    Alert::from_slice(bytes).unwrap()
}

/// Reading: the text, the index of fields, the tags, and the alert itself; where there are escapes, one more for all of
/// them. The offender: one for each name but the id of a container.
#[test]
fn reading_allocates_for_the_alert_and_not_for_its_fields() {
    let reads = [PLAIN, ESCAPES].map(|bytes| count(|| drop(read(bytes))));
    assert_eq!(reads, [4, 5]);
    let with_offender = [PLAIN, ESCAPES].map(|bytes| count(|| assert!(read(bytes).offender().pod.is_some())));
    assert_eq!(with_offender, [8, 9]);
    let alert = read(PLAIN);
    assert_eq!(count(|| drop(alert.clone())), 0);
    let walk = || {
        assert_eq!(
            alert
                .fields()
                .iter()
                .chain(alert.others())
                .filter(|(_, v)| v.as_str().is_some())
                .count(),
            13
        )
    };
    assert_eq!(count(walk), 0);
}

#[test]
fn sending_allocates_a_handful() {
    let alert = read(PLAIN);
    let sender = Sender::default();
    assert_eq!(
        count(|| drop(sender.structured(&alert, Timestamp::UNIX_EPOCH))),
        2
    );
}
