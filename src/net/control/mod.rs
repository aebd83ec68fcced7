//! What those who control proxies from outside share with those who serve them.
//!
//! What is wanted of the connections of a proxy is one value, the [`Orders`]: each link looks at the latest, in its own task,
//! between two turns. Questions are visits to a link: a closure that runs there. So nobody waits for a lock that somebody
//! holds while bytes wait.

mod handle;
mod orders;
mod registry;

pub use handle::{Answer, Control, Handle, Visit};
pub use orders::Orders;
pub use registry::{Controlled, Open, Registry};
