//! Futures that are awaited together: this crate has no runtime that could do it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// What each of a few futures comes to, in their order. Each wake asks all that are not done, so they must be few.
pub(super) async fn together<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<One<F>> = futures.map(|future| One::Waits(Box::pin(future))).collect();
    poll_fn(|context| {
        // Each has to be asked, or nobody would wake the rest.
        let waiting = all
            .iter_mut()
            .filter_map(|one| one.ask(context).is_pending().then_some(()));
        match waiting.count() {
            0 => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
    all.into_iter().filter_map(One::done).collect()
}

enum One<F: Future> {
    Waits(Pin<Box<F>>),
    Done(F::Output),
}

impl<F: Future> One<F> {
    fn ask(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Waits(future) = self {
            match future.as_mut().poll(context) {
                Poll::Ready(output) => *self = Self::Done(output),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    fn done(self) -> Option<F::Output> {
        match self {
            Self::Waits(_) => None,
            Self::Done(output) => Some(output),
        }
    }
}
