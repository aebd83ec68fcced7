//! TLS on either edge: who this end says it is, whom it trusts, and what is told where that comes to nothing.
//!
//! Handshakes are waited for here, by [`Acceptor`] towards whoever dialled and by [`Connector`] towards whom is dialled. What
//! comes of one is a [`super::Leg`]; from then on [`Sealed`] stands between the socket and its end, and nothing waits.

mod acceptor;
mod authority;
mod connector;
mod current;
mod failure;
mod files;
mod insecure;
mod name;
mod sealed;
mod secrets;
mod set_up;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;

pub use acceptor::{Acceptor, AcceptorOptions, Certificate};
pub use authority::{Authority, AutoCertificate};
pub use connector::{Connector, ConnectorOptions, Roots};
pub use current::Certificates;
pub use failure::HandshakeError;
pub(super) use failure::why;
pub use files::Identity;
pub(super) use name::common_name;
pub(super) use sealed::{Sealed, farewell};
pub use secrets::Secrets;
pub use set_up::SetUpError;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
