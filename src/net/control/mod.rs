//! What those who control proxies from outside share with those who serve them.
//!
//! What is wanted of the connections of a proxy is one value, the [`Orders`]: each link looks at the latest, in its own task,
//! between two turns. Questions are visits to a link: a closure that runs there. So nobody waits for a lock that somebody
//! holds while bytes wait.
//!
//! A proxy is moved, disabled and ended by its own serve loop, one demand after the other; [`Controlled::change`] waits until
//! that is done. [`Registry::create`] hands a new one to the fleet.

mod handle;
mod journal;
mod maker;
mod orders;
mod past;
mod registry;
mod setup;
mod standing;
mod taping;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(in crate::net) use handle::Teller;
pub use handle::{Answer, Control, Handle, Visit};
pub use journal::{Ear, Heard, Hearing, Journal, Noted, NotedKind, Tail, said_by};
pub use maker::{CreateError, MOST_PROXIES, Newcomer, Newcomers, Wanted};
pub use orders::Orders;
pub use past::{Past, no_producer};
pub use registry::{Controlled, Open, Registry};
pub use setup::Setup;
pub(in crate::net) use standing::Demand;
pub use standing::{Change, ChangeError, Lead, Place, PlaceError, Standing};
pub use taping::{Taping, TapingError};

/// No guard of these is held across anything that waits, or that is of a user's size.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
