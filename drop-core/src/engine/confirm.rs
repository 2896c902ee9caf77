//! Whether the pods that were acted on are gone: the second record of an act.

use std::time::Duration;

use super::together::together;
use super::{Engine, PROOF_WITHIN};
use crate::outcome::Ending;
use crate::past::{Act, ActId, Past, Settled, Since};
use crate::ports::{ApiError, Lost, Mono, Presence};
use crate::record::{Closed, Record, VERSION, nanos};

/// Pods that are asked for at a time: a hundred unproven acts must not wait for a hundred answers in a row, nor keep others
/// from the API server.
const AT_ONCE: usize = 8;

impl Engine {
    /// Looks at the pods of all acts whose end nobody has proven, hands the journal a second record for each that has
    /// one, and closes it. Returns how many are still open. The host calls it on a timer, and when a pod goes.
    ///
    /// A record is handed over before its act is closed: at least once, so readers drop what has the same id, act and kind.
    ///
    /// # Errors
    /// Where the memory does not answer.
    pub async fn confirm(&self) -> Result<usize, Lost> {
        let (acts, since, now) = self
            .step(|past, now| (past.to_look_at(now), past.present(now), now))
            .await?;
        for some in acts.chunks(AT_ONCE) {
            let seen = together(some.iter().map(|act| self.look(act, since, now))).await;
            for (act, seen) in some.iter().zip(seen) {
                self.close(act, seen?, now).await?;
            }
        }
        self.step(|past, _| past.obligations().count()).await
    }

    /// Hands the journal a second record for every act whose end nobody has proven, unconfirmed and why, and closes it: at
    /// the end of the program, when nobody will look any more.
    ///
    /// # Errors
    /// Where the memory does not answer.
    pub async fn leave(&self, why: &str) -> Result<(), Lost> {
        let acts = self.step(|past, now| (past.to_look_at(now), now));
        let (acts, now) = acts.await?;
        for act in acts.iter().filter(|act| !act.refuted) {
            self.close(act, unconfirmed(why), now).await?;
        }
        Ok(())
    }

    /// Tells what was seen of an act's end, and closes it.
    async fn close(&self, act: &Act, seen: Seen, now: Mono) -> Result<(), Lost> {
        let ending = match seen {
            Seen::Later => return Ok(()),
            Seen::Nothing => None,
            Seen::End(ending) => Some(ending),
        };
        if let Some(ending) = ending {
            let record = Record::Closed(closed(act, ending, now));
            self.journal.write(&record).await;
        }
        self.step(|past, now| past.close(act.id, now)).await?;
        Ok(())
    }

    /// What can be said of an act's end. That one's own engine may have told it since is asked last.
    async fn look(&self, act: &Act, since: Since, now: Mono) -> Result<Seen, Lost> {
        let grace = Duration::from_secs(u64::from(act.ends.unwrap_or(0)));
        let overdue = now.since(act.opened) > grace + PROOF_WITHIN;
        let presence = self.api.presence(&act.target).await;
        let told = self.step(|past, now| judged(past, act.id, &presence, since, now));
        let Known { certain, refuted } = told.await?;
        Ok(match presence {
            Ok(Presence::Gone | Presence::Terminating) if refuted => Seen::Nothing,
            Ok(Presence::Gone) if act.ends == Some(0) => {
                unconfirmed("after a deletion without grace the absence of the pod proves nothing")
            }
            Ok(Presence::Gone) => Seen::End(Ending::Confirmed { ours: certain }),
            _ if !overdue => Seen::Later,
            _ if refuted => Seen::Nothing,
            Ok(Presence::Alive) => unconfirmed("the pod is alive"),
            Ok(Presence::Terminating) => unconfirmed("the pod is still terminating"),
            Err(error) => unconfirmed(&format!("the pod could not be read: {error}")),
        })
    }
}

/// What a look at a pod came to.
enum Seen {
    /// It is to be looked at again.
    Later,
    /// There is nothing to tell: the act has not ended the pod.
    Nothing,
    /// How it ended.
    End(Ending),
}

/// What the past knows of an act, once it has heard what the cluster says of its pod.
struct Known {
    certain: bool,
    refuted: bool,
}

fn judged(
    past: &mut Past,
    id: ActId,
    presence: &Result<Presence, ApiError>,
    since: Since,
    now: Mono,
) -> Known {
    if let Some(uid) = past.act(id).map(|act| act.target.uid.clone())
        && *presence == Ok(Presence::Alive)
    {
        past.seen_alive(&uid, since, now);
    }
    if matches!(presence, Ok(Presence::Gone | Presence::Terminating)) {
        past.doubt(id, now);
    }
    let act = past.act(id);
    Known {
        certain: act.is_some_and(|act| act.ended(now) == Some(Settled::Happened)),
        refuted: act.is_none_or(|act| act.refuted),
    }
}

fn unconfirmed(why: &str) -> Seen {
    Seen::End(Ending::Unconfirmed { why: why.to_owned() })
}

fn closed(act: &Act, ending: Ending, now: Mono) -> Closed {
    Closed {
        version: VERSION,
        id: act.alert,
        act: act.id,
        policy: act.policy.clone(),
        response: act.response.clone(),
        target: act.target.clone(),
        ending,
        took: nanos(now.since(act.opened)),
    }
}
