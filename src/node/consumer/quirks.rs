use std::collections::BTreeSet;

use crate::node::Quirk;
use crate::node::Role;

/// Expected a quirk of the node in the role that it plays; found another's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a quirk of {expected}, found {quirk}, which is one of {found}")]
pub struct WrongQuirk {
    quirk: Quirk,
    expected: &'static str,
    found: &'static str,
}

/// Quirks of a client that dials, and of no node that is dialled.
const CLIENTS: [Quirk; 7] = [
    Quirk::Mb64936,
    Quirk::GoDcp151,
    Quirk::SyncGateway5597,
    Quirk::SyncGateway969,
    Quirk::KafkaConnector8,
    Quirk::KafkaConnector11,
    Quirk::JavaDcpClient10,
];

/// Quirks of both.
const BOTH: [Quirk; 10] = [
    Quirk::Mb28573,
    Quirk::Mb18661,
    Quirk::Mb60468,
    Quirk::Mb72321,
    Quirk::Mb56275,
    Quirk::Mb28502,
    Quirk::Mb59474,
    Quirk::Mb72652,
    Quirk::MuteNoop,
    Quirk::NoopTwice,
];

const PRODUCER: &str = "a producer (node --listen)";
const NODE: &str = "a consumer that is dialled (node --listen)";
const CLIENT: &str = "a consumer that dials (node --connect)";

fn whose(quirk: Quirk) -> &'static str {
    match quirk.about().role {
        Role::Producer => PRODUCER,
        Role::Consumer if CLIENTS.contains(&quirk) => CLIENT,
        Role::Consumer => NODE,
    }
}

/// Whether a [`super::Client`] can have the quirk.
///
/// # Errors
/// It is one of a producer, or of a node alone.
pub fn check_client(quirk: Quirk) -> Result<(), WrongQuirk> {
    if CLIENTS.contains(&quirk) || BOTH.contains(&quirk) {
        return Ok(());
    }
    Err(WrongQuirk { quirk, expected: CLIENT, found: whose(quirk) })
}

/// Whether a node that is dialled, and is producer or consumer as DCP_OPEN says, can have the quirk.
///
/// # Errors
/// It is one of a client alone.
pub fn check_node(quirk: Quirk) -> Result<(), WrongQuirk> {
    if CLIENTS.contains(&quirk) {
        return Err(WrongQuirk { quirk, expected: "a node that is dialled (node --listen)", found: CLIENT });
    }
    Ok(())
}

/// How often a consumer answers a DCP_NOOP.
pub(super) fn noop_answers(quirks: &BTreeSet<Quirk>) -> usize {
    if quirks.contains(&Quirk::MuteNoop) { 0 } else { 1 + usize::from(quirks.contains(&Quirk::NoopTwice)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quirk_has_a_place_and_no_producers_has_one_in_a_client() {
        for quirk in Quirk::ALL {
            assert!(check_client(quirk).is_ok() || check_node(quirk).is_ok(), "{quirk}");
            if quirk.about().role == Role::Producer {
                assert!(check_client(quirk).is_err() && check_node(quirk).is_ok(), "{quirk}");
            }
        }
        let wrong = check_client(Quirk::Mb35287).unwrap_err().to_string();
        assert!(wrong.contains("expected a quirk of a consumer that dials") && wrong.contains("mb-35287"), "{wrong}");
    }
}
