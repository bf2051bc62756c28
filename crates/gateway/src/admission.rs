//! How many requests run at once, and who waits: interactive before background, in a bounded queue.

use crate::error::{Error, Kind};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use waypost_core::profile::Class;

/// The places of one process.
#[derive(Debug, Default)]
pub struct Admission {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    /// Waiting, by class; a receiver that is gone is skipped.
    waiting: [VecDeque<oneshot::Sender<Permit>>; 2],
}

/// A place; its drop lets the next one in.
#[derive(Debug)]
pub struct Permit(Option<Arc<Admission>>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(admission) = self.0.take() {
            admission.release();
        }
    }
}

impl Admission {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that run now, and that wait.
    pub fn load(&self) -> (usize, usize) {
        let state = self.lock();
        (state.running, state.waiting.iter().map(VecDeque::len).sum())
    }

    /// A place at once, or after waiting in the queue of its class until `deadline`; 503 where the queue is full. An
    /// interactive request then takes the turn of the background one that came last.
    pub async fn enter(
        self: &Arc<Self>,
        class: Class,
        most: usize,
        most_waiting: usize,
        deadline: Instant,
    ) -> Result<Permit, Error> {
        let overloaded = || {
            let message = format!("{most} requests are running and {most_waiting} are waiting: try again shortly");
            Error::new(Kind::Overloaded, message).retry_after(Duration::from_secs(1))
        };
        let receiver = {
            let mut state = self.lock();
            if state.running < most {
                state.running += 1;
                return Ok(Permit(Some(self.clone())));
            }
            let waiting = &mut state.waiting;
            waiting.iter_mut().for_each(|queue| queue.retain(|w| !w.is_closed()));
            let full = waiting.iter().map(VecDeque::len).sum::<usize>() >= most_waiting;
            let gives_way = |waiting: &mut [VecDeque<_>; 2]| waiting[Class::Background as usize].pop_back().is_some();
            if full && !(class == Class::Interactive && gives_way(waiting)) {
                return Err(overloaded());
            }
            let (sender, receiver) = oneshot::channel();
            waiting[class as usize].push_back(sender);
            receiver
        };
        let message = "the request waited for a free place until its deadline";
        match timeout_at(deadline, receiver).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(overloaded()),
            Err(_) => Err(Error::new(Kind::DeadlineExceeded, message)),
        }
    }

    /// Hands the place to whoever waits, interactive first; else frees it.
    fn release(self: Arc<Self>) {
        let mut permit = Permit(Some(self.clone()));
        loop {
            let mut state = self.lock();
            let next = state.waiting.iter_mut().find_map(VecDeque::pop_front);
            let Some(next) = next else {
                state.running -= 1;
                permit.0 = None;
                return;
            };
            drop(state);
            match next.send(permit) {
                Ok(()) => return,
                // Gone meanwhile: the place comes back and goes to the next one.
                Err(returned) => permit = returned,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test(start_paused = true)]
    async fn interactive_goes_first_and_the_queue_is_bounded() {
        let admission = Arc::new(Admission::default());
        let first = admission.enter(Class::Interactive, 1, 2, soon()).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for class in [Class::Background, Class::Interactive] {
            let (admission, order) = (admission.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let _place = admission.enter(class, 1, 2, soon()).await.unwrap();
                order.lock().unwrap().push(class);
            }));
            tokio::task::yield_now().await;
        }
        let full = admission.enter(Class::Background, 1, 2, soon()).await.unwrap_err();
        assert_eq!(full.kind, Kind::Overloaded);
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [Class::Interactive, Class::Background]);
        assert_eq!(admission.load(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_full_of_background_turns_no_interactive_request_away() {
        let admission = Arc::new(Admission::default());
        let first = admission.enter(Class::Interactive, 1, 1, soon()).await.unwrap();
        let wait = |class| {
            let admission = admission.clone();
            tokio::spawn(async move { admission.enter(class, 1, 1, soon()).await.map(drop).map_err(|e| e.kind) })
        };
        let background = wait(Class::Background);
        tokio::task::yield_now().await;
        let interactive = wait(Class::Interactive);
        assert_eq!(background.await.unwrap(), Err(Kind::Overloaded));
        let late = admission.enter(Class::Interactive, 1, 1, soon()).await.unwrap_err();
        assert_eq!(late.kind, Kind::Overloaded, "interactive requests do not displace each other");
        drop(first);
        assert_eq!(interactive.await.unwrap(), Ok(()));
        assert_eq!(admission.load(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_gave_up_is_skipped() {
        let admission = Arc::new(Admission::default());
        let first = admission.enter(Class::Interactive, 1, 2, soon()).await.unwrap();
        let deadline = Instant::now() + Duration::from_millis(5);
        let late = admission.enter(Class::Interactive, 1, 2, deadline).await.unwrap_err();
        assert_eq!(late.kind, Kind::DeadlineExceeded);
        drop(first);
        assert_eq!(admission.load(), (0, 0));
        drop(admission.enter(Class::Background, 1, 2, soon()).await.unwrap());
    }
}
