//! The supervisor of services that the process may have been started by: systemd, or another that speaks its protocol
//! (`sd_notify(3)`). Without `NOTIFY_SOCKET` in the environment nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// All listeners are bound.
pub(super) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The files are read again; [`ready`] says that this is over.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("cannot tell the supervisor of the reload: {error}"),
    }
}

/// Nobody is let in any more, and the end may take so long.
pub(super) fn stopping(within: Duration) {
    let within = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(within)]);
}

/// It is alive.
pub(super) fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// When to say [`alive`], if that is wanted: twice as often as is demanded.
pub(super) fn heartbeat() -> Option<Interval> {
    let mut heartbeat = interval((sd_notify::watchdog_enabled()? / 2).max(Duration::from_millis(1)));
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(heartbeat)
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("cannot tell the supervisor (NOTIFY_SOCKET): {error}");
    }
}
