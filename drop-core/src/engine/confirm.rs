//! Whether the pods that were acted on are gone: the second record of an act.

use std::time::Duration;

use super::{Engine, PROOF_WITHIN};
use crate::outcome::Ending;
use crate::past::{Act, Settled, Settlement, Since};
use crate::ports::{Lost, Mono, Presence};
use crate::record::{Closed, Record, VERSION, nanos};

impl Engine {
    /// Looks at the pods of all acts whose end nobody has proven, hands the journal a second record for each that has
    /// one, and closes it. Returns how many are still open. The host calls it on a timer, and when a pod goes.
    ///
    /// A record is handed over before its act is closed: at least once, so who reads keys by id and kind.
    ///
    /// # Errors
    /// Where the memory does not answer.
    pub async fn confirm(&self) -> Result<usize, Lost> {
        let (acts, since, now) = self
            .step(|past, now| (settled(past, now), past.present(now), now))
            .await?;
        for act in &acts {
            let Some(ending) = self.look(act, since, now).await? else {
                continue;
            };
            self.journal
                .write(&Record::Closed(closed(act, ending, now)))
                .await;
            self.step(|past, now| past.close(act.id, now)).await?;
        }
        self.step(|past, _| past.obligations().count()).await
    }

    /// How an act ended, once it can be said; none while it is open or where there is nothing to say.
    async fn look(&self, act: &Act, since: Since, now: Mono) -> Result<Option<Ending>, Lost> {
        let overdue =
            now.since(act.opened) > Duration::from_secs(u64::from(act.ends.unwrap_or(0))) + PROOF_WITHIN;
        let certain = act.ended(now) == Some(Settled::Happened);
        Ok(match self.api.presence(&act.target).await {
            Ok(Presence::Gone) if act.ends == Some(0) => Some(unconfirmed(
                "after a deletion without grace the absence of the pod proves nothing",
            )),
            Ok(Presence::Gone) => Some(Ending::Confirmed { ours: certain }),
            Ok(Presence::Alive) if !certain => {
                self.step(|past, later| past.seen_alive(&act.target.uid, since, later))
                    .await?;
                None
            }
            Ok(Presence::Alive) if overdue => Some(unconfirmed("the pod is alive")),
            Ok(Presence::Terminating) if overdue => Some(unconfirmed("the pod is still terminating")),
            Err(error) if overdue => Some(unconfirmed(&format!("the pod could not be read: {error}"))),
            Ok(Presence::Alive | Presence::Terminating) | Err(_) => None,
        })
    }
}

/// The acts to look at: those that ended, and those whose engine has died, which are settled as unknown first.
fn settled(past: &mut crate::past::Past, now: Mono) -> Vec<Act> {
    let dead: Vec<_> = past
        .obligations()
        .filter(|act| act.settled.is_none() && !act.is_in_flight(now))
        .cloned()
        .collect();
    for act in dead {
        past.settle(act.id, Settlement::lost(act.ends.is_some()), now);
    }
    past.obligations()
        .filter(|act| act.settled.is_some())
        .cloned()
        .collect()
}

fn unconfirmed(why: &str) -> Ending {
    Ending::Unconfirmed { why: why.to_owned() }
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
