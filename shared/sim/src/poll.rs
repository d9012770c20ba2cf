//! Runs a future of the core to its end. The simulator's ports answer at once, so one poll is all it takes.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The future's value; `None` when the world never answered one of its calls: the invocation was killed there.
pub fn once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
