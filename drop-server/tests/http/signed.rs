//! A server that asks for signatures: what is signed is handled, and nothing else is.

use std::fmt::Write;
use std::sync::Arc;

use drop_server::KeyFile;
use falco_event::cloudevents::{KEY_ID, Keys, SIGNATURE, Sender};
use falco_event::{Alert, Timestamp};

use crate::stage::{Stage, alert};

const STRUCTURED: &str = "content-type: application/cloudevents+json\r\n";
const KEYS: &str = "now 0123456789abcdef0123456789abcdef\nnext fedcba9876543210fedcba9876543210\n";

struct Signed {
    stage: Stage,
    keys: Arc<KeyFile>,
    file: tempfile::NamedTempFile,
}

impl Signed {
    async fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), KEYS).unwrap();
        let keys = Arc::new(KeyFile::open(file.path().to_owned()).unwrap());
        let stage = Stage::signed(Arc::clone(&keys)).await;
        Self { stage, keys, file }
    }

    fn alert(&self) -> String {
        alert(&self.stage.pod())
    }

    async fn post(&self, headers: &str, body: &[u8]) -> (u16, String) {
        let answer = self.stage.post(headers, body).await;
        (answer.status, answer.body)
    }

    /// The file has other keys now, and the server looked at it until it judged them.
    fn rewrite(&self, text: &str) {
        std::fs::write(self.file.path(), text).unwrap();
        self.keys.look();
        self.keys.look();
    }
}

/// The event of an alert, signed with the first of these keys.
fn event(alert: &str, keys: &str) -> Vec<u8> {
    let alert = Alert::from_slice(alert.as_bytes()).unwrap();
    Sender::default().signed(&alert, Timestamp::now(), &Keys::parse(keys).unwrap())
}

/// The headers of the same event in binary mode.
fn binary(alert: &str, keys: &str) -> String {
    let mut headers = "content-type: application/json\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: a\r\nce-type: falco.rule.output.v1\r\n".to_owned();
    for (name, value) in Keys::parse(keys).unwrap().sign(alert.as_bytes()).extensions() {
        write!(headers, "ce-{name}: {value}\r\n").unwrap();
    }
    headers
}

const NO_SIGNATURE: &str = "no signature: expected the extensions `hmackeyid` and `hmacsha256`";
const MISMATCH: &str = "the signature does not fit the data";

#[tokio::test]
async fn a_signed_event_is_handled_in_both_modes() {
    for mode in ["structured", "binary"] {
        let signed = Signed::new().await;
        let alert = signed.alert();
        let (status, _) = match mode {
            "structured" => signed.post(STRUCTURED, &event(&alert, KEYS)).await,
            _ => signed.post(&binary(&alert, KEYS), alert.as_bytes()).await,
        };
        assert_eq!((status, signed.stage.touched()), (202, 1), "{mode}");
    }
}

#[tokio::test]
async fn what_is_not_signed_touches_nothing_and_is_counted() {
    let signed = Signed::new().await;
    let alert = signed.alert();
    let good = String::from_utf8(event(&alert, KEYS)).unwrap();
    let strange = "now aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let unknown = "other 0123456789abcdef0123456789abcdef";
    let one_byte = alert.replacen("Terminal shell", "Terminal shelk", 1);
    let cases = [
        (
            "content-type: application/json\r\n".to_owned(),
            alert.clone(),
            NO_SIGNATURE,
        ),
        (
            STRUCTURED.to_owned(),
            good.replace(SIGNATURE, "other"),
            NO_SIGNATURE,
        ),
        (STRUCTURED.to_owned(), good.replace(KEY_ID, "other"), NO_SIGNATURE),
        (STRUCTURED.to_owned(), good.replace(&alert, &one_byte), MISMATCH),
        (
            STRUCTURED.to_owned(),
            String::from_utf8(event(&alert, strange)).unwrap(),
            MISMATCH,
        ),
        (
            STRUCTURED.to_owned(),
            String::from_utf8(event(&alert, unknown)).unwrap(),
            "signed with key `other`: expected one that is known here",
        ),
        (binary(&alert, KEYS), one_byte.clone(), MISMATCH),
        (
            binary(&alert, KEYS).replace(SIGNATURE, "other"),
            alert.clone(),
            NO_SIGNATURE,
        ),
        (binary(&one_byte, KEYS), alert.clone(), MISMATCH),
    ];
    let count = cases.len();
    for (headers, body, why) in cases {
        assert_ne!((&headers, &body), (&STRUCTURED.to_owned(), &good));
        assert_eq!(
            signed.post(&headers, body.as_bytes()).await,
            (403, why.to_owned()),
            "{body}"
        );
    }
    assert_eq!((signed.stage.touched(), signed.stage.outcomes().len()), (0, 0));
    let metrics = signed.stage.get("/metrics").await;
    assert!(
        metrics.contains(&format!("falco_drop_forged_total {count}\n")),
        "{metrics}"
    );
    assert_eq!(signed.post(STRUCTURED, good.as_bytes()).await.0, 202);
    assert_eq!(signed.stage.touched(), 1);
}

#[tokio::test]
async fn a_key_is_changed_without_a_moment_in_which_neither_counts() {
    let signed = Signed::new().await;
    let alert = signed.alert();
    let next = KEYS.lines().nth(1).unwrap();
    let status = async |keys: &str| signed.post(STRUCTURED, &event(&alert, keys)).await.0;
    assert_eq!((status(KEYS).await, status(next).await), (202, 202));
    signed.rewrite("nonsense");
    assert_eq!(
        (status(KEYS).await, status(next).await),
        (202, 202),
        "what is wrong changes nothing"
    );
    let told = async |refused: bool| {
        let metrics = signed.stage.get("/metrics").await;
        let gauge = format!("falco_drop_keys_refused {}\n", u8::from(refused));
        assert!(metrics.contains(&gauge), "{metrics}");
        let ready = signed.stage.get("/readyz").await;
        assert_eq!(
            ready.contains("the file of signing keys as it is now"),
            refused,
            "{ready}"
        );
    };
    told(true).await;
    signed.rewrite(next);
    told(false).await;
    assert_eq!((status(KEYS).await, status(next).await), (403, 202));
}

#[test]
fn a_file_without_keys_is_refused_and_not_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret").unwrap();
    let error = format!("{:#}", KeyFile::open(file.path().to_owned()).unwrap_err());
    assert!(
        error.contains("line 1 is no key") && !error.contains("s3cret"),
        "{error}"
    );
    assert!(KeyFile::open("/no/keys".into()).is_err());
}

#[tokio::test]
async fn what_is_not_signed_makes_no_alert_too_old() {
    let signed = Signed::new().await;
    let alert = Alert::from_slice(signed.alert().as_bytes()).unwrap();
    let copy = Sender::default().signed(&alert, Timestamp::UNIX_EPOCH, &Keys::parse(KEYS).unwrap());
    assert_eq!(signed.post(STRUCTURED, &copy).await.0, 202);
    assert_eq!(signed.stage.outcomes(), ["acted"]);
}
