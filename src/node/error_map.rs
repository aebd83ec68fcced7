use serde_json::Value;
use serde_json::json;

use crate::wire::Status;

/// Status, the name that error maps give it, and its attributes.
const ERRORS: &[(Status, &str, &[&str])] = &[
    (Status::SUCCESS, "SUCCESS", &["success"]),
    (Status::KEY_ENOENT, "KEY_ENOENT", &["item-only"]),
    (Status::KEY_EEXISTS, "KEY_EEXISTS", &["item-only"]),
    (Status::E2BIG, "E2BIG", &["item-only", "invalid-input"]),
    (Status::EINVAL, "EINVAL", &["internal", "invalid-input"]),
    (Status::NOT_STORED, "NOT_STORED", &["item-only"]),
    (Status::DELTA_BADVAL, "DELTA_BADVAL", &["item-only", "invalid-input"]),
    (Status::NOT_MY_VBUCKET, "NOT_MY_VBUCKET", &["fetch-config", "invalid-input"]),
    (Status::NO_BUCKET, "NO_BUCKET", &["conn-state-invalidated"]),
    (Status::LOCKED, "LOCKED", &["item-locked", "item-only", "retry-now"]),
    (Status::DCP_STREAM_NOT_FOUND, "DCP_STREAM_NOT_FOUND", &["dcp"]),
    (Status::OPAQUE_NO_MATCH, "OPAQUE_NO_MATCH", &["dcp"]),
    (Status::AUTH_STALE, "AUTH_STALE", &["conn-state-invalidated", "auth"]),
    (Status::AUTH_ERROR, "AUTH_ERROR", &["conn-state-invalidated", "auth"]),
    (Status::AUTH_CONTINUE, "AUTH_CONTINUE", &["special-handling", "auth"]),
    (Status::ERANGE, "ERANGE", &["item-only", "invalid-input"]),
    (Status::ROLLBACK, "ROLLBACK", &["dcp", "special-handling"]),
    (Status::EACCESS, "EACCESS", &["support"]),
    (Status::NOT_INITIALIZED, "NOT_INITIALIZED", &["conn-state-invalidated"]),
    (Status::UNKNOWN_FRAME_INFO, "UNKNOWN_FRAME_INFO", &["support"]),
    (Status::UNKNOWN_COMMAND, "UNKNOWN_COMMAND", &["support"]),
    (Status::ENOMEM, "ENOMEM", &["retry-later", "temp"]),
    (Status::NOT_SUPPORTED, "NOT_SUPPORTED", &["support"]),
    (Status::EINTERNAL, "EINTERNAL", &["internal"]),
    (Status::EBUSY, "EBUSY", &["retry-now", "temp"]),
    (Status::ETMPFAIL, "ETMPFAIL", &["retry-now", "temp"]),
    (Status::XATTR_EINVAL, "XATTR_EINVAL", &["internal", "invalid-input"]),
    (Status::UNKNOWN_COLLECTION, "UNKNOWN_COLLECTION", &["item-only"]),
    (Status::UNKNOWN_SCOPE, "UNKNOWN_SCOPE", &["item-only"]),
    (Status::DCP_STREAM_ID_INVALID, "DCP_STREAMID_INVALID", &["dcp"]),
    (Status::DURABILITY_INVALID_LEVEL, "DURABILITY_INVALID_LEVEL", &["item-only", "invalid-input"]),
    (Status::DURABILITY_IMPOSSIBLE, "DURABILITY_IMPOSSIBLE", &["item-only"]),
    (Status::SYNC_WRITE_IN_PROGRESS, "SYNC_WRITE_IN_PROGRESS", &["item-only", "retry-later"]),
    (Status::SYNC_WRITE_AMBIGUOUS, "SYNC_WRITE_AMBIGUOUS", &["item-only"]),
    (Status::SUBDOC_PATH_ENOENT, "SUBDOC_PATH_ENOENT", &["item-only", "subdoc"]),
];

/// The error map, of at most the version that the client knows; there are versions 1 and 2.
pub(super) fn error_map(version: u16) -> String {
    let entry = |&(status, name, attributes): &(Status, &str, &[&str])| {
        (format!("{:x}", status.0), json!({"name": name, "desc": name, "attrs": attributes}))
    };
    let errors: serde_json::Map<String, Value> = ERRORS.iter().map(entry).collect();
    json!({"version": version.min(2), "revision": 4, "errors": errors}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_map_is_of_the_version_that_the_client_knows() {
        let map: Value = serde_json::from_str(&error_map(1)).unwrap();
        assert_eq!(map["version"], 1);
        assert_eq!(map["errors"]["23"]["name"], "ROLLBACK");
        let map: Value = serde_json::from_str(&error_map(9)).unwrap();
        assert_eq!(map["version"], 2);
    }
}
