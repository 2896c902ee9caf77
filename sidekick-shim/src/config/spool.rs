//! Where alerts wait until their sinks have them.

use std::path::PathBuf;
use std::time::Duration;

use super::parse::{self, Parsed};
use super::settings::Settings;
use crate::front::BODY_BYTES;

/// 780,000 alerts of Falco's usual size: 3.6 hours of an outage at 60 a second.
const SPOOL_BYTES: usize = 1024 * 1024 * 1024;

/// Without a disk: 24,000 alerts of Falco's usual size.
const MEMORY_BYTES: usize = 32 * 1024 * 1024;

/// Where the spool is, unless it is said.
pub(crate) const SPOOL: &str = "/var/spool/sidekick-shim";

/// What a power cut may cost with `crash`.
const SYNC: Duration = Duration::from_millis(100);

/// The spool: where it is, how large, and what it promises.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spool {
    /// Its folder; without effect in memory.
    pub folder: PathBuf,
    /// What an answer of 200 promises.
    pub durability: Durability,
    /// The most that it takes on the disk, in bytes, beside the dead letters.
    pub bytes: usize,
    /// How long an alert may be written and not yet on the disk, with [`Durability::Crash`].
    pub sync: Duration,
    /// What happens when there is no room.
    pub when_full: WhenFull,
}

/// What an answer of 200 promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The alert is written, and outlives the process.
    Crash,
    /// The alert is on the disk, and outlives a power cut.
    PowerLoss,
    /// The alert is in memory alone.
    Memory,
}

/// What happens to an alert for which there is no room, after some delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The least urgent alerts make room, of these the oldest.
    DropOldest,
    /// It is not taken: the connection is closed without an answer, and Falco tries once more if it was a kept one.
    Reject,
}

impl Spool {
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let mistakes = settings.mistakes.len();
        let mut durability = settings.or("shim.durability", Durability::Crash, durability);
        if settings.mistakes.len() > mistakes {
            // Of a disk that may not be meant there is nothing to say.
            durability = Durability::Memory;
        }
        let bytes = if durability == Durability::Memory {
            MEMORY_BYTES
        } else {
            SPOOL_BYTES
        };
        Self {
            folder: settings
                .text("shim.spool")
                .map_or_else(|| SPOOL.into(), |(_, folder)| folder.into()),
            durability,
            // Less would be full of one body.
            bytes: settings.or("shim.spool_bytes", bytes, |text| {
                parse::number(text, 4 * BODY_BYTES, 1 << 40)
            }),
            sync: settings.or("shim.sync", SYNC, parse::duration),
            when_full: settings.or("shim.full", WhenFull::DropOldest, when_full),
        }
    }
}

fn durability(text: &str) -> Parsed<Durability> {
    match text {
        "crash" => Ok(Durability::Crash),
        "power-loss" => Ok(Durability::PowerLoss),
        "memory" => Ok(Durability::Memory),
        _ => Err("crash, power-loss or memory".to_owned()),
    }
}

fn when_full(text: &str) -> Parsed<WhenFull> {
    match text {
        "drop-oldest" => Ok(WhenFull::DropOldest),
        "reject" => Ok(WhenFull::Reject),
        _ => Err("drop-oldest or reject".to_owned()),
    }
}
